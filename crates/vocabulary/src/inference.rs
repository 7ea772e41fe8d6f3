//! One call to a model: what is asked, what streams back, how it ends. Neutral between providers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Object,
    item::{Item, ItemKind},
    tool::{FunctionTool, ToolChoice},
    usage::Usage,
};

/// All that a provider needs to make one inference. `input` is the rendered context, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The provider's name for the model.
    pub upstream_model: String,
    /// The deployment's name, to tell whose opaque blobs may be replayed.
    pub deployment: String,
    /// System instructions.
    pub instructions: Option<Arc<str>>,
    /// The conversation.
    pub input: Vec<Arc<Item>>,
    /// Text of an assistant message that was cut off and is to be continued as the same item; only where the
    /// provider can continue a prefix.
    pub prefix: Option<String>,
    /// Functions on offer.
    pub tools: Arc<[FunctionTool]>,
    /// Whether and which to call.
    pub tool_choice: ToolChoice,
    /// Whether several calls may come at once; `None` leaves it to the provider.
    pub parallel_tool_calls: Option<bool>,
    /// How to sample.
    pub sampling: Sampling,
    /// How to think.
    pub reasoning: Reasoning,
    /// What the text must look like.
    pub text: TextFormat,
    /// The same for every attempt of one effect; sent as a header where the provider takes one.
    pub idempotency_key: String,
    /// Which of the provider's service tiers is asked for, by OpenAI's words (`auto`, `default`, `flex`, `scale`,
    /// `priority`); free text because vendors add to them. A hint: a provider without such a tier is asked without it.
    pub service_tier: Option<String>,
    /// Parameters that only one format knows; sent where the provider speaks it, else left out.
    pub extra: Option<Arc<Extra>>,
    /// The client's own request, where client and provider may speak the same format.
    pub verbatim: Option<Arc<Verbatim>>,
}

/// A family of wire formats of inferences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// OpenAI Chat Completions.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Anthropic Messages.
    AnthropicMessages,
}

/// Parameters of one format that have no canonical meaning (`prompt_cache_key`, `metadata`…).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extra {
    /// Whose parameters these are.
    pub format: Format,
    /// Top-level fields of its request body.
    pub fields: Object,
}

/// A client's request as it came. A provider of the same format sends this body with only the model, the stream flags
/// and the clamped limit on output replaced, and yields `Chunk::Frame` for each frame (or the whole body) that comes
/// back, so that no field is lost either way. A provider of another format ignores it and encodes the canonical parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Verbatim {
    /// The format of `body`.
    pub format: Format,
    /// The request body.
    pub body: Object,
    /// Headers that belong to the format and change its meaning (`anthropic-beta`, `openai-beta`), lower case.
    pub headers: Vec<(String, String)>,
    /// Whether the client asked for a stream; if not, the upstream is asked for a whole body too.
    pub streams: bool,
}

/// Sampling parameters; `None` leaves the provider's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Most tokens to generate in one inference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Only the most likely so many tokens are looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u64>,
    /// The same seed asks for the same text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts that end the answer; they are not part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// How many alternatives to each token to report with their log probabilities, 0 for the token alone; `None`
    /// reports nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u64>,
}

/// How a reasoning model thinks; free text because vendors differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reasoning {
    /// `none`, `minimal`, `low`, `medium`, `high`…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// `auto`, `concise`, `detailed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Most tokens to think, where a vendor counts instead of grading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_tokens: Option<u64>,
}

/// What the text of an answer must look like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFormat {
    /// Anything.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// What it is for, for the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// Whether it must be followed; `None` where the client did not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
}

/// One step of an inference's stream. `index` numbers the items of this inference from 0 in the order in which
/// they were started; `Started` comes once for each index before anything else of it, `Done` once after.
/// Several items may be open at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delta {
    /// An item begins.
    #[serde(rename = "s")]
    Started {
        /// Which item.
        #[serde(rename = "i")]
        index: u32,
        /// What it is.
        #[serde(rename = "k")]
        kind: ItemKind,
    },
    /// More of its text (or of a call's arguments). Never empty.
    #[serde(rename = "t")]
    Text {
        /// Which item.
        #[serde(rename = "i")]
        index: u32,
        /// UTF-8, never split inside a character.
        #[serde(rename = "t")]
        text: String,
    },
    /// Log probabilities of the next `Text` of the item: comes right before it.
    #[serde(rename = "l")]
    Logprobs {
        /// Which item.
        #[serde(rename = "i")]
        index: u32,
        /// An array of `{ token, logprob, bytes, top_logprobs: [{ token, logprob, bytes }] }`.
        #[serde(rename = "l")]
        logprobs: Value,
    },
    /// The item is whole.
    #[serde(rename = "d")]
    Done {
        /// Which item.
        #[serde(rename = "i")]
        index: u32,
        /// Opaque provider bytes that belong to the item (encrypted reasoning, a signature).
        #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
        opaque: Option<String>,
    },
}

/// What a provider's stream yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    /// Something to show.
    Delta(Delta),
    /// What the provider sent, as JSON: only for a `Verbatim` request of the provider's own format. Comes right before
    /// the deltas that were read from it; unknown frames come too, with no delta after them. A frame that is an error
    /// comes as the failure alone.
    Frame(Value),
    /// The end; nothing follows.
    Finished(Finished),
}

/// How an inference that reached its end went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Why the model stopped.
    pub stop: Stop,
    /// Tokens, where the provider reported them.
    pub usage: Option<Usage>,
    /// Model name as reported.
    pub model: Option<String>,
    /// What else the provider said that a receipt keeps (system fingerprint, service tier, region, response id).
    pub reported: Object,
}

/// Why a model stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It was done.
    End,
    /// It wants tools run.
    ToolCalls,
    /// The limit on output tokens.
    MaxOutputTokens,
    /// The provider's filter.
    ContentFilter,
    /// One of the texts of `Sampling::stop`, where the provider says which.
    Sequence(String),
    /// The model pauses a long turn of its own tools and wants to be asked again (`pause_turn`).
    Pause,
}

/// Why an inference failed. `kind` says what may be done; `message` is safe to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class.
    pub kind: FailureKind,
    /// One sentence, without secrets.
    pub message: String,
    /// How long the provider asked to wait, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Classes of failed inferences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No connection was made: surely nothing ran.
    Connect,
    /// The stream broke, or ended without its end.
    Broken,
    /// Too slow: connect, headers, first token or idle.
    Timeout,
    /// 429.
    RateLimited,
    /// 5xx, or an error inside a stream.
    Upstream,
    /// The key is wrong.
    Authentication,
    /// The account upstream has no money or quota left (402, `insufficient_quota`).
    Quota,
    /// The provider refused the request as malformed.
    InvalidRequest,
    /// The prompt does not fit.
    ContextLength,
    /// Model or path unknown upstream.
    NotFound,
    /// What came back breaks the wire format.
    Protocol,
}

impl FailureKind {
    /// Whether another attempt of the same request may succeed.
    pub const fn may_retry(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::Broken | Self::Timeout | Self::RateLimited | Self::Upstream | Self::Protocol
        )
    }
}

/// Texts to embed.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingRequest {
    /// The provider's name for the model.
    pub upstream_model: String,
    /// What to embed, in order.
    pub input: Vec<EmbeddingInput>,
    /// Length of the vectors, where the model lets one choose.
    pub dimensions: Option<u64>,
    /// Other fields of the client's request, sent as they are.
    pub extra: Object,
}

/// One text to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbeddingInput {
    /// As text.
    Text(String),
    /// As the model's own tokens.
    Tokens(Vec<u32>),
}

/// What embedding brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// A vector for each input, in order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens, where the provider reported them.
    pub usage: Option<Usage>,
    /// Model name as reported.
    pub model: Option<String>,
}

/// How many tokens a prompt has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenCount {
    /// How many.
    pub tokens: u64,
    /// Whether the model's own tokenizer counted, here or upstream; otherwise it is an estimate.
    pub is_exact: bool,
}
