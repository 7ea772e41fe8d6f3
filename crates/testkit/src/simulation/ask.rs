//! What clients asked, with every answer they got: the checks hold the journal against it.

use mainstay_runtime::{Accepted, Caller, Error, Idempotent};
use mainstay_session::Command;
use mainstay_vocabulary::{Sequence, SessionId};

/// A command that a client sent, maybe several times.
#[derive(Clone)]
pub(super) struct Ask {
    /// What it is, for the trace and the coverage.
    pub(super) kind: &'static str,
    pub(super) session: SessionId,
    pub(super) caller: Caller,
    pub(super) command: Command,
    /// Text that stands in exactly one event if it was accepted.
    pub(super) markers: Vec<String>,
    pub(super) key: Option<String>,
    /// Whether its command is whole: a fork's is only once the parent was read.
    pub(super) is_ready: bool,
    /// Sent under a key that an accepted request had taken.
    pub(super) is_impostor: bool,
    pub(super) attempts: usize,
    pub(super) answers: Vec<Reply>,
}

/// An answer to one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Accepted {
        session: SessionId,
        first: Sequence,
        last: Sequence,
        replayed: bool,
    },
    /// Nothing was changed.
    Refused(String),
    /// The key belongs to another request.
    Mismatch,
    /// It may have been accepted.
    Unsure(String),
}

impl Ask {
    /// Whether an attempt has no answer yet; after a crash it never gets one.
    pub(super) fn is_under_way(&self) -> bool {
        self.attempts > self.answers.len()
    }

    /// Where its events stand, if a client knows. One that changed nothing has none.
    pub(super) fn accepted(&self) -> Option<(Sequence, Sequence)> {
        self.answers.iter().find_map(|answer| match answer {
            Reply::Accepted { first, last, replayed: false, .. } if first <= last => Some((*first, *last)),
            _ => None,
        })
    }

    /// Whether it was accepted and left a trace that its key finds again.
    pub(super) fn holds_key(&self) -> bool {
        self.key.is_some() && self.accepted().is_some()
    }

    /// Whether any answer said that it was accepted.
    pub(super) fn is_accepted(&self) -> bool {
        self.answers.iter().any(|answer| matches!(answer, Reply::Accepted { .. }))
    }

    /// Whether any attempt may have been accepted without the client knowing.
    pub(super) fn is_unsure(&self) -> bool {
        self.is_under_way() || self.answers.iter().any(|answer| matches!(answer, Reply::Unsure(_)))
    }

    /// The key as the engine wants it.
    pub(super) fn idempotent(&self) -> Option<Idempotent> {
        let key = self.key.clone()?;
        let creates = matches!(self.command, Command::Create(_));
        let target = if creates { String::new() } else { self.session.to_string() };
        let request = format!("{:?}", self.command).into_bytes();
        Some(Idempotent { operation: "simulated", target, key, request })
    }
}

impl From<Result<Accepted, Error>> for Reply {
    fn from(answer: Result<Accepted, Error>) -> Self {
        match answer {
            Ok(accepted) => Self::Accepted {
                session: accepted.session,
                first: accepted.first,
                last: accepted.sequence,
                replayed: accepted.replayed,
            },
            Err(Error::IdempotencyMismatch) => Self::Mismatch,
            Err(Error::Unavailable(why)) => Self::Unsure(why),
            Err(refusal) => Self::Refused(refusal.to_string()),
        }
    }
}
