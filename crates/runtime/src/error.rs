//! Why the engine did not do what it was asked, by what the caller may do about it.

use std::borrow::Cow;

use mainstay_session::Refusal;
use serde::{Deserialize, Serialize};

/// Why the engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Error {
    /// There is no such thing for this caller.
    #[error("not found")]
    NotFound,
    /// The session refuses the command; nothing changed.
    #[error("the session refuses: {0:?}")]
    Refused(Refusal),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used with another request")]
    IdempotencyMismatch,
    /// The disk is full; nothing was accepted.
    #[error("the disk is full")]
    Full,
    /// Try again later.
    #[error("not available: {0}")]
    Unavailable(String),
    /// Another node serves the session, or none does just now. Nothing has changed.
    #[error("the session is served by another node")]
    Elsewhere,
    /// A bound is reached; try again later.
    #[error("too many {0}")]
    Overloaded(Cow<'static, str>),
    /// The request holds more than may be kept.
    #[error("{0} is too large")]
    TooLarge(Cow<'static, str>),
    /// What is stored is not what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::NotFound,
            other => Self::Refused(other),
        }
    }
}

impl From<mainstay_store::Error> for Error {
    fn from(error: mainstay_store::Error) -> Self {
        use mainstay_store::Error as Store;
        match error {
            Store::Full => Self::Full,
            Store::Corrupt(what) => Self::Corrupt(what),
            // Trying again would not help.
            Store::Malformed(rule) => Self::Corrupt(format!("a batch breaks a rule of the store: {rule}")),
            Store::Fenced | Store::Held => Self::Elsewhere,
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<mainstay_seal::Error> for Error {
    fn from(error: mainstay_seal::Error) -> Self {
        use mainstay_seal::Error as Seal;
        match error {
            Seal::Destroyed => Self::NotFound,
            Seal::Unavailable { .. } | Seal::Unreachable { .. } | Seal::Full => Self::Unavailable(error.to_string()),
            other => Self::Corrupt(other.to_string()),
        }
    }
}
