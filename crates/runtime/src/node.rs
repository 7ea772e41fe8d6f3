//! What other nodes of the cluster may ask of this one. Every errand is signed; nothing here is for clients.

use futures_util::Stream;
use mainstay_store::seam::Idempotency;

use crate::{
    engine::Engine,
    error::Error,
    peer::{self, FollowSession, Submit, Taken},
    task::Stage,
};

/// Why another node's errand was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not from a node of this cluster; says why.
    Stranger(&'static str),
    /// This node does not drive the session.
    Elsewhere,
}

impl Engine {
    /// Takes a command from another node. The answer is for that node only.
    ///
    /// # Errors
    /// `Refused::Stranger`. What the session answers is in the answer, also a refusal.
    pub async fn take_errand(&self, signature: &str, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let Submit { caller, session, command, idempotency } = self.open(peer::SUBMIT, (signature, body))?;
        let answer = if self.inner.tasks.is_serving() {
            let idempotency = idempotency.map(Idempotency::from);
            self.inner.command(&caller, session, command, idempotency).await.map(Taken::from)
        } else {
            // Another will drive it in a moment.
            Err(Error::Elsewhere)
        };
        // Plain data: writing it as JSON into memory cannot fail.
        Ok(serde_json::to_vec(&answer).unwrap_or_default())
    }

    /// Lets another node follow a session: lines for as long as this node drives it.
    ///
    /// # Errors
    /// See `Refused`.
    pub fn let_follow(&self, signature: &str, body: &[u8]) -> Result<impl Stream<Item = Vec<u8>> + use<>, Refused> {
        let FollowSession { session } = self.open(peer::FOLLOW, (signature, body))?;
        self.inner.lines(session).map_err(|_| Refused::Elsewhere)
    }

    fn open<T: for<'de> serde::Deserialize<'de>>(
        &self,
        path: &str,
        (signature, body): (&str, &[u8]),
    ) -> Result<T, Refused> {
        let post = self.inner.post.as_ref().ok_or(Refused::Stranger("this server is no node of a cluster"))?;
        post.open(path, signature, body).map_err(Refused::Stranger)
    }

    /// How many nodes this one knows of, itself included, and how many shards it drives of how many. `None` where the
    /// store is this process's alone.
    pub fn standing(&self) -> Option<Standing> {
        let leases = &self.inner.leases;
        (!leases.is_sole()).then(|| Standing {
            nodes: self.inner.directory.nodes().len(),
            driven: leases.serving().len(),
            shards: leases.shards(),
            is_leaving: *self.inner.tasks.stage().borrow() != Stage::Serving,
        })
    }
}

/// A node among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Nodes that are there.
    pub nodes: usize,
    /// Shards that this one drives.
    pub driven: usize,
    /// Shards that there are.
    pub shards: u16,
    /// Whether it is about to stop.
    pub is_leaving: bool,
}
