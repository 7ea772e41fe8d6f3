//! Inferences that belong to no session, as they are journaled.

use std::sync::Arc;

use mainstay_vocabulary::{Epoch, Principal};
use serde::{Deserialize, Serialize};

use super::{InferenceOutcome, Receipt, Route};

/// What happened to inferences of the stateless gateway since the last such event. Holds no content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Booked {
    /// About to be made; only this event's commit sends them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intended: Vec<Arc<Outgoing>>,
    /// Over, each booked once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<Settled>,
}

/// An inference of the stateless gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Unique in the journal.
    pub number: u64,
    /// Who asked.
    pub principal: Principal,
    /// The lease that it is made under.
    pub epoch: Epoch,
    /// Where it goes.
    pub route: Route,
    /// Keyed digest of the client's request, hex.
    pub prompt: String,
    /// What it is booked as if nobody learns how it ended.
    pub estimate: Receipt,
}

/// How an inference of the stateless gateway ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    /// Which.
    pub number: u64,
    /// How it went.
    pub outcome: InferenceOutcome,
    /// What is known of it.
    pub receipt: Receipt,
}
