//! Who follows which session live. Bounded: a follower that falls behind reads the journal instead.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use mainstay_session::feed::Moment;
use mainstay_vocabulary::{SessionId, Shard};
use tokio::sync::broadcast;

/// Commits that a follower may lag behind before it must read the journal.
const BACKLOG: usize = 64;

/// What one commit shows.
pub(crate) type Shown = Arc<[Moment]>;

/// Followers by session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub(Arc<Mutex<HashMap<SessionId, broadcast::Sender<Shown>>>>);

/// One follower's place. Dropping it makes the hub forget a session that nobody follows any more.
#[derive(Debug)]
pub(crate) struct Live {
    hub: Hub,
    session: SessionId,
    /// Always there until the drop.
    shown: Option<broadcast::Receiver<Shown>>,
}

impl Hub {
    /// Follows a session from now on.
    pub(crate) fn subscribe(&self, session: SessionId) -> Live {
        let shown = self.lock().entry(session).or_insert_with(|| broadcast::Sender::new(BACKLOG)).subscribe();
        Live { hub: self.clone(), session, shown: Some(shown) }
    }

    /// Shows what a commit made true.
    pub(crate) fn publish(&self, session: SessionId, moments: Vec<Moment>) {
        let mut senders = self.lock();
        if let Some(sender) = senders.get(&session)
            && sender.send(Arc::from(moments)).is_err()
        {
            senders.remove(&session);
        }
    }

    /// Sends all followers of a session back to the journal: something was committed that nobody could show them.
    pub(crate) fn reset(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    /// The same for all sessions of a shard: another node shows them from now on.
    pub(crate) fn reset_shard(&self, shard: Shard) {
        self.lock().retain(|session, _| session.shard() != shard);
    }

    /// Whether anybody follows a session.
    pub(crate) fn is_followed(&self, session: SessionId) -> bool {
        self.lock().get(&session).is_some_and(|sender| sender.receiver_count() > 0)
    }

    fn release(&self, session: SessionId) {
        let mut senders = self.lock();
        if senders.get(&session).is_some_and(|sender| sender.receiver_count() == 0) {
            senders.remove(&session);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, broadcast::Sender<Shown>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Live {
    /// The next commit's moments.
    ///
    /// # Errors
    /// `Lagged` and `Closed`: what was missed is in the journal; a lagged one goes on, a closed one is at its end.
    pub(crate) async fn recv(&mut self) -> Result<Shown, broadcast::error::RecvError> {
        match &mut self.shown {
            Some(shown) => shown.recv().await,
            None => Err(broadcast::error::RecvError::Closed),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // First the receiver, which still counts.
        self.shown = None;
        self.hub.release(self.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_forgotten_with_its_last_follower() {
        let (hub, session) = (Hub::default(), SessionId::new(Shard(0), [1; 16]));
        let (one, other) = (hub.subscribe(session), hub.subscribe(session));
        drop(one);
        assert_eq!(hub.lock().len(), 1);
        drop(other);
        assert!(hub.lock().is_empty());
    }

    #[test]
    fn a_shard_that_leaves_takes_its_followers_along() {
        let (hub, here, there) = (Hub::default(), SessionId::new(Shard(0), [1; 16]), SessionId::new(Shard(1), [1; 16]));
        let (mut one, _other) = (hub.subscribe(here), hub.subscribe(there));
        hub.reset_shard(Shard(0));
        assert!(!hub.is_followed(here) && hub.is_followed(there));
        let closed = broadcast::error::TryRecvError::Closed;
        assert_eq!(one.shown.as_mut().map(|shown| shown.try_recv().map(drop)), Some(Err(closed)));
    }

    #[test]
    fn a_follower_of_before_a_reset_does_not_take_a_later_one_along() {
        let (hub, session) = (Hub::default(), SessionId::new(Shard(0), [1; 16]));
        let before = hub.subscribe(session);
        hub.reset(session);
        let _after = hub.subscribe(session);
        drop(before);
        assert_eq!(hub.lock().len(), 1);
    }
}
