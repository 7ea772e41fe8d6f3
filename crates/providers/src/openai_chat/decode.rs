//! A Chat Completions response as chunks: frames of the stream, or a whole completion from servers that ignore
//! `stream`, each handed to `assembly`. Pure.

use mainstay_vocabulary::inference::{Chunk, Failure, Verbatim};
use serde_json::Value;

use super::{assembly::Assembly, wire::Frame};
use crate::{
    http::{
        decode::{Assemble, Decoder, Event, Taken, body_json, event_json},
        failure::{self, protocol},
    },
    openai::encoded::Encoded,
};

/// Reads one response.
pub fn decoder() -> Decoder {
    Decoder::new(Assembly::default(), false)
}

/// Reads one response, and yields each frame before its deltas.
pub fn framed_decoder() -> Decoder {
    Decoder::new(Assembly::default(), true)
}

/// Reads the answer to `encoded`, whose receipt says what was left out; gives its bytes too. A client's own request
/// gets its frames, but for the one with usage where only we asked for it: its reader would look for a choice in there.
pub(super) fn decoder_for(encoded: Encoded, own: Option<&Verbatim>) -> (Vec<u8>, Decoder) {
    let asks_usage = |own: &Verbatim| {
        let options = own.body.get("stream_options");
        options.and_then(|options| options.get("include_usage")).and_then(Value::as_bool).unwrap_or(false)
    };
    let mut assembly = Assembly::default();
    assembly.hides_usage = own.is_some_and(|own| own.streams && !asks_usage(own));
    let body = encoded.report(&mut assembly.answer);
    (body, Decoder::new(assembly, own.is_some()))
}

impl Assemble for Assembly {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<Chunk>) -> Result<Taken, Failure> {
        if event.name == b"error" {
            return Err(error_event(event.data));
        }
        match event_json(event.data)? {
            Some(frame) => checked_frame(self, frame, event.data, out).map(|()| Taken::Whole),
            None => Ok(Taken::Partial),
        }
    }

    fn whole(&mut self, body: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let frame: Frame<'_> = body_json(body)?;
        let is_empty = frame.choices.as_ref().is_none_or(Vec::is_empty);
        checked_frame(self, frame, body, out)?;
        if is_empty {
            return Err(protocol("a completion without a choice"));
        }
        self.assume_stop();
        Ok(())
    }

    fn report(&mut self, name: &str, text: &str) {
        self.answer.report(name, text);
    }

    fn has_stop(&self) -> bool {
        self.answer.stop.is_some()
    }

    fn is_done(&self) -> bool {
        false
    }

    fn hides_frame(&self) -> bool {
        self.hides_usage && self.was_usage
    }

    fn end(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.close(out)
    }
}

fn checked_frame(
    assembly: &mut Assembly,
    frame: Frame<'_>,
    source: &[u8],
    out: &mut Vec<Chunk>,
) -> Result<(), Failure> {
    if frame.object.0 == "error" && frame.error.is_none() {
        return Err(error_event(source));
    }
    assembly.frame(frame, out)
}

fn error_event(value: &[u8]) -> Failure {
    let text = || Value::String(String::from_utf8_lossy(value).into_owned());
    failure::in_stream(&serde_json::from_slice(value).unwrap_or_else(|_| text()))
}
