//! MCP servers, over streamable HTTP or as a process of this machine. Speaks 2026-07-28 and 2025-11-25, whichever the
//! server knows. A connection is made when it is needed, shared by all calls, and made anew when it breaks.

mod convert;
mod failure;
mod http;
mod link;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};

use self::link::Link;
use crate::{
    egress::Guard,
    seam::{Call, CallStream, Failure, Listing, Reply, Secret, Step, Toolbox},
};

/// How a server is reached.
#[derive(Clone)]
pub struct Settings {
    /// What the operator or client calls it; names it in failures.
    pub name: String,
    /// Where it is.
    pub transport: Transport,
    /// How long a connection, with its greeting, may take.
    pub connect: Duration,
}

/// Where a server is.
#[derive(Clone)]
pub enum Transport {
    /// Behind an address.
    Http {
        /// The address.
        url: String,
        /// Headers that are no secrets.
        headers: BTreeMap<String, String>,
        /// Sent as a bearer token.
        secret: Option<Secret>,
        /// What may be reached.
        guard: Guard,
    },
    /// A program of this machine, from the operator's configuration only.
    Stdio {
        /// An absolute path.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
        /// Its whole environment.
        environment: BTreeMap<String, String>,
    },
}

/// An MCP server. Cheap to share.
#[derive(Clone)]
pub struct Server(Arc<Link>);

impl Server {
    /// A server; nothing is sent or started yet.
    ///
    /// # Errors
    /// `NotSent`: the address may not be reached, or the program's path is not absolute.
    pub fn new(settings: Settings) -> Result<Self, Failure> {
        Link::new(settings).map(|link| Self(Arc::new(link)))
    }
}

impl Toolbox for Server {
    fn list(&self) -> Reply<Result<Listing, Failure>> {
        let link = Arc::clone(&self.0);
        Box::pin(async move { link.list().await })
    }

    fn call(&self, call: Call) -> CallStream {
        let link = Arc::clone(&self.0);
        stream::once(async move { Step::Ended(link.call(call).await) }).boxed()
    }
}
