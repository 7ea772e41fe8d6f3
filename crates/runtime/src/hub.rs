//! Who follows which session live. Bounded: a follower that falls behind reads the journal instead.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use mainstay_session::feed::Moment;
use mainstay_vocabulary::SessionId;
use tokio::sync::broadcast;

/// Commits that a follower may lag behind before it must read the journal.
const BACKLOG: usize = 64;

/// What one commit shows.
pub(crate) type Shown = Arc<[Moment]>;

/// Followers by session.
#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<HashMap<SessionId, broadcast::Sender<Shown>>>);

impl Hub {
    /// Follows a session from now on.
    pub(crate) fn subscribe(&self, session: SessionId) -> broadcast::Receiver<Shown> {
        self.lock().entry(session).or_insert_with(|| broadcast::Sender::new(BACKLOG)).subscribe()
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

    /// Forgets a session that nobody follows.
    pub(crate) fn release(&self, session: SessionId) {
        let mut senders = self.lock();
        if senders.get(&session).is_some_and(|sender| sender.receiver_count() == 0) {
            senders.remove(&session);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, broadcast::Sender<Shown>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
