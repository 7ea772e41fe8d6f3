//! Why a command did not do what it was asked, the exit code of that, and what to do next.

use std::{fmt, io};

/// What the exit codes mean, for `--help` and the manual.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    the command line is wrong
  3    there is no such session, turn or model
  4    the server refuses: the key, or the request as things stand
  5    the server cannot be reached
  130  interrupted by Ctrl-C";

/// The exit codes that scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing went wrong.
    Done,
    /// It was tried and failed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// What was named does not exist.
    NotFound,
    /// The server refuses.
    Refused,
    /// The server cannot be reached.
    Unreachable,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::Unreachable => 5,
            Self::Interrupted => 130,
        }
    }
}

/// What went wrong, and what to do about it.
#[derive(Debug)]
pub struct Error {
    /// The class.
    pub exit: Exit,
    message: String,
    advice: Option<String>,
}

/// What a command gives.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), advice: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Ctrl-C, where there is nothing more to say.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "")
    }

    /// The same with what to do next.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// What could not be written because nobody reads it is no error: `mainstay sessions list | head`.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "");
        }
        Self::new(Exit::Failed, format!("writing the output: {error}"))
    }

    /// Whether there is anything to say.
    pub const fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.advice {
            Some(advice) => write!(f, "\n  {}", advice.replace('\n', "\n  ")),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
