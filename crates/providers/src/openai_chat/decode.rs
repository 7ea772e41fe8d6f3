//! The bytes of a Chat Completions response as chunks. Incremental and pure: however the bytes are cut, the same
//! chunks come out. Takes event streams, and whole completions from servers that ignore `stream`.

use mainstay_vocabulary::inference::{Chunk, Failure, FailureKind};
use serde_json::Value;

use super::{
    assembly::{self, Assembly},
    failure,
    wire::Frame,
};

pub use super::assembly::MAX_ITEMS;

/// Longest line, event or whole completion, bytes: room for a call's arguments sent at once, and no more.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// Most bytes of one response: hours of output at any known speed.
pub const MAX_BYTES: usize = 64 << 20;

/// Reads one response.
#[derive(Debug, Default)]
pub struct Decoder {
    form: Form,
    /// A line, or a whole completion, of which more is to come.
    partial: Vec<u8>,
    /// `data` lines of an event that one line did not complete.
    event: Vec<u8>,
    /// The event calls itself an error.
    is_error_event: bool,
    is_done: bool,
    total_bytes: usize,
    assembly: Assembly,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    /// Nothing but white space so far.
    #[default]
    Unknown,
    /// `text/event-stream`.
    Events,
    /// One JSON object.
    Whole,
}

impl Decoder {
    /// Keeps something that the response's headers said, for the receipt.
    pub fn report(&mut self, name: &str, text: &str) {
        self.assembly.report(name, text);
    }

    /// Whether the stream said that nothing follows; [`Decoder::finish`] may be called.
    pub const fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether the model's reason to stop has come: then [`Decoder::finish`] succeeds even if the stream breaks.
    pub const fn has_stop(&self) -> bool {
        self.assembly.has_stop()
    }

    /// Takes the next bytes; what they complete is appended to `out`, also before an error.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.total_bytes = self.total_bytes.saturating_add(bytes.len());
        if self.total_bytes > MAX_BYTES {
            return Err(assembly::protocol("a response longer than any may be"));
        }
        let bytes = self.recognise(bytes)?;
        match self.form {
            Form::Unknown => Ok(()),
            Form::Whole => self.keep(bytes),
            Form::Events => self.lines(bytes, out),
        }
    }

    /// Tells by the first byte that means something which form the response has; gives what is left to read.
    fn recognise<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Failure> {
        if self.form != Form::Unknown {
            return Ok(bytes);
        }
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || [0xef, 0xbb, 0xbf].contains(byte);
        let Some(start) = bytes.iter().position(|byte| !is_blank(byte)) else { return Ok(&[]) };
        self.form = match bytes[start] {
            b'{' => Form::Whole,
            b'<' => return Err(assembly::protocol("a page where an event stream was asked for")),
            _ => Form::Events,
        };
        Ok(&bytes[start..])
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.partial.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(assembly::protocol("a line longer than any may be"));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn lines(&mut self, mut bytes: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.partial.is_empty() {
                self.line(line, out)?;
            } else {
                self.keep(line)?;
                let line = std::mem::take(&mut self.partial);
                self.line(&line, out)?;
            }
        }
        self.keep(bytes)
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.is_done {
            Ok(())
        } else if line.is_empty() {
            self.is_error_event = false;
            self.dispatch(out)
        } else if let Some(value) = field(line, b"data") {
            self.data(value, out)
        } else if let Some(value) = field(line, b"error") {
            Err(error_event(value))
        } else {
            self.is_error_event |= field(line, b"event") == Some(b"error");
            Ok(())
        }
    }

    /// A `data` line is nearly always a whole event, read where it lies; else it waits for its next lines.
    fn data(&mut self, value: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        if self.is_error_event {
            return Err(error_event(value));
        }
        if self.event.is_empty() {
            if value == b"[DONE]" {
                self.is_done = true;
                return Ok(());
            }
            match serde_json::from_slice(value) {
                Ok(frame) => return self.frame(frame, value, out),
                Err(error) if error.is_eof() => {}
                Err(_) => return Err(assembly::protocol("an event that is not JSON of the format")),
            }
        }
        if self.event.len() + value.len() >= MAX_LINE_BYTES {
            return Err(assembly::protocol("an event longer than any may be"));
        }
        if !self.event.is_empty() {
            self.event.push(b'\n');
        }
        self.event.extend_from_slice(value);
        Ok(())
    }

    /// The blank line after an event of several lines.
    fn dispatch(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        if self.event.is_empty() {
            return Ok(());
        }
        let event = std::mem::take(&mut self.event);
        match serde_json::from_slice(&event) {
            Ok(frame) => self.frame(frame, &event, out),
            Err(_) => Err(assembly::protocol("an event that is not JSON of the format")),
        }
    }

    fn frame(&mut self, frame: Frame<'_>, source: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        if frame.object.0 == "error" && frame.error.is_none() {
            return Err(error_event(source));
        }
        self.assembly.frame(frame, out)
    }

    /// The bytes have ended: closes what is open and says the end, or why there is none.
    pub fn finish(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let partial = std::mem::take(&mut self.partial);
        if self.form == Form::Whole {
            self.whole(&partial, out)?;
        } else if !partial.is_empty() {
            // A cut last line harms nothing once the reason to stop is known; a whole one may hold the usage.
            let had_stop = self.has_stop();
            self.line(&partial, out).or_else(|failure| if had_stop { Ok(()) } else { Err(failure) })?;
        }
        if !self.is_done && !self.has_stop() {
            return Err(broken());
        }
        self.assembly.end(out)
    }

    fn whole(&mut self, body: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let frame: Frame<'_> = match serde_json::from_slice(body) {
            Ok(frame) => frame,
            Err(error) if error.is_eof() => return Err(broken()),
            Err(_) => return Err(assembly::protocol("an answer that is not JSON of the format")),
        };
        let is_empty = frame.choices.as_ref().is_none_or(Vec::is_empty);
        self.frame(frame, body, out)?;
        if is_empty {
            return Err(assembly::protocol("a completion without a choice"));
        }
        self.assembly.assume_stop();
        Ok(())
    }
}

/// The value of a line's field, if it has that name; one space after the colon is not part of it.
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

fn error_event(value: &[u8]) -> Failure {
    let text = || Value::String(String::from_utf8_lossy(value).into_owned());
    failure::in_stream(&serde_json::from_slice(value).unwrap_or_else(|_| text()))
}

fn broken() -> Failure {
    let message = "the stream ended without its end".to_owned();
    Failure { kind: FailureKind::Broken, message, retry_after_ms: None }
}
