//! Why a store verb failed, by what the caller may do about it.

use mainstay_vocabulary::Sequence;

use crate::seam::Remembered;

/// Why a store verb failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Reload and decide again.
    #[error("the session moved on to sequence {}", head.0)]
    Conflict {
        /// Where it stands.
        head: Sequence,
    },
    /// The request was accepted before; answer with its result, or refuse if the digests differ.
    #[error("the idempotency key was used before")]
    Duplicate(Remembered),
    /// Stop writing to the shard: another incarnation owns it.
    #[error("the lease on the shard is lost")]
    Fenced,
    /// The lease of another incarnation still runs; try again once it has run out.
    #[error("another process holds the shard")]
    Held,
    /// Not enough money in an escrow account.
    #[error("the account has not enough funds")]
    Funds,
    /// Nothing was written; try again once there is room.
    #[error("the disk is full")]
    Full,
    /// Nothing was written; try again later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Take the shard anew, then ask `outcome`.
    #[error("whether the commit took place is unknown: {0}")]
    Unknown(String),
    /// The batch breaks a rule of the seam; a bug of the caller.
    #[error("the batch is malformed: {0}")]
    Malformed(&'static str),
    /// Do it another way, which the message names: this store does not do it.
    #[error("{0}")]
    Unsupported(String),
    /// Stop: what is stored is not what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
}
