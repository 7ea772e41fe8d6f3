//! Who takes a command: this node's driver, or the node that holds the session's shard; and which shard a new session
//! goes to.

use std::{sync::Arc, time::Duration};

use mainstay_session::Command;
use mainstay_store::seam::Idempotency;
use mainstay_vocabulary::{SessionId, Shard};
use tokio::sync::oneshot;

use crate::{
    driver::{Ask, Message},
    engine::{Accepted, Caller, Inner},
    error::Error,
    peer::{Known, Submit, Undone},
};

/// First wait before a command that no node took is sent again; doubles.
const AGAIN: Duration = Duration::from_millis(50);
/// Longest such wait.
const MAX_AGAIN: Duration = Duration::from_secs(1);
/// How long a command waits for a node that takes it: a lease of the usual length runs out within it, and its shard is
/// taken over.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at what a shard still does.
const POLL: Duration = Duration::from_millis(10);

impl Inner {
    /// The shard that a digest names.
    pub(crate) fn home(&self, digest: &[u8; 32]) -> Shard {
        Shard(u16::from_be_bytes([digest[30], digest[31]]) % self.leases.shards())
    }

    /// A shard that this node drives, drawn by random bytes; any, where it drives none.
    pub(crate) fn own_shard(&self, random: &[u8; 16]) -> Shard {
        let drawn = usize::from(u16::from_be_bytes([random[14], random[15]]));
        let serving = self.leases.serving();
        match serving.len() {
            0 => Shard((drawn % usize::from(self.leases.shards())) as u16),
            count => serving[drawn % count],
        }
    }

    /// A number that no other process draws.
    pub(crate) fn number(&self) -> [u8; 16] {
        let mut number = [0; 16];
        self.journal.entropy.fill(&mut number);
        number
    }

    /// Sends a command to whoever drives the session; waits while nobody does.
    pub(crate) async fn place(
        self: &Arc<Self>,
        caller: &Caller,
        session: SessionId,
        command: Command,
        idempotency: Option<&Idempotency>,
    ) -> Result<Accepted, Error> {
        let (mut waited, mut wait) = (Duration::ZERO, AGAIN);
        loop {
            let answer = if self.leases.is_held(session.shard()) {
                self.command(caller, session, command.clone(), idempotency.cloned()).await
            } else {
                let (caller, command) = (caller.clone(), command.clone());
                self.forward(Submit { caller, session, command, idempotency: idempotency.map(Known::from) }).await
            };
            match answer {
                Err(Error::Elsewhere) if self.leases.is_sole() => {
                    return Err(Error::Unavailable("another process has taken over".to_owned()));
                }
                Err(Error::Elsewhere) if waited < PATIENCE && self.is_running() => {
                    self.directory.is_stale();
                    tokio::time::sleep(wait).await;
                    waited += wait;
                    wait = (wait * 2).min(MAX_AGAIN);
                }
                Err(Error::Elsewhere) => {
                    return Err(Error::Unavailable("no node drives the session just now".to_owned()));
                }
                other => return other,
            }
        }
    }

    /// Lets this node's driver take a command.
    pub(crate) async fn command(
        self: &Arc<Self>,
        caller: &Caller,
        session: SessionId,
        command: Command,
        idempotency: Option<Idempotency>,
    ) -> Result<Accepted, Error> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask { caller: caller.clone(), command, idempotency, reply };
        self.send(session, Message::Command(Box::new(ask)))?;
        answer.await.unwrap_or_else(|_| Err(Error::Unavailable("the session's driver ended".to_owned())))
    }

    /// Lets the node take a command that holds the session's shard.
    async fn forward(&self, errand: Submit) -> Result<Accepted, Error> {
        let shard = errand.session.shard();
        let (Some(post), Some(address)) = (&self.post, self.directory.address(shard)) else {
            return Err(Error::Elsewhere);
        };
        match post.submit((&address, self.number()), &errand).await {
            Ok(answer) => answer,
            // Under a key the next try finds what became of this one.
            Err(Undone::Unknown(why)) if errand.idempotency.is_none() => {
                Err(Error::Unavailable(format!("the node that drives the session did not answer: {why}")))
            }
            Err(Undone::Not(why) | Undone::Unknown(why)) => {
                tracing::debug!(session = %errand.session, why, "a command is sent again");
                Err(Error::Elsewhere)
            }
        }
    }

    /// Waits until no work is under way in a shard.
    pub(crate) async fn until_resting(&self, shard: Shard) {
        while self.leases.is_working(shard) {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until no session of a shard is in memory.
    pub(crate) async fn until_empty(&self, shard: Shard) {
        while self.drives(shard) {
            tokio::time::sleep(POLL).await;
        }
    }
}
