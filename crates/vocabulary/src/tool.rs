//! Tools as a model sees them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Object;

/// A function that the client runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionTool {
    /// What the model calls it.
    pub name: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of its arguments; `None` where the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Object>,
    /// Whether arguments must follow the schema; `None` where the client did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Fields of the declaration that mean nothing here, kept for echo.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub rest: Object,
}

/// Whether and which tool the model must call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No call, although tools are shown.
    None,
    /// At least one call.
    Required,
    /// This function.
    Function(String),
    /// Only these functions; a hard limit. `required` asks for at least one call.
    Allowed {
        /// Names of the functions.
        names: Vec<String>,
        /// Whether one of them must be called.
        required: bool,
    },
}

/// What a call does to the world when it is sent twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// It changes nothing: it may be sent again.
    ReadOnly,
    /// Its receiver does it once for one idempotency key: it may be sent again under the same key.
    Idempotent,
    /// Twice is twice: it is never sent again without somebody's word.
    #[default]
    Once,
}

/// Tools that the runtime itself runs for a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolset {
    /// Unique in a spec.
    pub label: String,
    /// Where they are.
    pub source: ToolSource,
    /// The only tools that are offered, by the names that their source gives them; `None` offers all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<String>>,
    /// Whether only those that change nothing are offered.
    #[serde(default, skip_serializing_if = "is_false")]
    pub only_read_only: bool,
    /// Which calls the client wants to approve.
    #[serde(default, skip_serializing_if = "ApprovalRule::is_by_policy")]
    pub approval: ApprovalRule,
    /// What is known of single tools beside what their source says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, ToolRule>,
    /// Whether a turn fails when they cannot be listed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// The declaration as the client made it, without secrets, kept for echo.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub echo: Object,
}

/// Where a toolset's tools are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolSource {
    /// On an MCP server.
    Mcp {
        /// Its address, or `mainstay:` and the name of a server that the operator configured.
        server: String,
        /// Headers that are no secrets.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        /// The name of the vault's entry that signs in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
    },
    /// In the runtime itself.
    Builtin,
}

/// Which calls the client wants to approve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalRule {
    /// Those that the operator's policy asks for.
    #[default]
    ByPolicy,
    /// All.
    Always,
    /// None; what the operator's policy asks for is still asked.
    Never,
    /// By tool. A tool that stands in neither list is asked for.
    Tools {
        /// These.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        always: Vec<String>,
        /// Not these.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        never: Vec<String>,
        /// Not those that change nothing.
        #[serde(default, skip_serializing_if = "is_false")]
        never_read_only: bool,
    },
}

impl ApprovalRule {
    const fn is_by_policy(&self) -> bool {
        matches!(self, Self::ByPolicy)
    }

    /// Whether a call of `tool` is to be asked for; `None` where the client did not say.
    pub fn asks(&self, tool: &str, class: EffectClass) -> Option<bool> {
        match self {
            Self::ByPolicy => None,
            Self::Always => Some(true),
            Self::Never => Some(false),
            Self::Tools { always, never, never_read_only } => {
                let is_in = |names: &[String]| names.iter().any(|name| name == tool);
                let is_let = is_in(never) || *never_read_only && class == EffectClass::ReadOnly;
                Some(is_in(always) || !is_let)
            }
        }
    }
}

/// What is known of a tool beside what its source says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolRule {
    /// What a call does when it is sent twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<EffectClass>,
    /// A tool of the same toolset that tells what became of a call, by its idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<String>,
    /// Whether the agent is told at once when a call's outcome is unknown, instead of a person.
    #[serde(skip_serializing_if = "is_false")]
    pub tell_agent: bool,
}

/// A tool of a toolset, as it was pinned for a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedTool {
    /// What the model calls it; unique in the session.
    pub name: String,
    /// What its source calls it.
    pub tool: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub parameters: Object,
    /// What a call does when it is sent twice.
    pub class: EffectClass,
    /// What its source says of it.
    #[serde(default, skip_serializing_if = "ToolHints::is_silent")]
    pub hints: ToolHints,
    /// Digest of name, description and schema: another one is another tool.
    pub digest: String,
}

/// What a source says of a tool. Hints: nothing is allowed because of them alone that a policy does not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolHints {
    /// It changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// It may destroy something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// The same call again changes nothing more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// It reaches what nobody here knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
}

impl ToolHints {
    fn is_silent(&self) -> bool {
        *self == Self::default()
    }

    /// The class that they make.
    pub fn class(&self) -> EffectClass {
        if self.read_only == Some(true) {
            EffectClass::ReadOnly
        } else if self.idempotent == Some(true) {
            EffectClass::Idempotent
        } else {
            EffectClass::Once
        }
    }
}

/// Who runs a call that the runtime runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The toolset.
    pub toolset: String,
    /// What its source calls the tool.
    pub tool: String,
    /// Whether it is on an MCP server; otherwise it is built in.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub is_mcp: bool,
}

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
const fn is_true(value: &bool) -> bool {
    *value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
const fn is_false(value: &bool) -> bool {
    !*value
}
