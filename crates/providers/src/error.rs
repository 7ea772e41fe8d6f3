//! Why a provider cannot be built. What goes wrong while one serves is a `Failure` of the vocabulary.

use std::path::PathBuf;

/// Why a provider cannot be built. Every variant means: tell the operator, the configuration is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is missing or means nothing.
    #[error("provider refused: {0}")]
    Refused(String),
    /// The embedded engine cannot be started.
    #[cfg(feature = "local")]
    #[error("starting the embedded engine")]
    Local(#[from] mainstay_local::Error),
    /// The file of canned replies cannot be read.
    #[error("reading script {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of canned replies is not a script.
    #[error("script {path} refused: {reason}")]
    Script {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
}
