//! Why sealing, opening or a key file failed, by what the caller may do about it.

use std::{io, path::PathBuf};

use mainstay_vocabulary::Sequence;

use crate::key::KeyId;

/// Why a verb of this crate failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stop this session: the bytes are not what was sealed, or were sealed for another session, place or context.
    #[error("the sealed bytes are damaged or belong elsewhere")]
    Damaged,
    /// Stop this session: an envelope of the chain is missing, damaged or out of place.
    #[error("the chain breaks at sequence {}: {reason}", sequence.0)]
    Broken {
        /// The place that should have come next.
        sequence: Sequence,
        /// What is wrong there.
        reason: &'static str,
    },
    /// Ask the keyring for an opener of `found` and try that one.
    #[error("sealed under key {found}, opened with key {held}")]
    WrongKey {
        /// The key that the bytes name.
        found: KeyId,
        /// The key of the sealer that was asked.
        held: KeyId,
    },
    /// Show a tombstone: the subject was erased, and what was sealed for it is unreadable for ever.
    #[error("the key was destroyed")]
    Destroyed,
    /// Look for another keyring: this one never held such a key, or none for such a subject.
    #[error("the keyring has no such key")]
    Unknown,
    /// Refuse new subjects: the keyring holds as many keys as it may.
    #[error("the keyring is full")]
    Full,
    /// Refuse to start: another process has these key files open.
    #[error("the key files in {} are in use by another process", dir.display())]
    InUse {
        /// The folder of the key files.
        dir: PathBuf,
    },
    /// Refuse to start, and restore the file from where it is kept safe.
    #[error("the key file {} is damaged: {reason}", file.display())]
    KeysDamaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Refuse to start: the records were made under another master key, or were changed.
    #[error("the database of keys: {reason}")]
    RecordsDamaged {
        /// What is wrong.
        reason: &'static str,
    },
    /// Try again later: the database of keys does not answer.
    #[error("the database of keys does not answer: {reason}")]
    Unreachable {
        /// What it or the network said.
        reason: String,
    },
    /// Try again later; nothing that the caller was told of is lost.
    #[error("could not {operation} {}", file.display())]
    Unavailable {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or folder.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
