//! What comes back, as this format has it: one object, or the events of a stream. Blocks of a stream come one after
//! the other, so what a provider writes at the same time waits for its turn.

use std::collections::VecDeque;

use mainstay_vocabulary::{
    Usage,
    inference::{Delta, Finished, Stop},
    item::{ItemKind, Opaque},
};
use serde_json::{Value, json};

use crate::{
    responses::item::write_opaque,
    stateless::{Piece, Pieces},
    tier,
};

/// A stream in the making.
#[derive(Clone, Debug)]
pub struct Reply {
    id: String,
    model: String,
    /// Whose the opaque bytes are.
    deployment: String,
    pieces: Pieces,
    has_begun: bool,
    /// The item whose block is open.
    open: Option<u32>,
    /// Number of the next block.
    next: usize,
    /// Deltas of other items, until the open block is closed.
    waiting: VecDeque<Delta>,
}

impl Reply {
    /// Begins one. `id` is unique; opaque bytes are signed as `deployment`'s.
    pub fn new(id: impl Into<String>, model: impl Into<String>, deployment: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            model: model.into(),
            deployment: deployment.into(),
            pieces: Pieces::default(),
            has_begun: false,
            open: None,
            next: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The frames of a delta.
    pub fn delta(&mut self, delta: &Delta) -> String {
        let mut out = String::new();
        self.begin(&mut out);
        self.waiting.push_back(delta.clone());
        self.advance(&mut out);
        out
    }

    /// The last frames of a stream that reached its end.
    pub fn finish(&mut self, finished: &Finished) -> String {
        let mut out = String::new();
        self.begin(&mut out);
        // An item that was never closed: the stream is over, so it is.
        while self.open.is_some() || !self.waiting.is_empty() {
            if let Some(index) = self.open {
                self.close(index, None, &mut out);
            }
            self.advance(&mut out);
        }
        let (reason, sequence) = stop(&finished.stop);
        let body = json!({
            "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": sequence },
            "usage": usage_of(finished),
        });
        frame(&mut out, "message_delta", &body);
        frame(&mut out, "message_stop", &json!({ "type": "message_stop" }));
        out
    }

    fn begin(&mut self, out: &mut String) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let message = json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage(Usage::default()),
        });
        frame(out, "message_start", &json!({ "type": "message_start", "message": message }));
    }

    /// Writes what may be written: deltas of the open block, or the next block.
    fn advance(&mut self, out: &mut String) {
        loop {
            let is_next = |delta: &Delta| self.open.is_none_or(|open| open == index_of(delta));
            let Some(place) = self.waiting.iter().position(is_next) else { return };
            let Some(delta) = self.waiting.remove(place) else { return };
            self.write(&delta, out);
        }
    }

    fn write(&mut self, delta: &Delta, out: &mut String) {
        self.pieces.take(delta);
        match delta {
            Delta::Started { index, kind } => {
                self.open = Some(*index);
                let block = self.block(kind);
                let body = json!({ "type": "content_block_start", "index": self.next, "content_block": block });
                frame(out, "content_block_start", &body);
            }
            Delta::Text { index, text } => {
                if let Some(delta) = self.pieces.kind(*index).map(|kind| text_delta(kind, text)) {
                    self.write_delta(&delta, out);
                }
            }
            // This format has no place for them.
            Delta::Logprobs { .. } => {}
            Delta::Done { index, opaque } => self.close(*index, opaque.as_deref(), out),
        }
    }

    fn block(&self, kind: &ItemKind) -> Value {
        match kind {
            ItemKind::Message | ItemKind::Refusal => json!({ "type": "text", "text": "" }),
            ItemKind::Reasoning | ItemKind::ReasoningSummary => {
                json!({ "type": "thinking", "thinking": "", "signature": "" })
            }
            ItemKind::ToolCall { name, provider_call_id } | ItemKind::ServedCall { name, provider_call_id, .. } => {
                json!({
                    "type": "tool_use", "id": call_id(&self.id, self.next, provider_call_id.as_deref()), "name": name,
                    "input": {},
                })
            }
        }
    }

    fn close(&mut self, index: u32, opaque: Option<&str>, out: &mut String) {
        let is_thought = self.pieces.kind(index).is_some_and(is_thought);
        if is_thought {
            let signature = signature(&self.deployment, opaque);
            self.write_delta(&json!({ "type": "signature_delta", "signature": signature }), out);
        }
        frame(out, "content_block_stop", &json!({ "type": "content_block_stop", "index": self.next }));
        self.next += 1;
        self.open = None;
    }

    fn write_delta(&self, delta: &Value, out: &mut String) {
        let body = json!({ "type": "content_block_delta", "index": self.next, "delta": delta });
        frame(out, "content_block_delta", &body);
    }
}

/// The whole answer. `id` is unique; opaque bytes are signed as `deployment`'s.
pub fn object(id: &str, model: &str, deployment: &str, (pieces, finished): (&Pieces, &Finished)) -> Value {
    let block = |(number, piece): (usize, &Piece)| match &piece.kind {
        ItemKind::Message | ItemKind::Refusal => json!({ "type": "text", "text": piece.text }),
        ItemKind::Reasoning | ItemKind::ReasoningSummary => json!({
            "type": "thinking", "thinking": piece.text, "signature": signature(deployment, piece.opaque.as_deref()),
        }),
        ItemKind::ToolCall { name, provider_call_id } | ItemKind::ServedCall { name, provider_call_id, .. } => json!({
            "type": "tool_use", "id": call_id(id, number, provider_call_id.as_deref()), "name": name,
            "input": input(&piece.text),
        }),
    };
    let content: Vec<Value> = pieces.iter().enumerate().map(block).collect();
    let (reason, sequence) = stop(&finished.stop);
    json!({
        "id": id, "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": reason, "stop_sequence": sequence, "usage": usage_of(finished),
    })
}

/// One event of a stream.
pub(super) fn frame(out: &mut String, event: &str, body: &Value) {
    out.push_str("event: ");
    out.push_str(event);
    out.push_str("\ndata: ");
    out.push_str(&body.to_string());
    out.push_str("\n\n");
}

const fn index_of(delta: &Delta) -> u32 {
    mainstay_session::feed::index(delta)
}

fn text_delta(kind: &ItemKind, text: &str) -> Value {
    match kind {
        ItemKind::Message | ItemKind::Refusal => json!({ "type": "text_delta", "text": text }),
        ItemKind::Reasoning | ItemKind::ReasoningSummary => json!({ "type": "thinking_delta", "thinking": text }),
        ItemKind::ToolCall { .. } | ItemKind::ServedCall { .. } => {
            json!({ "type": "input_json_delta", "partial_json": text })
        }
    }
}

const fn is_thought(kind: &ItemKind) -> bool {
    matches!(kind, ItemKind::Reasoning | ItemKind::ReasoningSummary)
}

/// What a client sends back with a thought: names the deployment, so that the bytes return only there.
fn signature(deployment: &str, opaque: Option<&str>) -> String {
    let opaque = opaque.map(|bytes| Opaque { deployment: deployment.to_owned(), bytes: bytes.to_owned() });
    opaque.as_ref().map(write_opaque).unwrap_or_default()
}

/// The arguments as an object; text that is no JSON object is kept under a name of its own, for the client to refuse.
fn input(arguments: &str) -> Value {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ if arguments.trim().is_empty() => json!({}),
        _ => json!({ "malformed_arguments": arguments }),
    }
}

/// The provider's own id of a call, or one that is unique because the reply's is.
fn call_id(reply: &str, number: usize, given: Option<&str>) -> String {
    given.map_or_else(|| format!("toolu_{}_{number}", reply.trim_start_matches("msg_")), str::to_owned)
}

fn stop(stop: &Stop) -> (&'static str, Option<&str>) {
    match stop {
        Stop::End => ("end_turn", None),
        Stop::ToolCalls => ("tool_use", None),
        Stop::MaxOutputTokens => ("max_tokens", None),
        Stop::ContentFilter => ("refusal", None),
        Stop::Sequence(text) => ("stop_sequence", Some(text)),
        Stop::Pause => ("pause_turn", None),
    }
}

fn usage_of(finished: &Finished) -> Value {
    let mut usage = usage(finished.usage.unwrap_or_default());
    if let Some(tier) = tier::served_by_anthropic(&finished.reported) {
        usage["service_tier"] = json!(tier);
    }
    usage
}

/// Here `input_tokens` leaves out what the cache took part in.
fn usage(usage: Usage) -> Value {
    let fresh = usage.input.saturating_sub(usage.cached_input).saturating_sub(usage.cache_write);
    json!({
        "input_tokens": fresh, "output_tokens": usage.output, "cache_read_input_tokens": usage.cached_input,
        "cache_creation_input_tokens": usage.cache_write,
    })
}
