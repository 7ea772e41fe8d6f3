//! An operator's settings of one server.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use super::auth::OAuth;
use crate::egress::Guard;

/// A credential. Never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a credential.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The credential itself, for whoever stores or sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

/// One server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the operator calls it; names it in failures and in the ledger of connections.
    pub name: String,
    /// How it is reached.
    pub reach: Reach,
    /// Which specification is spoken.
    pub protocol: Protocol,
    /// How long each phase may take.
    pub timeouts: Timeouts,
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum Reach {
    /// Streamable HTTP, through the guard.
    Http {
        /// Its endpoint, e.g. `https://mcp.example.com/mcp`.
        url: String,
        /// Sent with every request.
        headers: Vec<(String, Secret)>,
        /// Lets it through or does not.
        guard: Arc<Guard>,
        /// How tokens are had, where it wants any.
        oauth: Option<OAuth>,
    },
    /// A process that speaks over its standard input and output. Only from an operator's configuration, never from a
    /// request.
    Stdio {
        /// What starts the program, e.g. a sandbox and its arguments; empty starts it directly.
        launcher: Vec<String>,
        /// An absolute path.
        program: PathBuf,
        /// Its arguments, as they are: no shell reads them.
        arguments: Vec<String>,
        /// Its whole environment.
        environment: Vec<(String, Secret)>,
        /// Where it runs.
        directory: Option<PathBuf>,
    },
}

/// Which specification is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The newest that both know: asks for 2026-07-28, falls back to 2025-11-25 or what the server offers.
    #[default]
    Newest,
    /// 2025-11-25, with a handshake.
    V2025_11_25,
    /// 2026-07-28, without.
    V2026_07_28,
}

/// How long each phase may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a session stands: connection, handshake, for stdio the start of the process.
    pub connect: Duration,
    /// A question that is no tool call: a list, a resource, a prompt.
    pub request: Duration,
    /// Between two parts of an answer; servers of streams send comments to stay alive.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), request: Duration::from_secs(60), idle: Duration::from_secs(300) }
    }
}
