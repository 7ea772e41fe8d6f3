//! What callers ask of the writer thread, with the channel that each answer goes back on.

use std::path::PathBuf;

use mainstay_vocabulary::{SessionId, Shard, Tenant, Timestamp};
use tokio::sync::oneshot;

use super::apply::{Stop, Work};
use crate::{
    error::Error,
    seam::{Batch, Committed, Lease, Slice},
};

/// Where an answer goes. A caller that no longer waits is not an error.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Answers to the requests of one transaction, in order.
pub(super) type Answers = Vec<Result<Committed, Error>>;

/// A request that shares a transaction with its neighbours.
pub(super) enum Request {
    Commit { lease: Lease, batch: Box<Batch>, reply: Reply<Committed> },
    Append { lease: Lease, slice: Slice, reply: Reply<()> },
}

/// A removal of what expired, with the files that a reader found to belong to no row.
pub(super) struct Sweep {
    pub(super) shard: Shard,
    pub(super) now: Timestamp,
    pub(super) orphans: Vec<PathBuf>,
}

/// Everything that the writer thread does.
pub(super) enum Task {
    Write(Request),
    Acquire { shard: Shard, incarnation: [u8; 16], reply: Reply<Lease> },
    Frames { tenant: Tenant, session: SessionId, reply: Reply<Vec<Slice>> },
    Sweep { sweep: Sweep, reply: Reply<()> },
    Close { reply: Reply<()> },
}

impl Request {
    pub(super) const fn lease(&self) -> Lease {
        match self {
            Self::Commit { lease, .. } | Self::Append { lease, .. } => *lease,
        }
    }

    pub(super) fn apply(&self, work: &mut Work<'_>) -> Result<Committed, Stop> {
        match self {
            Self::Commit { batch, .. } => work.commit(batch),
            Self::Append { slice, .. } => work.append(slice),
        }
    }

    pub(super) fn reply(self, answer: Result<Committed, Error>) {
        match self {
            Self::Commit { reply, .. } => drop(reply.send(answer)),
            Self::Append { reply, .. } => drop(reply.send(answer.map(|_| ()))),
        }
    }
}
