//! Why nothing can be built or connected. What goes wrong in a call is a [`crate::Failure`].

/// Why something was not done. No variant leaves an effect behind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting means nothing, or the guard forbids it: tell the operator.
    #[error("{0}")]
    Refused(String),
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
}
