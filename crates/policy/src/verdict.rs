//! What a policy answers, and why. Plain values. Start with `Verdict`.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// It may be done.
    Allow,
    /// It must not be done.
    Deny,
    /// A person decides.
    Ask,
}

/// The answer with its grounds, ready to be a fact of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub kind: VerdictKind,
    /// `Policies::version` that gave it.
    pub version: Arc<str>,
    /// Ids of the policies that decided, sorted, at most `MAX_NAMED`.
    pub policies: Vec<String>,
    /// Their `@reason`s, and reasons of the engine's own; safe to show to whoever asked.
    pub reasons: Vec<String>,
    /// What an approval takes; only with `Ask`.
    pub ask: Option<Ask>,
}

/// What an approval takes, put together from every policy that asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Each must be met. One approval counts towards every need whose role its giver has.
    pub needs: Vec<Need>,
    /// How long the question stays open, the shortest of all; `None`: no policy said.
    pub expires_ms: Option<u64>,
    /// Whether the approver may change the arguments; only where every policy that asked allows it.
    pub edit: bool,
}

/// So many people with this role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The role; `None`: whoever may approve at all.
    pub role: Option<String>,
    /// How many different people.
    pub quorum: u32,
}

impl Ask {
    /// Whether these people's approvals are enough; each is given as the set of roles of one person.
    pub fn met_by(&self, approvers: &[BTreeSet<String>]) -> bool {
        self.needs.iter().all(|need| {
            let holds = |roles: &&BTreeSet<String>| need.role.as_ref().is_none_or(|role| roles.contains(role));
            approvers.iter().filter(holds).count() >= need.quorum as usize
        })
    }
}

/// How a verdict came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// Every policy that matched or failed, sorted by id.
    pub matched: Vec<Matched>,
    /// Policies of the tenant and action.
    pub in_slice: usize,
    /// Policies of these whose scope could fit, so that they were evaluated.
    pub evaluated: usize,
    /// Policies of these that are not of a common shape, so that Cedar evaluated them.
    pub left_to_cedar: usize,
}

/// A policy that matched, or failed on, a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its id.
    pub id: String,
    /// The source that it is in.
    pub file: String,
    /// Its line there, from 1.
    pub line: usize,
    /// What it says.
    pub says: Says,
    /// Why it could not be evaluated.
    pub failed: Option<String>,
}

/// What a policy says where it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Says {
    /// `permit`.
    Permit,
    /// `forbid`.
    Forbid,
    /// `permit` with `@verdict("ask")`: it may be done once a person agrees.
    PermitAsking,
    /// `forbid` with `@verdict("ask")`: what others permit waits for a person.
    ForbidAsking,
}
