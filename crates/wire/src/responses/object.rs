//! The Response object. All its keys are always there: strict clients read them without asking.

use std::sync::Arc;

use mainstay_session::{
    Spec,
    compaction::Kept,
    event::{ErrorCode, Replaced, Shortfall, TurnError, TurnOptions, TurnStatus},
    spec::Retention,
};
use mainstay_vocabulary::{Item, SessionId, Timestamp, TurnId, Usage, inference::TextFormat, item::ItemStatus};
use serde_json::{Value, json};

use super::{
    item::{Shape, item_json},
    response_id,
    tool::{choice_json, tools_json},
};
use crate::tier;

/// What a Response is known by before anything of its turn happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The turn.
    pub turn: TurnId,
    /// When it started.
    pub created_at: Timestamp,
    /// What it runs with.
    pub spec: Arc<Spec>,
    /// What it keeps of the request.
    pub options: TurnOptions,
    /// The conversation that it belongs to.
    pub conversation: Option<SessionId>,
}

/// How a Response stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Accepted; no inference was made yet. Only shown in the background.
    Queued,
    /// Under way.
    InProgress,
    /// Over.
    Ended {
        /// How.
        status: TurnStatus,
        /// When.
        at: Timestamp,
        /// All its tokens.
        usage: Usage,
    },
}

impl Head {
    /// Whether it was asked for in the background.
    pub fn is_background(&self) -> bool {
        self.echo("background") == json!(true)
    }

    /// Whether nothing of it is kept.
    pub fn is_ephemeral(&self) -> bool {
        self.spec.retention == Retention::ReceiptOnly
    }

    /// The service tier that the client asked for.
    pub(super) fn asked_tier(&self) -> &str {
        self.options.echo.get("service_tier").and_then(Value::as_str).unwrap_or(tier::AUTO)
    }

    fn echo(&self, name: &str) -> Value {
        self.options.echo.get(name).cloned().unwrap_or_default()
    }

    fn echo_or(&self, name: &str, default: &str) -> Value {
        self.options.echo.get(name).cloned().unwrap_or_else(|| json!(default))
    }
}

impl Standing {
    /// Whether nothing more can happen.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// The word for it.
    pub const fn text(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Ended { status: TurnStatus::Completed, .. } => "completed",
            Self::Ended { status: TurnStatus::Incomplete(_), .. } => "incomplete",
            Self::Ended { status: TurnStatus::Failed(_), .. } => "failed",
            Self::Ended { status: TurnStatus::Cancelled, .. } => "cancelled",
        }
    }

    fn error(&self) -> Value {
        match self {
            Self::Ended { status: TurnStatus::Failed(error), .. } => error_json(error),
            _ => Value::Null,
        }
    }

    fn incomplete_details(&self) -> Value {
        match self {
            Self::Ended { status: TurnStatus::Incomplete(why), .. } => json!({ "reason": reason(*why) }),
            _ => Value::Null,
        }
    }

    fn completed_at(&self) -> Value {
        match self {
            Self::Ended { status: TurnStatus::Completed, at, .. } => json!(at.seconds()),
            _ => Value::Null,
        }
    }

    fn usage(&self) -> Value {
        match self {
            Self::Ended { usage, .. } => usage_json(usage),
            _ => Value::Null,
        }
    }
}

/// The object. `tier` serves it; `output` holds the items so far.
pub fn response_json(head: &Head, standing: &Standing, tier: &str, output: Vec<Value>) -> Value {
    let spec = &head.spec;
    let mut json = json!({
        "id": response_id(head.turn),
        "object": "response",
        "created_at": head.created_at.seconds(),
        "status": standing.text(),
        "background": head.is_background(),
        "completed_at": standing.completed_at(),
        "conversation": head.conversation.map(|id| json!({ "id": crate::conversations::conversation_id(id) })),
        "error": standing.error(),
        "frequency_penalty": spec.sampling.frequency_penalty.unwrap_or(0.0),
        "incomplete_details": standing.incomplete_details(),
        "instructions": spec.instructions,
        "max_output_tokens": spec.sampling.max_output_tokens,
        "max_tool_calls": head.echo("max_tool_calls"),
        "metadata": Value::Object(head.options.echo.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default()),
        "model": spec.model,
        "output": output,
        "parallel_tool_calls": spec.parallel_tool_calls.unwrap_or(true),
        "presence_penalty": spec.sampling.presence_penalty.unwrap_or(0.0),
        "previous_response_id": head.options.previous.map(response_id),
        "prompt_cache_key": head.echo("prompt_cache_key"),
        "prompt_cache_retention": head.echo("prompt_cache_retention"),
        "reasoning": { "effort": spec.reasoning.effort, "summary": spec.reasoning.summary },
        "safety_identifier": head.echo("safety_identifier"),
        "service_tier": tier,
        "store": spec.retention == Retention::Keep,
        "temperature": spec.sampling.temperature.unwrap_or(1.0),
        "text": text_json(&spec.text, head.echo_or("verbosity", "medium")),
        "tool_choice": choice_json(&spec.tool_choice, &spec.echo),
        "tools": tools_json(&spec.tools, &spec.echo),
        "top_logprobs": spec.sampling.top_logprobs.unwrap_or(0),
        "top_p": spec.sampling.top_p.unwrap_or(1.0),
        "truncation": head.echo_or("truncation", "disabled"),
        "usage": standing.usage(),
        "user": head.echo("user"),
    });
    // Clients know these fields as absent, and streams of before them have none.
    for name in ["prompt_cache_options", "prompt"] {
        if let Some(value) = head.options.echo.get(name) {
            json[name] = value.clone();
        }
    }
    json
}

/// The answer of `POST /responses/compact`: what stays and the digest, to be sent as the next input.
pub fn compaction_json(head: &Head, replaced: &Replaced, usage: &Usage) -> Value {
    let shown = |id, item: &Item| item_json(id, item, ItemStatus::Completed, Shape::default());
    let kept = |kept: &Kept| shown(kept.id, &kept.item);
    let digest = replaced.digest.iter().map(|digest| shown(digest.id, &digest.item()));
    let (before, after) = (replaced.stays.before.iter().map(kept), replaced.stays.after.iter().map(kept));
    json!({
        "id": response_id(head.turn),
        "object": "response.compaction",
        "created_at": head.created_at.seconds(),
        "output": before.chain(digest).chain(after).collect::<Vec<_>>(),
        "usage": usage_json(usage),
    })
}

fn text_json(format: &TextFormat, verbosity: Value) -> Value {
    json!({ "format": format_json(format), "verbosity": verbosity })
}

pub(super) fn format_json(format: &TextFormat) -> Value {
    match format {
        TextFormat::Text => json!({ "type": "text" }),
        TextFormat::JsonObject => json!({ "type": "json_object" }),
        TextFormat::JsonSchema { name, description, schema, strict } => json!({
            "type": "json_schema", "name": name, "description": description, "schema": schema,
            "strict": strict.unwrap_or(false),
        }),
    }
}

fn usage_json(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input, "cache_write_tokens": usage.cache_write,
        },
        "output_tokens": usage.output,
        "output_tokens_details": { "reasoning_tokens": usage.reasoning },
        "total_tokens": usage.total(),
    })
}

const fn reason(why: Shortfall) -> &'static str {
    match why {
        Shortfall::MaxOutputTokens => "max_output_tokens",
        Shortfall::ContentFilter => "content_filter",
        Shortfall::Interrupted => "interrupted",
    }
}

fn error_json(error: &TurnError) -> Value {
    let (kind, code) = match error.code {
        ErrorCode::ContextLengthExceeded => ("invalid_request_error", "context_length_exceeded"),
        ErrorCode::RateLimitExceeded => ("rate_limit_error", "rate_limit_exceeded"),
        ErrorCode::InvalidRequest => ("invalid_request_error", "invalid_prompt"),
        ErrorCode::ResourceNotFound => ("invalid_request_error", "model_not_found"),
        ErrorCode::ServerOverloaded
        | ErrorCode::ConnectionFailed
        | ErrorCode::ServerError
        | ErrorCode::AuthenticationError
        | ErrorCode::RequestTimeout
        | ErrorCode::UsageLimitExceeded
        | ErrorCode::ToolsUnavailable
        | ErrorCode::InternalError => ("server_error", "server_error"),
    };
    // The vendor's type has no `type`; the AI SDK rejects the whole response without it.
    json!({ "type": kind, "code": code, "message": error.message })
}
