//! The bytes of a response as frames, whatever the format. Incremental and pure: however the bytes are cut, the same
//! chunks come out. Takes event streams, and whole bodies from servers that were asked for one or ignore `stream`.

use std::fmt;

use mainstay_vocabulary::inference::{Chunk, Failure, FailureKind};
use serde_json::Value;

use super::failure::protocol;

pub use super::answer::MAX_ITEMS;

/// Longest line, event or whole body, bytes: room for a call's arguments sent at once, and no more.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// Most bytes of one response: hours of output at any known speed.
pub const MAX_BYTES: usize = 64 << 20;

/// One event of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    /// What its `event` line says; empty where there is none, `error` also for a line of that field.
    pub(crate) name: &'a [u8],
    /// Its `data` lines.
    pub(crate) data: &'a [u8],
}

/// What became of an event's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was read.
    Whole,
    /// It is the beginning of JSON; the event's next line may bring the rest.
    Partial,
}

/// A format's reading of one response: frames in, chunks out.
pub(crate) trait Assemble: fmt::Debug + Send {
    /// Takes one event in. Deltas are appended to `out`, also before an error.
    fn event(&mut self, event: Event<'_>, out: &mut Vec<Chunk>) -> Result<Taken, Failure>;

    /// Takes a whole body in, which brings the reason to stop with it.
    fn whole(&mut self, body: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure>;

    /// Keeps something that the response's headers said.
    fn report(&mut self, name: &str, text: &str);

    /// Whether the model's reason to stop is known.
    fn has_stop(&self) -> bool;

    /// Whether the format's own last event has come. `[DONE]` is known without asking.
    fn is_done(&self) -> bool;

    /// Whether the event that was just read answers nothing that the client asked: then its frame is not passed on.
    fn hides_frame(&self) -> bool {
        false
    }

    /// Closes what is open and says the end.
    fn end(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure>;
}

/// Reads one response.
#[derive(Debug)]
pub struct Decoder {
    assembly: Box<dyn Assemble>,
    /// Whether each frame is passed on as it came.
    keeps_frames: bool,
    form: Form,
    /// A line, or a whole body, of which more is to come.
    partial: Vec<u8>,
    /// What the `event` line of the event in hand says, as far as it can mean something.
    name: Vec<u8>,
    /// `data` lines of an event that one line did not complete.
    data: Vec<u8>,
    is_done: bool,
    total_bytes: usize,
}

/// Longest name of an event that is kept, bytes; no format has longer ones.
const MAX_NAME_BYTES: usize = 64;

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
    /// Reads by a format's rules; `keeps_frames` yields each frame before its deltas ([`Chunk::Frame`]).
    pub(crate) fn new(assembly: impl Assemble + 'static, keeps_frames: bool) -> Self {
        Self {
            assembly: Box::new(assembly),
            keeps_frames,
            form: Form::Unknown,
            partial: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            is_done: false,
            total_bytes: 0,
        }
    }

    /// Keeps something that the response's headers said, for the receipt.
    pub fn report(&mut self, name: &str, text: &str) {
        self.assembly.report(name, text);
    }

    /// Whether the stream said that nothing follows; [`Decoder::finish`] may be called.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether the model's reason to stop has come: then [`Decoder::finish`] succeeds even if the stream breaks.
    pub fn has_stop(&self) -> bool {
        self.assembly.has_stop()
    }

    /// Takes the next bytes; what they complete is appended to `out`, also before an error.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.total_bytes = self.total_bytes.saturating_add(bytes.len());
        if self.total_bytes > MAX_BYTES {
            return Err(protocol("a response longer than any may be"));
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
            b'<' => return Err(protocol("a page where an event stream was asked for")),
            _ => Form::Events,
        };
        Ok(&bytes[start..])
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.partial.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(protocol("a line longer than any may be"));
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
            let dispatched = self.dispatch(out);
            self.name.clear();
            dispatched
        } else if let Some(value) = field(line, b"data") {
            self.data(value, out)
        } else if let Some(value) = field(line, b"error") {
            self.assembly.event(Event { name: b"error", data: value }, out).map(|_| ())
        } else {
            if let Some(name) = field(line, b"event") {
                self.name.clear();
                self.name.extend_from_slice(&name[..name.len().min(MAX_NAME_BYTES)]);
            }
            Ok(())
        }
    }

    /// A `data` line is nearly always a whole event, read where it lies; else it waits for its next lines.
    fn data(&mut self, value: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
        if self.data.is_empty() {
            if value == b"[DONE]" {
                self.is_done = true;
                return Ok(());
            }
            if self.event(value, out)? == Taken::Whole {
                return Ok(());
            }
        }
        if self.data.len() + value.len() >= MAX_LINE_BYTES {
            return Err(protocol("an event longer than any may be"));
        }
        if !self.data.is_empty() {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }

    /// The blank line after an event of several lines.
    fn dispatch(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        if self.data.is_empty() {
            return Ok(());
        }
        let data = std::mem::take(&mut self.data);
        match self.event(&data, out)? {
            Taken::Whole => Ok(()),
            Taken::Partial => Err(not_json()),
        }
    }

    fn event(&mut self, data: &[u8], out: &mut Vec<Chunk>) -> Result<Taken, Failure> {
        let frame = if self.keeps_frames { serde_json::from_slice(data).ok() } else { None };
        let place = out.len();
        let taken = self.assembly.event(Event { name: &self.name, data }, out)?;
        pass_on(frame.filter(|_| !self.assembly.hides_frame()), place, out);
        self.is_done |= self.assembly.is_done();
        Ok(taken)
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
        let frame = if self.keeps_frames { serde_json::from_slice(body).ok() } else { None };
        let place = out.len();
        self.assembly.whole(body, out)?;
        pass_on(frame, place, out);
        Ok(())
    }
}

/// Puts a frame before the deltas that were read from it. A frame that is an error comes as the failure alone.
fn pass_on(frame: Option<Value>, place: usize, out: &mut Vec<Chunk>) {
    if let Some(frame) = frame {
        out.insert(place, Chunk::Frame(frame));
    }
}

/// The value of a line's field, if it has that name; one space after the colon is not part of it.
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Reads an event's JSON; `None` where it is only the beginning of some.
pub(crate) fn event_json<'a, T: serde::Deserialize<'a>>(data: &'a [u8]) -> Result<Option<T>, Failure> {
    match serde_json::from_slice(data) {
        Ok(frame) => Ok(Some(frame)),
        Err(error) if error.is_eof() => Ok(None),
        Err(_) => Err(not_json()),
    }
}

/// Reads a whole body's JSON.
pub(crate) fn body_json<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| match error.is_eof() {
        true => broken(),
        false => protocol("an answer that is not JSON of the format"),
    })
}

fn not_json() -> Failure {
    protocol("an event that is not JSON of the format")
}

fn broken() -> Failure {
    let message = "the stream ended without its end".to_owned();
    Failure { kind: FailureKind::Broken, message, retry_after_ms: None }
}
