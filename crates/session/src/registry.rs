//! Saved agents of a tenant: what one is, and the list as folded from the tenant's registry journal.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_vocabulary::{AgentId, Object, Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::spec::Spec;

/// Most saved agents of a tenant: the list is held in memory.
pub const MAX_AGENTS: usize = 10_000;

/// What a saved agent is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentDefinition {
    /// Shown to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its sessions run with.
    pub spec: Arc<Spec>,
    /// The client's key-value pairs.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub metadata: Object,
}

/// A saved agent as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// What it is.
    pub definition: Arc<AgentDefinition>,
    /// The sequence of the `AgentSaved` that last changed it.
    pub version: Sequence,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// All saved agents of a tenant, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Registry {
    /// By id.
    pub agents: BTreeMap<AgentId, Agent>,
}
