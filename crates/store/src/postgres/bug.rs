//! Bugs that a test build can plant, so that the tests of this backend can be seen to fail. Without the feature `faults`
//! there are none.

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A commit asserts nothing of its shards.
    NoFence,
    /// A shard is taken without a new epoch, so that nothing waits for the transaction before.
    LookWithoutEpoch,
    /// A commit is acknowledged whatever came of it.
    AckBeforeCommit,
}

/// All of them.
pub const BUGS: [Bug; 3] = [Bug::NoFence, Bug::LookWithoutEpoch, Bug::AckBeforeCommit];
