//! What callers ask of a lane, with the channel that each answer goes back on.

use mainstay_vocabulary::{Epoch, Shard};
use tokio::sync::oneshot;

use crate::{
    error::Error,
    seam::{Batch, Committed, Lease, Slice},
};

/// Where an answer goes. A caller that no longer waits is not an error.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A write that shares a transaction with its neighbours.
pub(super) enum Request {
    Commit { lease: Lease, batch: Box<Batch>, reply: Reply<Committed> },
    Append { lease: Lease, slice: Slice, reply: Reply<()> },
}

/// A shard as it was taken.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) shard: Shard,
    pub(super) epoch: Epoch,
    /// Commits under all leases so far.
    pub(super) commit_no: i64,
}

/// Everything that a lane does.
pub(super) enum Task {
    Write(Request),
    /// Lets go of a shard: writes that were asked for before are done, later ones are fenced.
    Leave {
        shard: Shard,
        reply: Reply<()>,
    },
    /// Serves a shard that was taken.
    Hold {
        taken: Taken,
        reply: Reply<()>,
    },
    Close {
        reply: Reply<()>,
    },
}

impl Request {
    pub(super) const fn lease(&self) -> Lease {
        match self {
            Self::Commit { lease, .. } | Self::Append { lease, .. } => *lease,
        }
    }

    pub(super) fn reply(self, answer: Result<Committed, Error>) {
        match self {
            Self::Commit { reply, .. } => drop(reply.send(answer)),
            Self::Append { reply, .. } => drop(reply.send(answer.map(|_| ()))),
        }
    }
}
