//! An automation as it stands: what it delivers where, when it fires next, and which deliveries are under way. It has a
//! journal of its own.

use std::sync::Arc;

use mainstay_vocabulary::{AgentId, Item, Object, Principal, Sequence, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{event::Event, schedule::Schedule, spec::Spec};

/// Most deliveries under way of one automation: they are held in memory and in snapshots.
pub const MAX_PENDING: usize = 16;

/// What an automation is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutomationDefinition {
    /// Shown to people.
    pub name: String,
    /// When it fires.
    pub schedule: Schedule,
    /// What it does then.
    pub target: Target,
    /// The client's key-value pairs.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub metadata: Object,
    /// On whose behalf.
    pub principal: Principal,
}

/// What an automation does when it fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Begins a session.
    NewSession(Box<NewSession>),
    /// Gives a session an input.
    Session {
        /// Which.
        session: SessionId,
        /// What it is told.
        instructions: String,
    },
}

/// How the sessions of an automation begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewSession {
    /// With the latest version of a saved agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Or with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Arc<Spec>>,
    /// The first input.
    pub items: Vec<Arc<Item>>,
    /// The session's key-value pairs.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub metadata: Object,
}

/// Why an automation paused by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// The session that it gives inputs to takes none any more.
    TargetSessionFailed,
}

/// What came of a delivery. That it was made says nothing of the work that it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvocationOutcome {
    /// The session was begun, or took the input.
    Delivered(SessionId),
    /// It never will be.
    Failed {
        /// The class.
        code: String,
        /// One sentence, safe to show.
        message: String,
        /// Whether no other delivery can succeed either.
        pauses: bool,
    },
}

/// A delivery under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The sequence of its `InvocationBegun`.
    pub invocation: Sequence,
    /// When it began.
    pub begun_at: Timestamp,
    /// Its occurrence; `None` where somebody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Timestamp>,
    /// The sequence of the `AutomationSaved` in force.
    pub saved: Sequence,
}

/// An automation as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Automation {
    /// What it is.
    pub definition: Arc<AutomationDefinition>,
    /// The sequence of its last `AutomationSaved`.
    pub saved: Sequence,
    /// Whether its schedule is suspended.
    pub is_paused: bool,
    /// Why, where it paused by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_reason: Option<PauseReason>,
    /// When it fires next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Whether an occurrence of its schedule came.
    pub has_occurred: bool,
    /// Deliveries under way, oldest first.
    pub pending: Vec<Pending>,
}

impl Automation {
    /// Whether its schedule has come to its end.
    pub fn is_completed(&self) -> bool {
        self.has_occurred && matches!(self.definition.schedule, Schedule::Once { .. }) && self.next_at.is_none()
    }

    /// Takes the next event of an automation's journal.
    pub(crate) fn apply(known: &mut Option<Box<Self>>, (at, sequence): (Timestamp, Sequence), event: &Event) {
        if let Event::AutomationSaved(saved) = event {
            let definition = Arc::new(saved.definition.clone());
            match known {
                Some(automation) => {
                    automation.definition = definition;
                    automation.saved = sequence;
                    automation.next_at = saved.next_at;
                }
                None => *known = Some(Box::new(Self::begun(definition, sequence, saved.next_at))),
            }
        }
        let Some(automation) = known else { return };
        match event {
            Event::AutomationPaused { reason } => {
                automation.is_paused = true;
                automation.pause_reason = *reason;
                automation.next_at = None;
            }
            Event::AutomationResumed { next_at } => {
                automation.is_paused = false;
                automation.pause_reason = None;
                automation.next_at = *next_at;
            }
            Event::InvocationBegun(begun) => {
                automation.next_at = begun.next_at;
                automation.has_occurred |= begun.scheduled_at.is_some();
                if !begun.skipped {
                    let (saved, scheduled_at) = (automation.saved, begun.scheduled_at);
                    automation.pending.push(Pending { invocation: sequence, begun_at: at, scheduled_at, saved });
                }
            }
            Event::InvocationEnded { invocation, .. } => {
                automation.pending.retain(|pending| pending.invocation != *invocation);
            }
            _ => {}
        }
    }

    const fn begun(definition: Arc<AutomationDefinition>, saved: Sequence, next_at: Option<Timestamp>) -> Self {
        Self {
            definition,
            saved,
            is_paused: false,
            pause_reason: None,
            next_at,
            has_occurred: false,
            pending: Vec::new(),
        }
    }
}
