//! The seam: policies that are loaded once and asked often.

use std::sync::Arc;

use crate::{Error, Explanation, Question, Source, Verdict, VerdictKind};

/// Policies that a verdict names at most; a verdict is journaled.
pub const MAX_NAMED: usize = 32;

/// Policies in force: immutable, cheap to clone and to share.
#[derive(Clone, Debug)]
pub struct Policies {
    version: Arc<str>,
}

impl Policies {
    /// Loads sources.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn load(_sources: &[Source]) -> Result<Self, Error> {
        Ok(Self { version: Arc::from("") })
    }

    /// The standard policy.
    pub fn standard() -> Self {
        Self { version: Arc::from("") }
    }

    /// The version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The verdict.
    pub fn decide(&self, question: &Question) -> Verdict {
        self.explain(question).verdict
    }

    /// How the verdict comes about.
    pub fn explain(&self, _question: &Question) -> Explanation {
        let verdict = Verdict { kind: VerdictKind::Deny, version: self.version.clone(), policies: vec![], reasons: vec![], ask: None };
        Explanation { verdict, matched: vec![], in_slice: 0, evaluated: 0 }
    }
}
