//! Why an engine cannot be started. What goes wrong while it serves is a `Failure` of the vocabulary.

use std::path::PathBuf;

/// Why an engine cannot be started. Every variant means: tell the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model file cannot be read.
    #[error("reading model file {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a model that can be loaded: foreign, cut off, corrupt, or without a chat template.
    #[error("model file {path} refused: {reason}")]
    Model {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An option means nothing, or the machine cannot run the engine.
    #[error("embedded engine refused: {0}")]
    Refused(String),
}
