//! Resolves names for connections, and hands on only addresses that may be reached: what is connected to is what was
//! checked, however often a name changes its mind.

use std::{net::SocketAddr, pin::Pin, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Guard, Refused};

/// Most addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 64;

/// Resolves names.
pub trait Names: Send + Sync {
    /// The addresses of a host, in the order in which they are tried.
    fn resolve(&self, host: String) -> Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, Refused>> + Send>>;
}

/// The names of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn resolve(&self, host: String) -> Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, Refused>> + Send>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await;
            let found = found.map_err(|error| Refused(format!("the host {host:?} cannot be found: {error}")))?;
            Ok(found.take(MAX_ADDRESSES).collect())
        })
    }
}

/// A guard as an HTTP client asks it.
pub(crate) struct Guarded(pub(crate) Guard);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let addresses = addresses(&guard, host).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a host that may be reached. One that may not spoils all of them: a name that points inside and
/// outside is up to something.
pub(super) async fn addresses(guard: &Guard, host: String) -> Result<Vec<SocketAddr>, Refused> {
    let found = Arc::clone(&guard.names).resolve(host.clone()).await?;
    if found.is_empty() {
        return Err(Refused(format!("the host {host:?} has no address")));
    }
    for address in &found {
        guard.check_address(address.ip()).map_err(|Refused(why)| Refused(format!("the host {host:?}: {why}")))?;
    }
    Ok(found)
}
