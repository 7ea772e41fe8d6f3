//! What a session runs with: model, instructions, tools, how to sample, what bounds a turn.

use std::sync::Arc;

use mainstay_vocabulary::{
    Object,
    inference::{Extra, Reasoning, Sampling, TextFormat},
    tool::{FunctionTool, ToolChoice, Toolset},
};
use serde::{Deserialize, Serialize};

/// What every inference of a session is made with, until a `SpecChanged` replaces it. Changing anything that a model
/// sees starts another context epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The name that clients ask for; routing picks a deployment that serves it.
    pub model: String,
    /// System instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Arc<str>>,
    /// Functions that the client runs.
    #[serde(default = "no_tools", skip_serializing_if = "is_empty")]
    pub tools: Arc<[FunctionTool]>,
    /// Tools that the runtime runs.
    #[serde(default = "no_toolsets", skip_serializing_if = "has_no_toolsets")]
    pub toolsets: Arc<[Toolset]>,
    /// Whether and which to call.
    #[serde(default)]
    pub tool_choice: ToolChoice,
    /// Whether several calls may come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// How to sample.
    #[serde(default)]
    pub sampling: Sampling,
    /// How to think.
    #[serde(default)]
    pub reasoning: Reasoning,
    /// What the text must look like.
    #[serde(default)]
    pub text: TextFormat,
    /// What happens when the model calls a function.
    pub calls: CallMode,
    /// What happens when an inference is cut off after something of it was shown.
    pub interruption: Interruption,
    /// What may be kept.
    #[serde(default)]
    pub retention: Retention,
    /// Bounds of a turn.
    #[serde(default)]
    pub limits: Limits,
    /// When the context is replaced by a digest of it; `None` only where somebody asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compaction: Option<Compaction>,
    /// What happens to a prompt that does not fit.
    #[serde(default, skip_serializing_if = "Truncation::is_disabled")]
    pub truncation: Truncation,
    /// Which of the provider's service tiers is asked for, by OpenAI's words; `None` leaves it to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// Parameters that only one provider format knows; sent where the deployment speaks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Arc<Extra>>,
    /// Parameters of the wire that mean nothing to the runtime, kept for echo in the wire's objects.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub echo: Object,
}

fn no_tools() -> Arc<[FunctionTool]> {
    Arc::from([])
}

fn no_toolsets() -> Arc<[Toolset]> {
    Arc::from([])
}

fn has_no_toolsets(toolsets: &Arc<[Toolset]>) -> bool {
    toolsets.is_empty()
}

fn is_empty(tools: &Arc<[FunctionTool]>) -> bool {
    tools.is_empty()
}

impl Spec {
    /// A spec that asks `model` with everything else at its default: calls wait, interruptions restart.
    pub fn plain(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            instructions: None,
            tools: no_tools(),
            toolsets: no_toolsets(),
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: None,
            sampling: Sampling::default(),
            reasoning: Reasoning::default(),
            text: TextFormat::Text,
            calls: CallMode::Wait,
            interruption: Interruption::Restart,
            retention: Retention::Keep,
            limits: Limits::default(),
            compaction: None,
            truncation: Truncation::Disabled,
            service_tier: None,
            extra: None,
            echo: Object::new(),
        }
    }

    /// What of it may be at rest under `Retention::ReceiptOnly`: how turns go, not what they are told.
    pub(crate) fn without_content(&self) -> Self {
        let Self { calls, interruption, retention, limits, compaction, truncation, .. } = *self;
        Self { calls, interruption, retention, limits, compaction, truncation, ..Self::plain(self.model.clone()) }
    }
}

/// What happens when the model calls a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallMode {
    /// The turn waits for the client's result and goes on (Agents API).
    Wait,
    /// The turn ends; results come with a later input (Responses).
    Yield,
}

/// What happens when an inference is cut off after something of it was shown and the provider cannot continue it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// The shown part stays as an incomplete item; another attempt writes a new item.
    Restart,
    /// The turn ends as incomplete.
    End,
}

/// What may be kept of a session's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// All of it.
    #[default]
    Keep,
    /// Receipts only; content is never at rest.
    ReceiptOnly,
}

/// When a session's context is compacted without being asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// Before an inference whose prompt has about so many tokens or more; `None` only where it did not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_tokens: Option<u64>,
}

/// What happens to a prompt that does not fit the model, where no compaction helps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// The turn fails.
    #[default]
    Disabled,
    /// The oldest items leave the context until it fits.
    Auto,
}

impl Truncation {
    const fn is_disabled(&self) -> bool {
        matches!(self, Self::Disabled)
    }
}

/// Bounds of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Most inferences of a turn that end with calls or text; attempts do not count.
    pub max_steps: u32,
    /// Most attempts of one inference that fail upstream. Interruptions by a restart of this process do not count.
    pub max_attempts: u32,
    /// Longest time a turn may be at work, milliseconds; waiting for a client's result does not count.
    pub wall_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_steps: 100, max_attempts: 5, wall_ms: 3_600_000 }
    }
}
