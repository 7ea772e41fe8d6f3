//! One policy with what its annotations add to Cedar.

use std::sync::Arc;

use cedar_policy::{Effect, Policy};
use cedar_policy_core::ast::Expr;

use crate::{Says, annotation::Asks, quick::Test};

/// A loaded policy.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    /// Its place among all policies sorted by id.
    pub(crate) order: usize,
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    /// From the standard policy, unchanged.
    pub(crate) standard: bool,
    pub(crate) reason: Option<String>,
    /// The only tenant that it is about, by scope or annotation.
    pub(crate) tenant: Option<String>,
    pub(crate) asks: Option<Asks>,
    pub(crate) reads: Reads,
    /// Its canonical form, for the version.
    pub(crate) canonical: String,
    pub(crate) policy: Policy,
    /// Scope and conditions as one expression, without its places in the text: the engine would copy them at each step.
    pub(crate) condition: Expr,
    /// The same, for answering without Cedar where that is safe.
    pub(crate) quick: Test,
}

impl Rule {
    pub(crate) fn says(&self) -> Says {
        match (self.policy.effect(), self.asks.is_some()) {
            (Effect::Permit, false) => Says::Permit,
            (Effect::Permit, true) => Says::PermitAsking,
            (Effect::Forbid, false) => Says::Forbid,
            (Effect::Forbid, true) => Says::ForbidAsking,
        }
    }
}

/// Which costly facts a policy looks at; the others are not put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) arguments: bool,
    pub(crate) calls: bool,
}

impl Reads {
    /// What a policy's canonical form names. Too much is found rather than too little: a string with such a word counts.
    pub(crate) fn of(canonical: &str) -> Self {
        Self { arguments: canonical.contains("\"arguments\""), calls: canonical.contains("\"calls\"") }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self { arguments: self.arguments || other.arguments, calls: self.calls || other.calls }
    }
}
