//! What comes back, as this format has it: one object, or chunks of a stream.

use mainstay_vocabulary::{
    Usage,
    inference::{Delta, Finished, Stop},
    item::ItemKind,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::request::Options;
use crate::{
    stateless::{Piece, Pieces},
    tier,
};

/// The last frame of a stream.
pub const fn stream_end() -> &'static str {
    "data: [DONE]\n\n"
}

/// A reply in the making.
#[derive(Clone, Debug)]
pub struct Reply {
    id: String,
    model: String,
    created: u64,
    options: Options,
    pieces: Pieces,
    /// The number of each item among the calls.
    calls: Vec<(u32, usize)>,
    logprobs: Option<Value>,
    has_begun: bool,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Change<'a>,
    logprobs: Option<Value>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Change<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallChange<'a>; 1]>,
}

#[derive(Serialize)]
struct CallChange<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionChange<'a>,
}

#[derive(Serialize)]
struct FunctionChange<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl Reply {
    /// Begins one. `id` is unique; `created` in seconds.
    pub fn new(id: impl Into<String>, model: impl Into<String>, created: u64, options: Options) -> Self {
        Self {
            id: id.into(),
            model: model.into(),
            created,
            options,
            pieces: Pieces::default(),
            calls: Vec::new(),
            logprobs: None,
            has_begun: false,
        }
    }

    /// The frames of a delta; none where this format has no place for it.
    pub fn delta(&mut self, delta: &Delta) -> String {
        let mut out = String::new();
        if !self.has_begun {
            self.has_begun = true;
            self.write(Change { role: Some("assistant"), content: Some(""), ..Change::default() }, &mut out);
        }
        match delta {
            Delta::Started { index, kind } => {
                self.pieces.take(delta);
                if let ItemKind::ToolCall { name, provider_call_id }
                | ItemKind::ServedCall { name, provider_call_id, .. } = kind
                {
                    let number = self.calls.len();
                    self.calls.push((*index, number));
                    let id = call_id(&self.id, number, provider_call_id.as_deref());
                    let function = FunctionChange { name: Some(name), arguments: "" };
                    let call = CallChange { index: number, id: Some(id), kind: Some("function"), function };
                    self.write(Change { tool_calls: Some([call]), ..Change::default() }, &mut out);
                }
            }
            Delta::Text { index, text } => self.text(*index, text, &mut out),
            Delta::Logprobs { logprobs, .. } => self.logprobs = Some(logprobs.clone()),
            Delta::Done { .. } => {}
        }
        out
    }

    fn text(&mut self, index: u32, text: &str, out: &mut String) {
        let change = match self.pieces.kind(index) {
            Some(ItemKind::Message) => Change { content: Some(text), ..Change::default() },
            Some(ItemKind::Refusal) => Change { refusal: Some(text), ..Change::default() },
            Some(ItemKind::Reasoning | ItemKind::ReasoningSummary) => {
                Change { reasoning_content: Some(text), ..Change::default() }
            }
            Some(ItemKind::ToolCall { .. } | ItemKind::ServedCall { .. }) => {
                let number = self.calls.iter().find(|(known, _)| *known == index).map_or(0, |(_, number)| *number);
                let function = FunctionChange { name: None, arguments: text };
                let call = CallChange { index: number, id: None, kind: None, function };
                Change { tool_calls: Some([call]), ..Change::default() }
            }
            None => return,
        };
        let logprobs = self.logprobs.take().map(|content| json!({ "content": content, "refusal": null }));
        self.write_choice(&[Choice { index: 0, delta: change, logprobs, finish_reason: None }], None, out);
    }

    /// The last frames of a stream that reached its end, without `stream_end`.
    pub fn finish(&mut self, finished: &Finished) -> String {
        let mut out = String::new();
        let finish_reason = Some(reason(&finished.stop));
        let last = Choice { index: 0, delta: Change::default(), logprobs: None, finish_reason };
        self.write_choice(&[last], None, &mut out);
        if self.options.include_usage {
            self.write_choice(&[], Some(usage(finished.usage.unwrap_or_default())), &mut out);
        }
        out
    }

    fn write(&self, delta: Change<'_>, out: &mut String) {
        self.write_choice(&[Choice { index: 0, delta, logprobs: None, finish_reason: None }], None, out);
    }

    fn write_choice(&self, choices: &[Choice<'_>], usage: Option<Value>, out: &mut String) {
        let chunk = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage,
        };
        out.push_str("data: ");
        out.push_str(&serde_json::to_string(&chunk).unwrap_or_default());
        out.push_str("\n\n");
    }
}

/// The whole answer. `id` is unique; `created` in seconds.
pub fn object(id: &str, created: u64, model: &str, (pieces, finished): (&Pieces, &Finished)) -> Value {
    let text = |wanted: fn(&ItemKind) -> bool| -> Option<String> {
        let texts: Vec<&str> =
            pieces.iter().filter(|piece| wanted(&piece.kind)).map(|piece| piece.text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.concat())
    };
    let mut message = json!({
        "role": "assistant",
        "content": text(|kind| matches!(kind, ItemKind::Message)),
        "refusal": text(|kind| matches!(kind, ItemKind::Refusal)),
        "annotations": [],
    });
    if let Some(thought) = text(|kind| matches!(kind, ItemKind::Reasoning | ItemKind::ReasoningSummary)) {
        message["reasoning_content"] = json!(thought);
    }
    let calls: Vec<Value> =
        pieces.iter().filter_map(call).enumerate().map(|(number, call)| call.json(id, number)).collect();
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    let logprobs: Vec<&Value> = pieces.iter().flat_map(|piece| &piece.logprobs).collect();
    let logprobs = (!logprobs.is_empty()).then(|| json!({ "content": logprobs, "refusal": null }));
    let choice = json!({
        "index": 0, "message": message, "logprobs": logprobs, "finish_reason": reason(&finished.stop),
    });
    json!({
        "id": id, "object": "chat.completion", "created": created, "model": model, "choices": [choice],
        "usage": usage(finished.usage.unwrap_or_default()),
        "system_fingerprint": finished.reported.get("system_fingerprint"),
        "service_tier": tier::served(&finished.reported),
    })
}

struct Called<'a> {
    name: &'a str,
    provider_call_id: Option<&'a str>,
    arguments: &'a str,
}

fn call(piece: &Piece) -> Option<Called<'_>> {
    let (ItemKind::ToolCall { name, provider_call_id } | ItemKind::ServedCall { name, provider_call_id, .. }) =
        &piece.kind
    else {
        return None;
    };
    Some(Called { name, provider_call_id: provider_call_id.as_deref(), arguments: &piece.text })
}

impl Called<'_> {
    fn json(&self, reply: &str, number: usize) -> Value {
        json!({
            "id": call_id(reply, number, self.provider_call_id), "type": "function",
            "function": { "name": self.name, "arguments": self.arguments },
        })
    }
}

/// The provider's own id of a call, or one that is unique because the reply's is.
fn call_id(reply: &str, number: usize, given: Option<&str>) -> String {
    given.map_or_else(|| format!("call_{}_{number}", reply.trim_start_matches("chatcmpl-")), str::to_owned)
}

const fn reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::Pause => "stop",
        Stop::ToolCalls => "tool_calls",
        Stop::MaxOutputTokens => "length",
        Stop::ContentFilter => "content_filter",
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": usage.total(),
        "prompt_tokens_details": { "cached_tokens": usage.cached_input, "audio_tokens": 0 },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}
