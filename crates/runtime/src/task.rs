//! Every task of the process is spawned here, under a kind and one cancellation tree.

use std::{future::Future, sync::Arc};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
};

/// What a task is for; decides how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Drives one session. Ends when the session rests.
    Session,
    /// Makes one inference. Ends with its session's driver.
    Inference,
    /// Serves one client connection.
    Connection,
    /// Finds sessions that must be driven and timers that are due.
    Recovery,
    /// Books one tenant's inferences that belong to no session.
    Gateway,
    /// Delivers what waits for one webhook endpoint.
    Webhook,
    /// Keeps leases, and takes and gives back shards.
    Membership,
    /// Gives one shard back once it rests.
    Handover,
    /// Hears from another node what one of its sessions shows.
    Relay,
    /// Lists a toolset or makes one call of a tool. Ends with its session's driver.
    Tool,
}

impl TaskKind {
    /// Most tasks of this kind at once: memory is bounded by them.
    pub const fn limit(self) -> usize {
        match self {
            Self::Session | Self::Inference | Self::Tool => 50_000,
            Self::Connection => 20_000,
            Self::Gateway => 10_000,
            Self::Recovery => 4,
            Self::Membership => 1,
            // One for each shard at most.
            Self::Handover => 65_536,
            Self::Relay => 20_000,
            Self::Webhook => crate::webhook::MAX_ENDPOINTS,
        }
    }
}

/// The tasks of one process.
#[derive(Clone, Debug)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: [Arc<Semaphore>; 10],
    stop: watch::Sender<Stage>,
}

/// How far shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// All runs.
    Serving,
    /// No new input; what runs comes to a commit.
    Draining,
    /// Everything ends now.
    Stopped,
}

/// Why a task was not spawned: as many of its kind run as may.
#[derive(Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Default for Tasks {
    fn default() -> Self {
        use TaskKind::{Connection, Gateway, Handover, Inference, Membership, Recovery, Relay, Session, Tool, Webhook};
        let slots = [Session, Inference, Connection, Recovery, Gateway, Webhook, Membership, Handover, Relay, Tool]
            .map(|kind| Arc::new(Semaphore::new(kind.limit())));
        Self(Arc::new(Inner { slots, stop: watch::Sender::new(Stage::Serving) }))
    }
}

impl Tasks {
    /// Spawns a task. It must end soon after `stage` is `Stopped`.
    ///
    /// # Errors
    /// `Exhausted` if the kind's limit is reached.
    #[allow(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, kind: TaskKind, future: F) -> Result<JoinHandle<F::Output>, Exhausted>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let slot = self.slot(kind)?;
        // An async block holds what it captures and what it awaits: without the box, a driver's state twice.
        let future = Box::pin(future);
        Ok(tokio::spawn(async move {
            let output = future.await;
            drop(slot);
            output
        }))
    }

    /// Counts something as a task of a kind while it is held, though it runs within another.
    ///
    /// # Errors
    /// `Exhausted` if the kind's limit is reached.
    pub fn slot(&self, kind: TaskKind) -> Result<OwnedSemaphorePermit, Exhausted> {
        Arc::clone(&self.0.slots[kind as usize]).try_acquire_owned().map_err(|_| Exhausted)
    }

    /// How many tasks of a kind run.
    pub fn running(&self, kind: TaskKind) -> usize {
        kind.limit() - self.0.slots[kind as usize].available_permits()
    }

    /// Follows how far shutdown has come.
    pub fn stage(&self) -> watch::Receiver<Stage> {
        self.0.stop.subscribe()
    }

    /// Whether new input is still taken.
    pub fn is_serving(&self) -> bool {
        *self.0.stop.borrow() == Stage::Serving
    }

    /// Moves shutdown on; never back.
    pub fn advance(&self, stage: Stage) {
        self.0.stop.send_if_modified(|current| {
            let moves = stage > *current;
            *current = stage.max(*current);
            moves
        });
    }
}
