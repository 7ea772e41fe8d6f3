//! What is told of every connection that was tried.

use std::net::IpAddr;

use super::target::Target;

/// Told of every connection that was made, failed or was refused.
pub trait Ledger: Send + Sync {
    /// One connection. Called before the first byte is sent; must not block.
    fn connected(&self, connection: &Connection);
}

/// Forgets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLedger;

impl Ledger for NoLedger {
    fn connected(&self, _: &Connection) {}
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A server of the Model Context Protocol.
    Mcp,
    /// The authorization server of one.
    Authorization,
    /// The `fetch` tool.
    Fetch,
    /// An HTTP tool that an operator declared.
    HttpTool,
}

/// One connection that somebody wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// On whose behalf, as the caller put it: an agent, a server's name.
    pub who: String,
    /// What for.
    pub purpose: Purpose,
    /// Scheme, host and port, as the URL said.
    pub target: Target,
    /// The address that was checked, where the name had one.
    pub address: Option<IpAddr>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stands.
    Connected,
    /// The guard refused it: no packet was sent.
    Refused(String),
    /// It was allowed, and could not be made.
    Failed(String),
}
