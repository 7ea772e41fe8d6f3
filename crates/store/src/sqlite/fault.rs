//! What a failure of SQLite or of the file system means to a caller.

use std::io;

use rusqlite::{ErrorCode, ffi};

use crate::error::Error;

/// A failure before COMMIT: nothing of the transaction is, or can come to be, in the file.
pub(super) fn before_commit(error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Corrupt(error.to_string()),
        Some(ErrorCode::ConstraintViolation) => Error::Corrupt(format!("an assertion failed: {error}")),
        _ if extended(error) == ffi::SQLITE_IOERR_SHMSIZE => Error::Full,
        None if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) => Error::Corrupt(error.to_string()),
        _ => Error::Unavailable(error.to_string()),
    }
}

/// A failure of COMMIT itself. Frames are written to the log in order and the one that marks the commit comes last, so
/// a write that found no room cannot have been followed by it: `Full` is sure. After anything else (a write or
/// fsync that failed) the mark may or may not reach the disk.
pub(super) fn at_commit(error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        _ => Error::Unknown(error.to_string()),
    }
}

/// A failure of a file operation, for a file that nothing refers to yet.
pub(super) fn file(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
        _ => Error::Unavailable(error.to_string()),
    }
}

fn extended(error: &rusqlite::Error) -> i32 {
    error.sqlite_error().map_or(0, |error| error.extended_code)
}
