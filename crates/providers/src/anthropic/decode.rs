//! A Messages response as chunks: events of the stream, or a whole message where one was asked for, each handed to
//! `assembly`. Pure.

use mainstay_vocabulary::{
    Object,
    inference::{Chunk, Failure},
};
use serde_json::Value;

use super::{
    assembly::Assembly,
    frame::{Frame, MessageFrame},
};
use crate::http::{
    decode::{Assemble, Decoder, Event, Taken, body_json, event_json},
    failure::{self, protocol},
};

/// Reads one response; `keeps_frames` for a client's own request. `lost` is what the encoder left out, for the receipt.
pub fn decoder(keeps_frames: bool, lost: Object) -> Decoder {
    let mut assembly = Assembly::default();
    for (name, value) in lost {
        assembly.answer.report_json(&name, value);
    }
    Decoder::new(assembly, keeps_frames)
}

impl Assemble for Assembly {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<Chunk>) -> Result<Taken, Failure> {
        if event.name == b"error" {
            return Err(error_event(event.data));
        }
        let frame = event_json::<Frame<'_>>(event.data).map_err(|failure| odd_error(event.data).unwrap_or(failure))?;
        let Some(frame) = frame else { return Ok(Taken::Partial) };
        frame_of(self, frame, event, out).map(|()| Taken::Whole)
    }

    fn whole(&mut self, body: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let mut message: MessageFrame<'_> = body_json(body)?;
        if message.kind.0 == "error" || message.error.as_ref().is_some_and(|error| !error.is_null()) {
            return Err(error_event(body));
        }
        let Some(content) = message.content.take() else {
            return Err(protocol("a message without content"));
        };
        // Known before the blocks end: a call that was cut off has no arguments to make up.
        self.message(&mut message);
        for (index, block) in (0..).zip(&content) {
            let place = self.start(Some(index), block, out)?;
            self.end_block(place, out)?;
        }
        self.is_done = true;
        Ok(())
    }

    fn report(&mut self, name: &str, text: &str) {
        self.answer.report(name, text);
    }

    fn has_stop(&self) -> bool {
        self.is_done || self.answer.stop.is_some()
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn end(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.end_message(out)
    }
}

fn frame_of(assembly: &mut Assembly, frame: Frame<'_>, event: Event<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
    let index = frame.index.0;
    // Some servers say the type only once, in the event or in its data.
    let kind = if frame.kind.0.is_empty() { event.name } else { frame.kind.0.as_bytes() };
    match kind {
        b"message_start" => {
            if let Some(mut message) = frame.message {
                assembly.message(&mut message);
            }
        }
        b"content_block_start" => {
            if let Some(block) = frame.content_block {
                assembly.start(index, &block, out)?;
            }
        }
        b"content_block_delta" => {
            if let Some(delta) = frame.delta {
                assembly.delta(index, &delta, out)?;
            }
        }
        b"content_block_stop" => assembly.stop_block(index, out)?,
        b"message_delta" => {
            assembly.usage(frame.usage);
            if let Some(delta) = frame.delta {
                assembly.stop(&delta.stop_reason.0, delta.stop_sequence, delta.stop_details);
            }
        }
        b"message_stop" => assembly.is_done = true,
        b"error" => return Err(error_event(event.data)),
        _ if frame.error.is_some_and(|error| !error.is_null()) => return Err(error_event(event.data)),
        // `ping`, and what is to come.
        _ => {}
    }
    Ok(())
}

/// An error that does not look like an event at all, as gateways write them.
fn odd_error(data: &[u8]) -> Option<Failure> {
    let value: Value = serde_json::from_slice(data).ok()?;
    let is_error = value.get("type").is_some_and(|kind| kind == "error") || value.get("error").is_some();
    is_error.then(|| failure::in_stream(&value))
}

fn error_event(data: &[u8]) -> Failure {
    let text = || Value::String(String::from_utf8_lossy(data).into_owned());
    failure::in_stream(&serde_json::from_slice(data).unwrap_or_else(|_| text()))
}
