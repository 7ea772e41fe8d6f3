//! A request that goes as it came to an upstream of this format: nothing of it is stored, and nothing of ours has to be
//! put in. The upstream's frames come back the same way; what this adds is the end of a stream that broke.

use mainstay_vocabulary::{
    ItemId, Object, SessionId,
    inference::{Failure, Format},
};
use serde_json::{Value, json};

use super::item::{read_digest, read_opaque};
use crate::stateless::{self, Call};

/// Fields that name what this server keeps, or what only it does. Given at all, the request is ours to answer.
const OURS: [&str; 5] = ["previous_response_id", "conversation", "background", "context_management", "prompt"];

/// Reads what routing must know. `None` where the request is not to be passed on; also where it is malformed, so that
/// the reader of this server says what is wrong.
pub fn read(body: &Object) -> Option<Call> {
    let given = |name: &str| body.get(name).filter(|value| !value.is_null());
    let is_stateless = given("store") == Some(&Value::Bool(false));
    let is_ours = OURS.iter().any(|name| given(name).is_some_and(|value| !is_empty(value)));
    if !is_stateless || is_ours || holds_ours(given("input")?) {
        return None;
    }
    let model = given("model")?.as_str()?.to_owned();
    stateless::check_model(&model).ok()?;
    let streams = given("stream").map_or(Some(false), Value::as_bool)?;
    let mut request = stateless::request(stateless::verbatim(Format::OpenAiResponses, body.clone(), streams));
    request.sampling.max_output_tokens = match given("max_output_tokens") {
        None => None,
        Some(limit) => Some(limit.as_u64().filter(|limit| *limit > 0)?),
    };
    // It always needs its format: no canonical part of it was read.
    Some(Call { model, request, needs: Some("store".to_owned()), streams })
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Bool(false)) || value.as_array().is_some_and(Vec::is_empty)
}

/// Whether an input needs this server: it refers to what is stored here, carries what was sealed here, or asks for what
/// only a session does.
fn holds_ours(input: &Value) -> bool {
    let Value::Array(items) = input else { return !input.is_string() };
    items.iter().any(|item| {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        let is_sealed = |text: &str| !read_opaque(text).deployment.is_empty() || read_digest(text).is_some();
        let is_reference = text("type").is_none() && item.get("role").is_none();
        is_reference
            || matches!(text("type"), Some("item_reference" | "compaction_trigger"))
            || text("id").is_some_and(|id| id.parse::<ItemId>().is_ok())
            || text("encrypted_content").is_some_and(is_sealed)
            || ["content", "output"].iter().any(|name| item.get(*name).is_some_and(holds_file))
    })
}

/// Whether any part is a file that is stored here.
fn holds_file(parts: &Value) -> bool {
    let is_ours = |part: &Value| part.get("file_id").and_then(Value::as_str).is_some_and(is_stored);
    parts.as_array().is_some_and(|parts| parts.iter().any(is_ours))
}

fn is_stored(id: &str) -> bool {
    id.parse::<SessionId>().is_ok()
}

/// What is remembered of a stream that is passed on: enough to end it in this format where its upstream does not.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    response: Option<Value>,
    next_number: u64,
}

impl Passed {
    /// The server-sent event of an upstream's frame.
    pub fn frame(&mut self, frame: &Value) -> String {
        if let Some(number) = frame["sequence_number"].as_u64() {
            self.next_number = number.saturating_add(1);
        }
        if self.response.is_none() {
            self.response = frame.get("response").cloned();
        }
        event(frame["type"].as_str().unwrap_or("message"), frame)
    }

    /// The last events of a stream that failed: the error, then the response as failed.
    pub fn fail(&mut self, failure: &Failure, code: &str) -> String {
        let error = json!({
            "type": "error", "sequence_number": self.next_number, "code": code, "message": failure.message, "param": null,
        });
        let mut out = event("error", &error);
        if let Some(mut response) = self.response.take() {
            response["status"] = json!("failed");
            let known = if code == "rate_limit_exceeded" { code } else { "server_error" };
            // As in every failed Response here: the AI SDK rejects one without a `type`.
            response["error"] = json!({ "type": "server_error", "code": known, "message": failure.message });
            let number = self.next_number.saturating_add(1);
            let failed = json!({ "type": "response.failed", "sequence_number": number, "response": response });
            out.push_str(&event("response.failed", &failed));
        }
        out
    }
}

fn event(name: &str, body: &Value) -> String {
    format!("event: {name}\ndata: {body}\n\n")
}

/// The mark after the last event.
pub const fn stream_end() -> &'static str {
    "data: [DONE]\n\n"
}
