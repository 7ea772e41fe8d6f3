//! Events of Responses become the vocabulary's chunks: which item an event belongs to, and what is known at the end.
//! Pure; `http::decode` finds the events, `output` knows what of one item was passed on.

use mainstay_vocabulary::{
    Usage,
    inference::{Chunk, Failure, FailureKind, Stop},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    output::Sink,
    outputs::Outputs,
    part::{Block, Kind},
    wire::{self, Frame, Response},
};
use crate::{
    http::{
        answer::{Answer, MAX_ITEMS, too_many_items},
        decode::{Assemble, Decoder, Event, Taken, body_json, event_json},
        failure::{self, protocol},
    },
    openai::encoded::Encoded,
};

/// Most items of unknown types that a receipt names.
const MAX_OTHERS: usize = 16;

/// Longest item of an unknown type that a receipt keeps whole, bytes.
const MAX_OTHER_BYTES: usize = 200;

/// Reads one response.
pub fn decoder() -> Decoder {
    Decoder::new(Assembly::default(), false)
}

/// Reads one response, and yields each frame before its deltas.
pub fn framed_decoder() -> Decoder {
    Decoder::new(Assembly::default(), true)
}

/// Reads the answer to `encoded`, whose receipt says what was left out; gives its bytes too.
pub(super) fn decoder_for(encoded: Encoded, keeps_frames: bool) -> (Vec<u8>, Decoder) {
    let mut assembly = Assembly::default();
    let body = encoded.report(&mut assembly.answer);
    (body, Decoder::new(assembly, keeps_frames))
}

/// One inference's state.
#[derive(Debug, Default)]
struct Assembly {
    answer: Answer,
    outputs: Outputs,
    /// Items of unknown types, for the receipt.
    others: Vec<Value>,
}

impl Assemble for Assembly {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<Chunk>) -> Result<Taken, Failure> {
        if event.name == b"error" {
            return Err(error_event(event.data));
        }
        let Some(mut frame) = event_json::<Frame<'_>>(event.data)? else { return Ok(Taken::Partial) };
        let mut kind = std::mem::take(&mut frame.r#type).0;
        if kind.is_empty() {
            kind = String::from_utf8_lossy(event.name);
        }
        if kind == "error" || frame.error.as_ref().is_some_and(|error| !error.is_null()) {
            return Err(error_event(event.data));
        }
        self.frame(&kind, frame, out)?;
        Ok(Taken::Whole)
    }

    fn whole(&mut self, body: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let value: Value = body_json(body)?;
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(failure::in_stream(error));
        }
        let is_answer = value.get("output").is_some_and(Value::is_array);
        let is_open = matches!(value.get("status").and_then(Value::as_str), Some("queued" | "in_progress"));
        if !is_answer || is_open {
            return Err(protocol("an answer that is not a finished response"));
        }
        self.terminal(&value, out)
    }

    fn report(&mut self, name: &str, text: &str) {
        self.answer.report(name, text);
    }

    fn has_stop(&self) -> bool {
        self.answer.stop.is_some()
    }

    fn is_done(&self) -> bool {
        self.has_stop()
    }

    fn end(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.close_all(true, out)?;
        if !self.others.is_empty() {
            let others = std::mem::take(&mut self.others);
            self.answer.report_json("items", Value::Array(others));
        }
        let stop = self.answer.stop.clone().unwrap_or_else(|| self.natural_stop());
        self.answer.finish(stop, out);
        Ok(())
    }
}

impl Assembly {
    fn frame(&mut self, kind: &str, frame: Frame<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let to = &mut Sink { answer: &mut self.answer, out };
        match kind {
            "response.output_item.added" => self.outputs.added(&frame, to),
            "response.output_item.done" => {
                let item = frame.item.as_ref().unwrap_or(&Value::Null);
                self.others.extend(other(item).filter(|_| self.others.len() < MAX_OTHERS));
                self.outputs.done(&frame, item, to)
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" => self.outputs.announce(&frame),
            "response.content_part.done" | "response.reasoning_summary_part.done" => self.outputs.part_done(&frame, to),
            "response.output_text.delta" => self.outputs.delta(Block::Text, frame, to),
            "response.refusal.delta" => self.outputs.delta(Block::Refusal, frame, to),
            "response.reasoning_text.delta" | "response.reasoning.delta" => {
                self.outputs.delta(Block::Reasoning, frame, to)
            }
            "response.reasoning_summary_text.delta" => self.outputs.delta(Block::Summary, frame, to),
            "response.output_text.done" => self.outputs.text_done(Block::Text, frame, to),
            "response.refusal.done" => self.outputs.text_done(Block::Refusal, frame, to),
            "response.reasoning_text.done" | "response.reasoning.done" => {
                self.outputs.text_done(Block::Reasoning, frame, to)
            }
            "response.reasoning_summary_text.done" => self.outputs.text_done(Block::Summary, frame, to),
            "response.function_call_arguments.delta" => self.outputs.arguments(&frame, to),
            "response.function_call_arguments.done" => self.outputs.arguments_done(&frame, to),
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                let response = frame.response.ok_or_else(|| protocol("an end without its response"))?;
                self.terminal(&response, out)
            }
            _ => Ok(()),
        }
    }

    /// The whole response, at its end: what deltas lost is passed on now.
    fn terminal(&mut self, response: &Value, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let response = Response::deserialize(response).map_err(|_| protocol("a response of another format"))?;
        if let Some(error) = response.error.filter(|error| !error.is_null()) {
            return Err(failure::in_stream(&error));
        }
        if matches!(&*response.status.0, "failed" | "cancelled") {
            return Err(failed(&response.status.0));
        }
        let to = &mut Sink { answer: &mut self.answer, out };
        let output = response.output.unwrap_or_default();
        if output.len() > MAX_ITEMS as usize {
            return Err(too_many_items());
        }
        let unseen = self.outputs.conclude(&output, to)?;
        for item in unseen {
            self.others.extend(other(item).filter(|_| self.others.len() < MAX_OTHERS));
        }
        for (name, text) in [
            ("response_id", &response.id),
            ("service_tier", &response.service_tier),
            ("system_fingerprint", &response.system_fingerprint),
        ] {
            self.answer.report(name, &text.0);
        }
        self.answer.name_model(&response.model.0);
        if let Some(usage) = response.usage {
            self.usage(usage);
        }
        let incomplete = (response.status.0 == "incomplete").then_some(response.incomplete_details).map(reason_of);
        self.close_all(incomplete.is_none(), out)?;
        self.answer.stop = Some(self.stop(incomplete.as_deref()));
        Ok(())
    }

    fn stop(&mut self, incomplete: Option<&str>) -> Stop {
        match incomplete {
            None => self.natural_stop(),
            Some("content_filter") => Stop::ContentFilter,
            Some("max_output_tokens" | "max_tokens" | "length" | "") => Stop::MaxOutputTokens,
            Some(other) => {
                self.answer.report("incomplete_reason", other);
                self.natural_stop()
            }
        }
    }

    fn natural_stop(&self) -> Stop {
        if self.outputs.have_called() { Stop::ToolCalls } else { Stop::End }
    }

    fn close_all(&mut self, is_whole: bool, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.outputs.close(is_whole, &mut Sink { answer: &mut self.answer, out })
    }

    fn usage(&mut self, usage: wire::Usage) {
        let (input, output) = (usage.input_tokens.or_zero(), usage.output_tokens.or_zero());
        let (cached, written) = usage
            .input_tokens_details
            .map_or((0, 0), |details| (details.cached_tokens.or_zero(), details.cache_write_tokens.or_zero()));
        let reasoning = usage.output_tokens_details.map_or(0, |details| details.reasoning_tokens.or_zero());
        let cached_input = cached.min(input);
        let cache_write = written.min(input - cached_input);
        self.answer.usage = Some(Usage { input, cached_input, cache_write, output, reasoning: reasoning.min(output) });
        let mut rest = usage.rest;
        rest.remove("total_tokens");
        self.answer.report_usage(rest);
    }
}

/// What a receipt keeps of an item whose type is not interpreted here; a long one only by name.
fn other(item: &Value) -> Option<Value> {
    let kind = item.get("type").and_then(Value::as_str)?;
    if Kind::of(kind) != Kind::Other {
        return None;
    }
    if item.to_string().len() <= MAX_OTHER_BYTES {
        return Some(item.clone());
    }
    let short = |name: &str| item.get(name).and_then(Value::as_str).filter(|text| text.len() <= MAX_OTHER_BYTES / 4);
    Some(json!({ "type": short("type"), "id": short("id"), "status": short("status") }))
}

/// `incomplete_details.reason`, or nothing.
fn reason_of(details: Option<Value>) -> String {
    let reason = details.as_ref().and_then(|details| details.get("reason")).and_then(Value::as_str);
    reason.unwrap_or_default().to_owned()
}

fn failed(status: &str) -> Failure {
    Failure { kind: FailureKind::Upstream, message: format!("the response is {status}"), retry_after_ms: None }
}

fn error_event(data: &[u8]) -> Failure {
    let text = || Value::String(String::from_utf8_lossy(data).into_owned());
    failure::in_stream(&serde_json::from_slice(data).unwrap_or_else(|_| text()))
}
