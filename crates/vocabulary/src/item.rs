//! What a conversation is made of. Canonical: each wire and each provider converts from and to these.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{id::CallId, tool::Served};

/// One element of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Something that was said.
    Message {
        /// Who said it.
        role: Role,
        /// What was said. An assistant's message made here has exactly one part.
        content: Vec<Content>,
        /// `commentary` or `final_answer`, where a wire or model tells them apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phase: Option<String>,
    },
    /// What a model thought before it spoke.
    Reasoning {
        /// The reasoning itself, where the model shows it; one part or none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<String>,
        /// A summary made by the provider, in parts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        summary: Vec<String>,
        /// Opaque to us; goes back only to where it came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opaque: Option<Opaque>,
    },
    /// A model asks for a function to be run.
    ToolCall {
        /// Unique in the session.
        call_id: CallId,
        /// The function.
        name: String,
        /// JSON text, as the model wrote it; may be malformed.
        arguments: String,
        /// The id that the provider gave the call, where it gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_call_id: Option<String>,
        /// Who runs it here; `None` where the client does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        served: Option<Box<Served>>,
    },
    /// What running the function gave.
    ToolResult {
        /// The call it answers.
        call_id: CallId,
        /// The result.
        output: ToolOutput,
        /// The error text where the call failed; `output` then repeats it for the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Stands for everything before it that was compacted away: a digest in plain text, shown to the model.
    Compaction {
        /// The digest.
        text: String,
    },
    /// An item type that this version does not interpret: kept and echoed verbatim, never shown to a model.
    Other(Value),
}

/// Provider-made bytes that mean something only to that provider, account and model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opaque {
    /// Deployment that made it.
    pub deployment: String,
    /// The bytes as the provider sent them (text on every wire so far).
    pub bytes: String,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person or program that uses the agent.
    User,
    /// The model.
    Assistant,
    /// The operator, older name.
    System,
    /// The operator.
    Developer,
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Text, of either side.
    Text(String),
    /// The model declines.
    Refusal(String),
    /// A picture by address or `data:` URL.
    Image {
        /// `https:` or `data:` URL, or `mainstay:` and the id of a stored file.
        url: String,
        /// `low`, `high`, `auto`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// A document by address, `data:` URL or stored file.
    File {
        /// As for a picture.
        url: String,
        /// Its name, for the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// `application/pdf`, `text/plain`…, where somebody said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
    },
    /// A part that this version does not interpret: kept and echoed verbatim.
    Other(Value),
}

/// A function's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutput {
    /// Plain text, usually JSON.
    Text(String),
    /// Parts.
    Content(Vec<Content>),
}

/// What kind of item a model has begun; decides which deltas may follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// An assistant's message of text: `Delta::Text` follows.
    Message,
    /// An assistant's message that declines: `Delta::Text` follows.
    Refusal,
    /// Shown reasoning: `Delta::Text` follows.
    Reasoning,
    /// A provider's summary of reasoning: `Delta::Text` follows.
    ReasoningSummary,
    /// A call: `Delta::Text` carries its arguments.
    ToolCall {
        /// The function.
        name: String,
        /// The id that the provider gave the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_call_id: Option<String>,
    },
    /// A call that the runtime runs: `Delta::Text` carries its arguments.
    ServedCall {
        /// What the model calls the tool.
        name: String,
        /// The id that the provider gave the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_call_id: Option<String>,
        /// Who runs it.
        served: Box<Served>,
    },
}

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// Still being made.
    InProgress,
    /// Whole.
    Completed,
    /// Cut off; what there is stays.
    Incomplete,
}
