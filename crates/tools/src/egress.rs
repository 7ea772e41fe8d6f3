//! The guard of every connection that tools make: one allow-list, names resolved here and only once, addresses
//! checked after that, and a socket to exactly the checked address. There is no other way out of this crate. Start
//! with [`Guard::connect`].

pub mod address;
mod ledger;
mod name;
mod rule;
mod socket;
pub mod target;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

pub use ledger::{Connection, Ledger, NoLedger, Outcome, Purpose};
pub use name::{Names, SystemNames};
pub use rule::{Otherwise, Rules};
pub(crate) use socket::Connector;
use target::{Host, Target};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::Error;

/// Until a name is resolved.
const RESOLVE: Duration = Duration::from_secs(5);
/// Until one address answers; a name may have several.
const CONNECT: Duration = Duration::from_secs(5);
/// Connections at once, idle ones included: far below what a process may open.
const MAX_CONNECTIONS: usize = 512;
/// Until another connection closes, when there are that many.
const ROOM: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried, one after the other.
const MAX_TRIES: usize = 4;

/// Decides who may be spoken to, and makes the connections. Cheap to share.
pub struct Guard {
    rules: Rules,
    names: Arc<dyn Names>,
    ledger: Arc<dyn Ledger>,
    tls: tokio_rustls::TlsConnector,
    room: Arc<Semaphore>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Guard").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// On whose behalf, and what for: goes into the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) who: Arc<str>,
    pub(crate) purpose: Purpose,
}

impl Guard {
    /// A guard. Reads the system's root certificates once.
    ///
    /// # Errors
    /// `Refused` where TLS cannot be set up.
    pub fn new(rules: Rules, names: Arc<dyn Names>, ledger: Arc<dyn Ledger>) -> Result<Arc<Self>, Error> {
        let tls = socket::tls()?;
        Ok(Arc::new(Self { rules, names, ledger, tls, room: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }))
    }

    /// The same with other rules, e.g. those of one agent. Both share the bound on connections.
    pub fn with_rules(&self, rules: Rules) -> Arc<Self> {
        let Self { names, ledger, tls, room, .. } = self;
        let (names, ledger, tls, room) = (names.clone(), ledger.clone(), tls.clone(), room.clone());
        Arc::new(Self { rules, names, ledger, tls, room })
    }

    /// Resolves, checks and connects. Every address of the name must be allowed: one that is not says that the
    /// name's owner means something by it. The permit is held as long as the connection.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        cause: &Cause,
    ) -> Result<(TcpStream, OwnedSemaphorePermit), Error> {
        let attempt = Attempt { guard: self, target, cause };
        if let Some(why) = self.rules.host_objection(target) {
            return Err(attempt.refuse(None, why));
        }
        let addresses = attempt.addresses().await?;
        for address in &addresses {
            if let Some(why) = self.rules.address_objection(*address) {
                return Err(attempt.refuse(Some(*address), &format!("its address {address} is {why}")));
            }
        }
        let room = timeout(ROOM, self.room.clone().acquire_owned()).await;
        let Ok(Ok(room)) = room else { return Err(attempt.failed(None, "there are too many connections")) };
        let mut last = attempt.fail("its name has no address");
        for address in addresses.into_iter().take(MAX_TRIES) {
            match attempt.dial(address).await {
                Ok(stream) => return Ok((stream, room)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(crate) fn tls(&self) -> &tokio_rustls::TlsConnector {
        &self.tls
    }
}

/// One connection that is being made.
struct Attempt<'a> {
    guard: &'a Guard,
    target: &'a Target,
    cause: &'a Cause,
}

impl Attempt<'_> {
    async fn addresses(&self) -> Result<Vec<IpAddr>, Error> {
        let name = match &self.target.host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        let found = match timeout(RESOLVE, self.guard.names.addresses(name)).await {
            Err(_) => return Err(self.failed(None, "its name was not resolved in time")),
            Ok(Err(why)) => return Err(self.failed(None, &format!("its name cannot be resolved: {why}"))),
            Ok(Ok(found)) => found,
        };
        if found.is_empty() {
            return Err(self.failed(None, "its name has no address"));
        }
        Ok(found.into_iter().take(name::MAX_ADDRESSES).map(|address| address.to_canonical()).collect())
    }

    async fn dial(&self, address: IpAddr) -> Result<TcpStream, Error> {
        let there = SocketAddr::new(address, self.target.port);
        match timeout(CONNECT, TcpStream::connect(there)).await {
            Err(_) => Err(self.failed(Some(address), "it does not answer")),
            Ok(Err(why)) => Err(self.failed(Some(address), &why.to_string())),
            Ok(Ok(stream)) => {
                // Small requests wait for nothing.
                let _ = stream.set_nodelay(true);
                self.note(Some(address), Outcome::Connected);
                Ok(stream)
            }
        }
    }

    fn refuse(&self, address: Option<IpAddr>, why: &str) -> Error {
        self.note(address, Outcome::Refused(why.to_owned()));
        Error::Refused(format!("{} is refused: {why}", self.target))
    }

    fn failed(&self, address: Option<IpAddr>, why: &str) -> Error {
        self.note(address, Outcome::Failed(why.to_owned()));
        self.fail(why)
    }

    fn fail(&self, why: &str) -> Error {
        Error::Unavailable(format!("{} cannot be reached: {why}", self.target))
    }

    fn note(&self, address: Option<IpAddr>, outcome: Outcome) {
        let (who, purpose) = (self.cause.who.to_string(), self.cause.purpose);
        self.guard.ledger.connected(&Connection { who, purpose, target: self.target.clone(), address, outcome });
    }
}
