//! What the model writes, byte by byte, becomes deltas: text is shown as it comes, never split inside a character; a
//! call is shown once it is whole, so that what is shown is always valid. Pure.

mod bare;
#[cfg(test)]
mod tests;

use mainstay_vocabulary::{
    ItemKind,
    inference::{Delta, Stop},
};
use serde_json::Value;

use crate::template::CALL_MARKER;

/// Why an output ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The model was done.
    Whole,
    /// The limit on tokens.
    Cut,
    /// One of the client's texts that end an answer.
    Sequence(String),
}

/// One inference's output.
#[derive(Debug, Default)]
pub(crate) struct Output {
    may_call: bool,
    /// Functions whose calls are known without the marker, until the output has begun otherwise.
    bare: Vec<String>,
    /// Texts that end the answer and are not part of it.
    sequences: Vec<String>,
    /// Bytes that cannot be shown yet: an unfinished character, white space that may precede a call, a part of the
    /// marker.
    held: Vec<u8>,
    call: Option<Call>,
    /// The open message.
    message: Option<u32>,
    started: u32,
    called: bool,
    /// Between calls stand only their ends and line breaks.
    is_after_call: bool,
}

/// The call being written.
#[derive(Debug, Default)]
struct Call {
    bytes: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Output {
    pub(crate) fn new(may_call: bool, bare: Vec<String>, sequences: &[String]) -> Self {
        let sequences = sequences.iter().filter(|text| !text.is_empty()).cloned().collect();
        Self { may_call, bare, sequences, ..Self::default() }
    }

    /// Takes what a token stands for. The text that ends the answer, once it is written.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Option<Ending> {
        for &byte in bytes {
            match &mut self.call {
                Some(call) => {
                    if call.take(byte) {
                        let call = std::mem::take(&mut call.bytes);
                        self.call = None;
                        self.show_call(&call, out);
                        self.is_after_call = true;
                    }
                }
                None => self.text(byte, out),
            }
            if let Some(text) = self.sequences.iter().find(|text| self.held.ends_with(text.as_bytes())) {
                self.held.truncate(self.held.len() - text.len());
                return Some(Ending::Sequence(text.clone()));
            }
        }
        self.show_text(false, out);
        None
    }

    fn text(&mut self, byte: u8, out: &mut Vec<Delta>) {
        self.held.push(byte);
        match bare::object(&self.held, &self.bare) {
            Ok(at) => {
                let mut call = Call::default();
                self.held.drain(..).skip(at).for_each(|byte| _ = call.take(byte));
                self.call = Some(call);
                self.bare.clear();
                return;
            }
            Err(bare::Not::Yet) => return,
            Err(bare::Not::Ever) => self.bare.clear(),
        }
        if self.may_call && self.held.ends_with(CALL_MARKER.as_bytes()) {
            let text = self.held.len() - CALL_MARKER.len();
            self.held.truncate(text);
            if self.is_unshown() {
                self.held.clear();
            }
            self.show_text(true, out);
            if let Some(index) = self.message.take() {
                out.push(Delta::Done { index, opaque: None });
            }
            self.call = Some(Call::default());
            self.is_after_call = false;
        }
    }

    /// Whether what is held is nobody's text: what stands after a call, or white space that may precede one.
    fn is_unshown(&self) -> bool {
        self.is_after_call || (self.message.is_none() && self.held.iter().all(u8::is_ascii_whitespace))
    }

    /// Shows what can be shown of what is held; all of it if nothing can change it any more.
    fn show_text(&mut self, is_final: bool, out: &mut Vec<Delta>) {
        let mut end = self.held.len();
        if !is_final {
            if !self.bare.is_empty() || (self.may_call && self.is_unshown()) {
                return;
            }
            let marker = self.may_call.then_some(CALL_MARKER);
            let awaited = self.sequences.iter().map(String::as_str).chain(marker);
            end -= awaited.map(|text| overlap(&self.held, text.as_bytes())).max().unwrap_or_default();
            end = whole_characters(&self.held[..end]);
        }
        if end == 0 {
            return;
        }
        let shown: Vec<u8> = self.held.drain(..end).collect();
        let text = String::from_utf8_lossy(&shown).into_owned();
        let index = match self.message {
            Some(index) => index,
            None => self.start(ItemKind::Message, out),
        };
        self.message = Some(index);
        out.push(Delta::Text { index, text });
    }

    fn start(&mut self, kind: ItemKind, out: &mut Vec<Delta>) -> u32 {
        let index = self.started;
        self.started += 1;
        out.push(Delta::Started { index, kind });
        index
    }

    fn show_call(&mut self, call: &[u8], out: &mut Vec<Delta>) {
        let text = String::from_utf8_lossy(call);
        let parsed: Option<Value> = serde_json::from_str(&text).ok();
        let name = parsed.as_ref().and_then(|call| call["name"].as_str()).unwrap_or_default().to_owned();
        let arguments = arguments(&text).unwrap_or_default().to_owned();
        self.called = true;
        let index = self.start(ItemKind::ToolCall { name, provider_call_id: None }, out);
        out.push(Delta::Text { index, text: arguments });
        out.push(Delta::Done { index, opaque: None });
    }

    /// The end of the output. An unfinished call is dropped: only the limit on tokens leaves one.
    pub(crate) fn finish(&mut self, ending: Ending, out: &mut Vec<Delta>) -> Stop {
        if self.call.is_none() && !self.is_after_call {
            self.show_text(true, out);
        }
        if let Some(index) = self.message.take() {
            out.push(Delta::Done { index, opaque: None });
        }
        match (ending, self.called) {
            (Ending::Cut, _) => Stop::MaxOutputTokens,
            (Ending::Sequence(text), _) => Stop::Sequence(text),
            (Ending::Whole, true) => Stop::ToolCalls,
            (Ending::Whole, false) => Stop::End,
        }
    }
}

impl Call {
    /// Takes one byte of JSON and what is around it; whether the outermost object is closed now.
    fn take(&mut self, byte: u8) -> bool {
        self.bytes.push(byte);
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            b'{' if !self.in_string => self.depth += 1,
            b'}' if !self.in_string => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

/// The arguments of a call as the model wrote them. Within a string the key's quotes would be escaped.
fn arguments(call: &str) -> Option<&str> {
    let (_, rest) = call.split_once("\"arguments\"")?;
    let value = rest.trim_start().strip_prefix(':')?.trim();
    value.strip_suffix('}').map(str::trim_end)
}

/// How many bytes at the end may be the beginning of a text that is awaited.
fn overlap(bytes: &[u8], awaited: &[u8]) -> usize {
    (1..awaited.len()).rev().find(|&length| bytes.ends_with(&awaited[..length])).unwrap_or_default()
}

/// How many bytes make whole characters; bytes that can never make one count as whole.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(_) => {
            let last = bytes.len().saturating_sub(3);
            let start = (last..bytes.len()).find(|&at| bytes[at] >= 0xC0);
            let unfinished = start
                .filter(|&at| matches!(std::str::from_utf8(&bytes[at..]), Err(error) if error.error_len().is_none()));
            unfinished.unwrap_or(bytes.len())
        }
    }
}
