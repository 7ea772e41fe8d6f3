//! The effect ledger: calls that the runtime runs itself, from the model's wish to their outcome, with what stands
//! between: a verdict, people's approval, the intent, and the honest "nobody knows". Pure facts and their fold; the
//! rules are in `turn/effect.rs` and `turn/approval.rs`.

use std::sync::Arc;

use mainstay_vocabulary::{
    CallId, Epoch, Item, Principal, Sequence, Timestamp,
    tool::{EffectClass, Served, ServedTool, ToolHints},
};
use serde::{Deserialize, Serialize};

use crate::event::{CallOpened, absent};

/// Most tools that one toolset may bring: they are held in memory, in snapshots and in every prompt.
pub const MAX_TOOLS: usize = 512;
/// Most calls of a session whose fate is open: they are held in memory and in snapshots.
pub const MAX_EFFECTS: usize = 256;
/// Most calls of a session under way at once.
pub const MAX_RUNNING: usize = 16;
/// Most attempts of a call that surely had no effect, or may be repeated.
pub const MAX_CALL_ATTEMPTS: u32 = 5;

/// What a toolset offers, as it was pinned for the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// The toolset's label.
    pub toolset: String,
    /// Whether it is an MCP server's.
    #[serde(default)]
    pub is_mcp: bool,
    /// Its tools; empty where they could not be listed.
    #[serde(default)]
    pub tools: Arc<[ServedTool]>,
    /// Name and version as its source told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Why they could not be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A tool as its source lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What its source calls it.
    pub tool: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    #[serde(default)]
    pub parameters: mainstay_vocabulary::Object,
    /// What its source says of it.
    #[serde(default)]
    pub hints: ToolHints,
    /// Digest of name, description and schema.
    pub digest: String,
    /// What a call does when it is sent twice, where the operator said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<EffectClass>,
}

/// How a call that the runtime runs is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedCall {
    /// Who runs it.
    #[serde(flatten)]
    pub by: Served,
    /// What it does when it is sent twice.
    pub class: EffectClass,
    /// Digest of the tool as it was pinned.
    pub pinned: String,
}

/// What a policy answered to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// The answer.
    pub verdict: Verdict,
    /// The version of the policies that answered.
    pub version: String,
    /// Keyed digest of the exact call: toolset, tool as pinned, arguments. Hex.
    pub digest: String,
    /// The policies that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Why, safe to show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Who must agree, where the answer is to ask.
    #[serde(default, skip_serializing_if = "Terms::is_plain")]
    pub terms: Terms,
}

/// A policy's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may run.
    Allow,
    /// It may not.
    Deny,
    /// People must agree.
    Ask,
}

/// On which terms people agree to a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// Each must be met; empty: one person, whoever may act on the session. One answer counts towards every need whose
    /// role its giver has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// How long the question stands, milliseconds; `None`: until it is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Whether the arguments may be edited.
    #[serde(skip_serializing_if = "absent::is_false")]
    pub may_edit: bool,
}

/// So many different people with this role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The role, or the one principal of that name; `None`: whoever may act on the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How many.
    pub quorum: u32,
}

impl Need {
    fn takes(&self, by: &str, delegates: &[String]) -> bool {
        self.role.as_ref().is_none_or(|role| role == by) || delegates.iter().any(|delegate| delegate == by)
    }
}

impl Terms {
    /// Whether these people are enough.
    pub fn met_by<'a>(&self, agreed: impl Iterator<Item = &'a Principal> + Clone, delegates: &[String]) -> bool {
        let counts = |need: &Need| agreed.clone().filter(|by| need.takes(&by.0, delegates)).count();
        let is_met = |need: &Need| counts(need) >= need.quorum.max(1) as usize;
        if self.needs.is_empty() { agreed.count() > 0 } else { self.needs.iter().all(is_met) }
    }

    /// Whether an answer of this principal counts.
    pub fn take(&self, by: &Principal, delegates: &[String]) -> bool {
        self.needs.is_empty() || self.needs.iter().any(|need| need.takes(&by.0, delegates))
    }

    /// The roles that may answer; empty: whoever may act on the session.
    pub fn roles(&self) -> Vec<String> {
        let is_open = self.needs.iter().any(|need| need.role.is_none());
        let roles = self.needs.iter().filter(|_| !is_open).filter_map(|need| need.role.clone());
        roles.collect()
    }

    /// At least so many people.
    pub fn quorum(&self) -> u32 {
        self.needs.iter().map(|need| need.quorum).max().unwrap_or(1).max(1)
    }

    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// A call is about to be made; only this event's commit sends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallIntended {
    /// The sequence of its `CallOpened`.
    pub call: Sequence,
    /// The lease that it is made under.
    pub epoch: Epoch,
    /// 1 for the first attempt. All attempts have one idempotency key: session and `call`.
    pub attempt: u32,
    /// The version of the policies that let it.
    pub policy: String,
    /// Keyed digest of the exact call, hex.
    pub digest: String,
    /// The arguments, where people edited them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// The name under which people let it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Sequence>,
    /// The call, where an earlier turn opened it: a turn is shown by its own events alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Box<CallOpened>>,
}

/// A call's attempt came to an end without an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLost {
    /// The sequence of its `CallOpened`.
    pub call: Sequence,
    /// What becomes of it.
    pub fate: Lost,
    /// Why, safe to show.
    pub why: String,
}

/// What becomes of a call whose attempt has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// It is made again under the same key: it surely had no effect, or another one changes nothing.
    Again {
        /// Not before this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
    },
    /// Nobody knows whether it had an effect.
    Unknown,
}

/// People are asked whether a call may run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalAsked {
    /// The sequence of the call's `CallOpened`.
    pub call: Sequence,
    /// The policy's answer that asks.
    pub ruling: Ruling,
    /// When the question is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The call, where an earlier turn opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Box<CallOpened>>,
}

/// A person's answer to `ApprovalAsked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalAnswered {
    /// The sequence of the call's `CallOpened`.
    pub call: Sequence,
    /// The sequence of its `ApprovalAsked`.
    pub approval: Sequence,
    /// Who.
    pub by: Principal,
    /// What.
    pub answer: Answer,
    /// Keyed digest of the call as the answer edited it, hex: what the next ones agree to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<String>,
    /// Why, as the person put it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a person says to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It may run.
    Approve {
        /// With these arguments instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<String>,
    },
    /// It may not.
    Deny,
    /// These may answer as well: principals.
    Delegate {
        /// Who.
        to: Vec<String>,
    },
}

/// What a person, or a tool that asked the world, says of a call whose outcome nobody knew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It happened; the item is its `ToolResult`.
    Happened(Arc<Item>),
    /// It did not happen, and no earlier attempt can any more: the agent is told so.
    DidNotHappen,
    /// It is made again under the same key, whatever came of the first.
    Again,
    /// Nobody will know: the agent is told so.
    Abandoned,
}

/// An unknown outcome was resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallResolved {
    /// The sequence of the call's `CallOpened`.
    pub call: Sequence,
    /// Who.
    pub by: Principal,
    /// How.
    pub resolution: Resolution,
    /// Why, as the person put it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A call whose fate is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The call.
    pub call: CallOpened,
    /// How it is run.
    pub served: ServedCall,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Where it stands.
    pub stage: Stage,
    /// Attempts that were intended.
    #[serde(default)]
    pub attempts: u32,
    /// The arguments, where people edited them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<String>,
    /// The policies' version and the digest under which people agreed to it; its attempts share that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<(String, String)>,
    /// Whether the conversation has gone on without its outcome.
    #[serde(default, skip_serializing_if = "absent::is_false")]
    pub is_left: bool,
}

/// Where a call stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It wants a verdict and its intent.
    Wanted {
        /// Not before this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
    },
    /// People are asked.
    Asked(Box<Asked>),
    /// It is under way.
    Running {
        /// The sequence of its `CallIntended`.
        intent: Sequence,
        /// The lease that it is made under.
        epoch: Epoch,
    },
    /// Nobody knows whether it had an effect.
    Unknown {
        /// The sequence of its `CallLost`.
        at: Sequence,
        /// Why.
        why: String,
    },
}

/// What people are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The sequence of its `ApprovalAsked`: the approval's name.
    pub at: Sequence,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The answer of the policy that asks.
    pub ruling: Ruling,
    /// When the question is withdrawn.
    pub expires_at: Option<Timestamp>,
    /// Who agreed.
    #[serde(default)]
    pub agreed: Vec<Principal>,
    /// Who may answer besides.
    #[serde(default)]
    pub delegates: Vec<String>,
}

impl Effect {
    /// Whether somebody here must do something for it.
    pub const fn is_acting(&self) -> bool {
        matches!(self.stage, Stage::Wanted { .. } | Stage::Running { .. })
    }

    /// The name under which people answer: of the question, or of the place where its outcome was lost.
    pub fn approval(&self) -> Option<Sequence> {
        match &self.stage {
            Stage::Asked(asked) => Some(asked.at),
            Stage::Unknown { at, .. } => Some(*at),
            Stage::Wanted { .. } | Stage::Running { .. } => None,
        }
    }

    /// The arguments that are sent, JSON text.
    pub fn arguments(&self) -> &str {
        self.edited.as_deref().unwrap_or(&self.call.arguments)
    }

    pub(crate) fn ask(&mut self, at: Timestamp, sequence: Sequence, asked: &ApprovalAsked) {
        self.stage = Stage::Asked(Box::new(Asked {
            at: sequence,
            asked_at: at,
            ruling: asked.ruling.clone(),
            expires_at: asked.expires_at,
            agreed: Vec::new(),
            delegates: Vec::new(),
        }));
    }

    pub(crate) fn intend(&mut self, sequence: Sequence, intended: &CallIntended) {
        self.attempts = intended.attempt;
        if matches!(self.stage, Stage::Asked(_)) {
            self.approved = Some((intended.policy.clone(), intended.digest.clone()));
        }
        if intended.arguments.is_some() {
            self.edited.clone_from(&intended.arguments);
        }
        self.stage = Stage::Running { intent: sequence, epoch: intended.epoch };
    }

    pub(crate) fn lose(&mut self, sequence: Sequence, lost: &CallLost) {
        self.stage = match lost.fate {
            Lost::Again { not_before } => Stage::Wanted { not_before },
            Lost::Unknown => Stage::Unknown { at: sequence, why: lost.why.clone() },
        };
    }

    pub(crate) fn hear(&mut self, answered: &ApprovalAnswered) {
        let Stage::Asked(asked) = &mut self.stage else { return };
        if let Some(digest) = &answered.edited {
            asked.ruling.digest.clone_from(digest);
        }
        match &answered.answer {
            Answer::Approve { arguments } => {
                if arguments.is_some() {
                    self.edited.clone_from(arguments);
                }
                asked.agreed.push(answered.by.clone());
            }
            Answer::Deny => {}
            Answer::Delegate { to } => asked.delegates.extend(to.iter().cloned()),
        }
    }

    /// Whether its outcome could still be something that nobody knows.
    pub(crate) fn is_in_doubt(&self) -> bool {
        match self.stage {
            Stage::Running { .. } => self.served.class == EffectClass::Once,
            Stage::Unknown { .. } => true,
            Stage::Wanted { .. } | Stage::Asked(_) => false,
        }
    }

    /// Whether people have agreed to the very call under the very policies.
    pub(crate) fn is_approved(&self, ruling: &Ruling) -> bool {
        let is_it = |(version, digest): &(String, String)| *version == ruling.version && *digest == ruling.digest;
        self.approved.as_ref().is_some_and(is_it)
    }

    /// The call's id.
    pub const fn call_id(&self) -> &CallId {
        &self.call.call_id
    }
}
