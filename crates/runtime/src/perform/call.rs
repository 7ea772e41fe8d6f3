//! Lists tools and makes calls of a session, each in a task of its own, and hands what comes back to its driver.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::StreamExt;
use mainstay_tools::{Call, Failure, FailureKind, Listing, Returned, Step, Toolbox};
use mainstay_vocabulary::Sequence;
use tokio::{sync::mpsc, task::JoinHandle};

use super::infer::Permit;
use crate::{
    lease::Working,
    task::{TaskKind, Tasks},
};

/// Outcomes that wait for the driver: more than can be under way.
const BACKLOG: usize = 2 * mainstay_session::effect::MAX_RUNNING;

/// What comes back.
#[derive(Debug)]
pub(crate) enum Back {
    /// A toolset's tools.
    Listed {
        /// Its label.
        toolset: String,
        result: Result<Listing, Failure>,
    },
    /// A call's end.
    Ended {
        /// The sequence of its `CallOpened`.
        call: Sequence,
        /// The sequence of its `CallIntended`.
        intent: Sequence,
        result: Result<Returned, Failure>,
    },
}

/// What of a session is under way. Dropping it cancels all of it.
pub(crate) struct Calls {
    listing: Option<(String, JoinHandle<()>)>,
    running: BTreeMap<Sequence, Under>,
    sender: mpsc::Sender<Back>,
    back: mpsc::Receiver<Back>,
}

/// A call under way.
struct Under {
    task: JoinHandle<()>,
    #[allow(dead_code, reason = "held until the call is over")]
    working: Working,
}

impl Default for Calls {
    fn default() -> Self {
        let (sender, back) = mpsc::channel(BACKLOG);
        Self { listing: None, running: BTreeMap::new(), sender, back }
    }
}

impl Calls {
    /// The intents under way.
    pub(crate) fn intents(&self) -> Vec<Sequence> {
        self.running.keys().copied().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.listing.is_none()
    }

    pub(crate) fn is_listing(&self) -> bool {
        self.listing.is_some()
    }

    /// Forgets calls whose intent is none of these.
    pub(crate) fn keep(&mut self, is_open: impl Fn(Sequence) -> bool) {
        self.running.retain(|intent, under| {
            let stays = is_open(*intent);
            if !stays {
                under.task.abort();
            }
            stays
        });
    }

    /// Forgets a listing that is no longer wanted.
    pub(crate) fn keep_listing(&mut self, label: Option<&str>) {
        if let Some((listing, task)) = &self.listing
            && label != Some(listing)
        {
            task.abort();
            self.listing = None;
        }
    }

    /// Lists a toolset's tools.
    pub(crate) fn list(&mut self, tasks: &Tasks, toolset: String, toolbox: Result<Arc<dyn Toolbox>, Failure>) {
        let (sender, label) = (self.sender.clone(), toolset.clone());
        let list = async move {
            let result = match toolbox {
                Ok(toolbox) => toolbox.list().await,
                Err(failure) => Err(failure),
            };
            let _ = sender.send(Back::Listed { toolset: label, result }).await;
        };
        if let Ok(task) = tasks.spawn(TaskKind::Tool, list) {
            self.listing = Some((toolset, task));
        }
    }

    /// Makes a call if `permit` still holds then. Its intent is committed.
    pub(crate) fn start(&mut self, tasks: &Tasks, (call, intent): (Sequence, Sequence), start: Start) {
        let Start { permit, toolbox, request, working } = start;
        let (sender, refused) = (self.sender.clone(), self.sender.clone());
        let make = async move {
            let result = make(permit, toolbox, request).await;
            let _ = sender.send(Back::Ended { call, intent, result }).await;
        };
        match tasks.spawn(TaskKind::Tool, make) {
            Ok(task) => drop(self.running.insert(intent, Under { task, working })),
            Err(_) => {
                let failure = Failure::new(FailureKind::NotSent, "too many calls are under way");
                // The channel has room for every call that may be under way.
                let _ = refused.try_send(Back::Ended { call, intent, result: Err(failure) });
            }
        }
    }

    /// Waits for what comes back next; for ever if nothing is under way.
    pub(crate) async fn next(&mut self) -> Back {
        let Some(back) = self.back.recv().await else { return std::future::pending().await };
        match &back {
            Back::Listed { .. } => self.listing = None,
            Back::Ended { intent, .. } => drop(self.running.remove(intent)),
        }
        back
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.keep(|_| false);
        self.keep_listing(None);
    }
}

/// What a call needs.
pub(crate) struct Start {
    /// Whether the lease is still the one under which the intent stands.
    pub(crate) permit: Permit,
    pub(crate) toolbox: Result<Arc<dyn Toolbox>, Failure>,
    pub(crate) request: Call,
    pub(crate) working: Working,
}

async fn make(permit: Permit, toolbox: Result<Arc<dyn Toolbox>, Failure>, request: Call) -> Result<Returned, Failure> {
    let toolbox = toolbox?;
    // As for an inference: what remains between this check and the send is one poll, without an await on our side.
    if !permit() {
        return Err(Failure::new(FailureKind::NotSent, "the lease moved on before the call was sent"));
    }
    let mut steps = toolbox.call(request);
    while let Some(step) = steps.next().await {
        if let Step::Ended(result) = step {
            return result;
        }
    }
    Err(Failure::new(FailureKind::Unknown, "the call ended without an outcome"))
}
