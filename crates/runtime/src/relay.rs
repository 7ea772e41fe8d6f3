//! Sessions of other nodes that are followed here: one connection to the holder for all that follow a session, fed into
//! the same hub as this node's own. When it breaks, followers go back to the journal, and on from there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use mainstay_vocabulary::SessionId;
use tokio::sync::{broadcast, watch};

use crate::{
    engine::Inner,
    error::Error,
    hub::Live,
    peer::{self, Undone},
    task::{Stage, TaskKind},
};

/// Longest wait for a connection before a command is sent whose first moments it is to bring.
const READY: Duration = Duration::from_secs(5);
/// First wait before the holder is asked again; doubles.
const RETRY: Duration = Duration::from_millis(50);
/// Longest such wait.
const MAX_RETRY: Duration = Duration::from_secs(2);
/// How long a connection is kept that nobody follows: the next turn of a conversation may come.
const UNFOLLOWED: Duration = Duration::from_secs(10);
/// How often a node says that a connection stands; well within what the other end takes for silence.
const STANDS: Duration = Duration::from_secs(4);

/// The connections that stand or are tried, by session; each tells whether it stands.
#[derive(Default)]
pub(crate) struct Relays(Mutex<HashMap<SessionId, watch::Receiver<bool>>>);

impl Relays {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, watch::Receiver<bool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Follows a session from now on, wherever it is driven.
    pub(crate) fn listen(self: &Arc<Self>, session: SessionId) -> Live {
        if !self.leases.is_held(session.shard()) {
            drop(self.relay(session));
        }
        self.hub.subscribe(session)
    }

    /// The same, once what is committed from now on will be heard; late rather than never.
    pub(crate) async fn listen_surely(self: &Arc<Self>, session: SessionId) -> Live {
        if !self.leases.is_held(session.shard())
            && let Some(mut stands) = self.relay(session)
        {
            let _ = tokio::time::timeout(READY, stands.wait_for(|stands| *stands)).await;
        }
        self.hub.subscribe(session)
    }

    /// The connection for a session; begun where there is none.
    fn relay(self: &Arc<Self>, session: SessionId) -> Option<watch::Receiver<bool>> {
        self.post.as_ref()?;
        let mut relays = self.relays.lock();
        if let Some(stands) = relays.get(&session) {
            return Some(stands.clone());
        }
        let (tell, stands) = watch::channel(false);
        let relay = Relay { inner: Arc::clone(self), session, tell };
        // Followers read the journal where there are too many; they see what comes when they ask again.
        self.tasks.spawn(TaskKind::Relay, relay.run()).ok()?;
        relays.insert(session, stands.clone());
        Some(stands)
    }

    /// What a session shows from now on, as lines for another node.
    ///
    /// # Errors
    /// `Elsewhere`: this node does not drive it.
    pub(crate) fn lines(self: &Arc<Self>, session: SessionId) -> Result<impl Stream<Item = Vec<u8>> + use<>, Error> {
        let live = self.hub.subscribe(session);
        // Looked at after subscribing: what is given back from now on is heard of.
        self.leases.epoch(session.shard())?;
        let state = (Arc::clone(self), live);
        // The first line says that it has begun.
        let first = stream::iter([b"\n".to_vec()]);
        Ok(first.chain(stream::unfold(state, move |(inner, mut live)| async move {
            let mut stage = inner.tasks.stage();
            let line = tokio::select! {
                biased;
                _ = stage.wait_for(|stage| *stage == Stage::Stopped) => return None,
                shown = live.recv() => match shown {
                    Ok(shown) => peer::line(&shown),
                    // The other node's followers read the journal, and come back.
                    Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(STANDS) => b"\n".to_vec(),
            };
            Some((line, (inner, live)))
        })))
    }
}

struct Relay {
    inner: Arc<Inner>,
    session: SessionId,
    tell: watch::Sender<bool>,
}

impl Relay {
    async fn run(self) {
        let mut stage = self.inner.tasks.stage();
        tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage == Stage::Stopped) => {}
            () = self.feed() => {}
        }
        self.inner.relays.lock().remove(&self.session);
        // Whoever came while it ended begins another.
        self.inner.hub.reset(self.session);
    }

    /// Until the session is driven here, or nobody follows it any more.
    async fn feed(&self) {
        let mut wait = RETRY;
        loop {
            match self.connect().await {
                Ok(true) => wait = RETRY,
                Ok(false) => {}
                Err(Undone::Not(why) | Undone::Unknown(why)) => {
                    tracing::debug!(session = %self.session, why, "a session's node is not reached");
                    self.inner.directory.is_stale();
                }
            }
            self.tell.send_replace(false);
            if self.inner.leases.is_held(self.session.shard()) || !self.inner.hub.is_followed(self.session) {
                return;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(MAX_RETRY);
        }
    }

    /// One connection until it breaks or is not wanted; whether it ever stood.
    async fn connect(&self) -> Result<bool, Undone> {
        let Some(post) = &self.inner.post else { return Ok(false) };
        let address = self.inner.directory.address(self.session.shard());
        let address = address.ok_or_else(|| Undone::Not("nobody holds the shard".to_owned()))?;
        let mut lines = post.follow((&address, self.inner.number()), self.session).await?;
        let mut unfollowed = Duration::ZERO;
        let mut stands = false;
        while let Some(line) = lines.next().await {
            let Ok(line) = line else { break };
            if !stands {
                stands = true;
                // What was committed before is in the journal, and nobody here has seen it.
                self.inner.hub.reset(self.session);
                self.tell.send_replace(true);
            }
            match peer::read_line(&line) {
                Some(Ok(moments)) => self.inner.hub.publish(self.session, moments),
                Some(Err(error)) => {
                    tracing::warn!(session = %self.session, %error, "a node of another version shows what is not known here");
                    break;
                }
                // Such a line comes every `STANDS`.
                None if self.inner.hub.is_followed(self.session) => unfollowed = Duration::ZERO,
                None => unfollowed += STANDS,
            }
            if unfollowed > UNFOLLOWED || self.inner.leases.is_held(self.session.shard()) {
                return Ok(stands);
            }
        }
        // What was said after the break is in the journal.
        self.inner.hub.reset(self.session);
        Ok(stands)
    }
}
