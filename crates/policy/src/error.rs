//! What is wrong with policies that do not load.

use std::fmt;

/// Faults that are shown at once; more are counted. A person reads them.
pub const MAX_FAULTS: usize = 20;

/// Why policies did not load. Nothing of them is in force then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The operator must change a source; each fault says where and how.
    #[error("{0}")]
    Refused(Faults),
    /// The schema that is compiled in cannot be read: a defect of this crate.
    #[error("the schema of policies cannot be read: {0}")]
    Schema(String),
}

/// What is wrong with the sources: at least one fault, at most `MAX_FAULTS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// Sorted by file and place.
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub more: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The source's name.
    pub file: String,
    /// From 1; 0 where the source as a whole is meant.
    pub line: usize,
    /// In characters, from 1; 0 where the line as a whole is meant.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What would be right, where that is known.
    pub right: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(out, "{}: {}", self.file, self.what)?,
            (line, 0) => write!(out, "{}:{line}: {}", self.file, self.what)?,
            (line, column) => write!(out, "{}:{line}:{column}: {}", self.file, self.what)?,
        }
        match &self.right {
            Some(right) => write!(out, "; {right}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.faults.iter().enumerate() {
            if place > 0 {
                writeln!(out)?;
            }
            write!(out, "{fault}")?;
        }
        if self.more > 0 {
            write!(out, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl From<Vec<Fault>> for Error {
    fn from(mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        let more = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        Self::Refused(Faults { faults, more })
    }
}
