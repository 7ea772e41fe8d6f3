//! From a host's name to its addresses, asked once for each connection.

use std::net::IpAddr;

use crate::Reply;

/// Addresses of one name that are looked at; a name with more is cut.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// Resolves names. A seam, so that a test can play a resolver that changes its mind.
pub trait Names: Send + Sync {
    /// The addresses of a name, or why there are none.
    fn addresses(&self, name: &str) -> Reply<Result<Vec<IpAddr>, String>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn addresses(&self, name: &str) -> Reply<Result<Vec<IpAddr>, String>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|why| why.to_string())?;
            Ok(found.take(MAX_ADDRESSES).map(|found| found.ip()).collect())
        })
    }
}
