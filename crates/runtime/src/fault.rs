//! Named points of the commit path where a test build can kill the process, and bugs that it can plant, so that the
//! tests of the promises can be seen to fail. Without the feature `faults` all of it compiles to nothing.

/// How long the process goes on beside the task that a kill point holds.
#[cfg(feature = "faults")]
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(30);

/// A place around a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// A client's command is decided, not committed.
    CommandDecided,
    /// A client's command is committed, not acknowledged.
    CommandCommitted,
    /// An intent is decided, not committed.
    IntentDecided,
    /// An intent is committed, nothing was sent.
    IntentCommitted,
    /// Deltas have arrived, not committed.
    FrameReady,
    /// Deltas are committed, not shown.
    FrameCommitted,
    /// An outcome is decided, not committed.
    OutcomeDecided,
    /// An outcome is committed, not shown.
    OutcomeCommitted,
    /// Recovery of a session is decided, not committed.
    RecoveryDecided,
    /// Recovery of a session is committed.
    RecoveryCommitted,
}

/// All points, for tests that walk through them.
pub const POINTS: [Point; 10] = [
    Point::CommandDecided,
    Point::CommandCommitted,
    Point::IntentDecided,
    Point::IntentCommitted,
    Point::FrameReady,
    Point::FrameCommitted,
    Point::OutcomeDecided,
    Point::OutcomeCommitted,
    Point::RecoveryDecided,
    Point::RecoveryCommitted,
];

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// Acknowledges a command before its commit.
    AckBeforeCommit,
    /// Sends an inference before its intent is committed.
    EffectBeforeIntent,
    /// Shows deltas before their commit.
    FrameShownBeforeCommit,
    /// Never writes deltas.
    FrameNotWritten,
    /// Takes no notice of deltas that a predecessor wrote.
    FramesForgotten,
    /// Does not recover a session that a predecessor left open.
    NoRecovery,
    /// Books an interrupted inference a second time.
    BookedTwice,
    /// Retries an unknown commit without asking for its outcome.
    UnknownRetried,
    /// Takes an unknown commit for done.
    UnknownTakenForDone,
    /// Takes the shard back from a successor instead of stopping.
    LeaseKept,
    /// Starts ordinals anew after a restart.
    OrdinalsReused,
    /// Does not remember idempotency keys.
    KeyForgotten,
    /// Drops an outcome when the disk is full.
    OutcomeDropped,
    /// Shows events to followers in another order than they were committed.
    OrderSwapped,
    /// Forgets what a context began anew with when it is read back.
    BaseForgotten,
    /// Shows a digest while the model writes it.
    DigestShown,
    /// Takes a call of a tool that was lost for one that was never sent.
    LossTakenForNothing,
    /// Sends each call of a tool twice.
    CallSentTwice,
}

/// All bugs, for tests that plant each.
pub const BUGS: [Bug; 18] = [
    Bug::AckBeforeCommit,
    Bug::EffectBeforeIntent,
    Bug::FrameShownBeforeCommit,
    Bug::FrameNotWritten,
    Bug::FramesForgotten,
    Bug::NoRecovery,
    Bug::BookedTwice,
    Bug::UnknownRetried,
    Bug::UnknownTakenForDone,
    Bug::LeaseKept,
    Bug::OrdinalsReused,
    Bug::KeyForgotten,
    Bug::OutcomeDropped,
    Bug::OrderSwapped,
    Bug::BaseForgotten,
    Bug::DigestShown,
    Bug::LossTakenForNothing,
    Bug::CallSentTwice,
];

/// What a test build breaks.
#[derive(Debug, Default)]
pub struct Faults {
    /// The planted bug.
    #[cfg(feature = "faults")]
    pub bug: Option<Bug>,
    /// Kills the process (SIGKILL) at the n-th passage of the point, from 1.
    #[cfg(feature = "faults")]
    pub kill: Option<(Point, std::sync::atomic::AtomicU64)>,
}

impl Faults {
    /// Whether the bug is planted.
    #[cfg(feature = "faults")]
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether the bug is planted.
    #[cfg(not(feature = "faults"))]
    #[allow(clippy::unused_self, reason = "the same call in every build")]
    pub(crate) const fn has(&self, _: Bug) -> bool {
        false
    }

    /// Passes a point; may not return. What other tasks were handed before gets time to leave the process, so that
    /// whatever was said too early is heard. Killing needs a runtime of several threads.
    #[cfg(feature = "faults")]
    pub(crate) fn pass(&self, point: Point) {
        use std::sync::atomic::Ordering;
        if let Some((at, left)) = &self.kill
            && *at == point
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            tokio::task::block_in_place(|| std::thread::sleep(LAST_WORDS));
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }

    /// Passes a point.
    #[cfg(not(feature = "faults"))]
    #[allow(clippy::unused_self, reason = "the same call in every build")]
    pub(crate) const fn pass(&self, _: Point) {}
}
