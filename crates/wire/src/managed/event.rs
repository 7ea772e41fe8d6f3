//! What this wire's events say: of items, of calls, of errors and of how a turn ended.

use mainstay_session::event::{ErrorCode, Shortfall, TurnStatus};
use mainstay_vocabulary::{CallId, Item, Object, Role, inference::FailureKind};
use serde_json::{Value, json};

use super::{block, item_event_id};

/// Fields from pairs.
pub(super) fn pairs<const COUNT: usize>(pairs: [(&str, Value); COUNT]) -> Object {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The type of the event that shows an item of an input.
pub(super) fn kind_of(item: &Item) -> Option<&'static str> {
    match item {
        Item::Message { role: Role::User, .. } => Some("user.message"),
        Item::Message { role: Role::System | Role::Developer, .. } => Some("system.message"),
        Item::Message { role: Role::Assistant, .. } => Some("agent.message"),
        Item::ToolResult { .. } => Some("user.custom_tool_result"),
        Item::Reasoning { .. } | Item::ToolCall { .. } | Item::Compaction { .. } | Item::Other(_) => None,
    }
}

/// What the event that shows an item says of it.
pub(super) fn said(item: &Item) -> Object {
    match item {
        Item::Message { content, .. } => pairs([("content", json!(block::write(content)))]),
        Item::ToolResult { call_id, output, error } => pairs([
            ("custom_tool_use_id", json!(use_id(call_id))),
            ("content", json!(block::write_output(output))),
            ("is_error", json!(error.is_some())),
        ]),
        _ => Object::new(),
    }
}

/// The id of the event that showed a call.
fn use_id(call_id: &CallId) -> String {
    let item = call_id.0.strip_prefix("call_").and_then(|item| item.parse().ok());
    item.map_or_else(|| call_id.0.clone(), item_event_id)
}

/// The arguments as an object; text that is none stays readable under one key.
pub(super) fn arguments(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ if text.trim().is_empty() => json!({}),
        _ => json!({ "invalid_json": text }),
    }
}

pub(super) fn error(kind: &str, message: &str, retry: &str) -> Value {
    json!({ "type": kind, "message": message, "retry_status": { "type": retry } })
}

pub(super) const fn failure_type(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::RateLimited => "model_rate_limited_error",
        FailureKind::Upstream => "model_overloaded_error",
        FailureKind::Quota => "billing_error",
        _ => "model_request_failed_error",
    }
}

/// The error, the stop reason and its details of a turn that is over. This wire knows no incomplete turns: what cut one
/// short is an error.
pub(super) fn ending(status: &TurnStatus) -> (Option<Value>, &'static str, Value) {
    let cut = |message: &str| {
        let error = error("model_request_failed_error", message, "exhausted");
        (Some(error), "retries_exhausted", Value::Null)
    };
    match status {
        TurnStatus::Completed | TurnStatus::Cancelled => (None, "end_turn", Value::Null),
        TurnStatus::Incomplete(Shortfall::ContentFilter) => {
            let explanation = "The provider's content filter stopped the answer.";
            (None, "refusal", json!({ "type": "refusal", "category": null, "explanation": explanation }))
        }
        TurnStatus::Incomplete(Shortfall::MaxOutputTokens) => cut("The limit on output tokens was reached."),
        TurnStatus::Incomplete(Shortfall::Interrupted) => cut("The model's stream was cut off."),
        TurnStatus::Failed(failed) => {
            let kind = match failed.code {
                ErrorCode::RateLimitExceeded => "model_rate_limited_error",
                ErrorCode::ServerOverloaded => "model_overloaded_error",
                ErrorCode::UsageLimitExceeded => "tool_use_limit_reached_error",
                ErrorCode::RequestTimeout | ErrorCode::InternalError => "unknown_error",
                _ => "model_request_failed_error",
            };
            (Some(error(kind, &failed.message, "exhausted")), "retries_exhausted", Value::Null)
        }
    }
}
