//! Saved agents of a tenant. The state holds an index of them, never their definitions: ten thousand agents of a few
//! megabytes each would outgrow every snapshot. A definition stands in its `AgentSaved`, found by its sequence.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_vocabulary::{AgentId, Object, Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    event::{AgentRef, Event},
    spec::Spec,
};

/// Most saved agents of a tenant: their index is held in memory and in snapshots, some 200 bytes each.
pub const MAX_AGENTS: usize = 10_000;

/// What a saved agent is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentDefinition {
    /// Shown to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its sessions run with.
    pub spec: Arc<Spec>,
    /// The client's key-value pairs.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub metadata: Object,
}

/// Where a saved agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The number of its latest version, from 1.
    pub number: u32,
    /// The sequence of the `AgentSaved` that made this version.
    pub saved: Sequence,
    /// When the agent was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Since when it takes no new sessions and versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
}

/// All saved agents of a tenant, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Registry {
    /// By id.
    pub agents: BTreeMap<AgentId, Agent>,
}

impl Registry {
    /// Takes the next event of a registry journal.
    pub(crate) fn apply(&mut self, at: Timestamp, sequence: Sequence, event: &Event) {
        match event {
            Event::AgentSaved { agent, .. } => {
                let unborn = Agent { number: 0, saved: sequence, created_at: at, updated_at: at, archived_at: None };
                let known = self.agents.entry(*agent).or_insert(unborn);
                *known = Agent { number: known.number.saturating_add(1), saved: sequence, updated_at: at, ..*known };
            }
            Event::AgentArchived { agent } => {
                if let Some(known) = self.agents.get_mut(agent) {
                    *known = Agent { updated_at: at, archived_at: Some(at), ..*known };
                }
            }
            Event::AgentDeleted { agent } => drop(self.agents.remove(agent)),
            _ => {}
        }
    }
}

/// A saved agent at one of its versions, as read from the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Which.
    pub agent: AgentId,
    /// The version's number, from 1.
    pub number: u32,
    /// The sequence of the `AgentSaved` that made it.
    pub saved: Sequence,
    /// What it is.
    pub definition: AgentDefinition,
    /// When the agent was made.
    pub created_at: Timestamp,
    /// When this version was made.
    pub saved_at: Timestamp,
    /// Since when the agent is archived.
    pub archived_at: Option<Timestamp>,
}

impl Version {
    /// What a session that takes it over keeps of it.
    pub fn reference(&self) -> AgentRef {
        AgentRef {
            agent: self.agent,
            version: self.saved,
            name: self.definition.name.clone(),
            number: self.number,
            description: self.definition.description.clone(),
        }
    }
}
