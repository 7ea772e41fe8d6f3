//! Why a model did not arrive, by what is to be done about it.

use std::io::{self, ErrorKind};

use anyhow::{Error, anyhow};

/// Why a source did not bring the file.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It broke off; what came is kept and can be gone on with.
    Broken(Error),
    /// This source does not have the file; what came is worth nothing.
    Refused(Error),
    /// This machine cannot take it; no other source helps.
    Here(Error),
}

impl Stop {
    /// A failed write: no room or no right to.
    pub(crate) fn of_write(error: io::Error) -> Self {
        Self::Here(match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                anyhow!("no room for the model ({error}); what had come was removed")
            }
            _ => Error::new(error).context("writing the model"),
        })
    }

    /// The reason alone, where there is no other source to go on with.
    pub(crate) fn reason(self) -> Error {
        match self {
            Self::Broken(error) | Self::Refused(error) | Self::Here(error) => error,
        }
    }
}

/// A source that is refused, in words.
macro_rules! refuse {
    ($($words:tt)*) => { return Err(crate::models::stop::Stop::Refused(anyhow::anyhow!($($words)*))) };
}
pub(crate) use refuse;
