//! The bodies of stream events, and the frames that they are numbered into.

use serde::Serialize;
use serde_json::Value;

/// One event of a Response's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// `sequence_number`: an ordinal from 0 of this Response.
    pub number: u64,
    /// `type`, which is also the name of the server-sent event.
    pub event: &'static str,
    /// The body, one line of JSON.
    pub data: String,
}

/// Numbers the frames and keeps those that are wanted.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    next: u64,
    from: u64,
    kept: Vec<Frame>,
}

impl Sink {
    /// Keeps frames whose number is at least `from`.
    pub(super) const fn keeping(from: u64) -> Self {
        Self { next: 0, from, kept: Vec::new() }
    }

    /// Numbers one frame; its body is only made where the frame is wanted.
    pub(super) fn send<B: Serialize>(&mut self, event: &'static str, body: impl FnOnce() -> B) {
        let number = self.next;
        self.next += 1;
        if number < self.from {
            return;
        }
        let numbered = Numbered { kind: event, sequence_number: number, body: body() };
        // A body is made of texts, numbers and JSON values: it always has a JSON form.
        let data = serde_json::to_string(&numbered).unwrap_or_default();
        self.kept.push(Frame { number, event, data });
    }

    /// The number that the next frame gets.
    pub(super) const fn next_number(&self) -> u64 {
        self.next
    }

    /// What was kept since the last time.
    pub(super) fn take(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.kept)
    }
}

#[derive(Serialize)]
struct Numbered<B> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    body: B,
}

/// `response.created`, `.queued`, `.in_progress` and the terminal ones.
#[derive(Serialize)]
pub(super) struct Lifecycle {
    pub(super) response: Value,
}

/// `response.output_item.added` and `.done`.
#[derive(Serialize)]
pub(super) struct OutputItem {
    pub(super) output_index: usize,
    pub(super) item: Value,
}

/// Where something of an item happens.
#[derive(Clone, Copy, Serialize)]
pub(super) struct At<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary_index: Option<u32>,
}

/// `…part.added` and `…part.done`.
#[derive(Serialize)]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    pub(super) at: At<'a>,
    pub(super) part: Value,
}

/// `….delta`.
#[derive(Serialize)]
pub(super) struct Delta<'a> {
    #[serde(flatten)]
    pub(super) at: At<'a>,
    pub(super) delta: &'a str,
    /// Only for output text, maybe empty: strict clients want the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<&'a [Value]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) obfuscation: Option<String>,
}

/// `….done` of a text; `name` says under which key it stands.
pub(super) struct Done<'a> {
    pub(super) at: At<'a>,
    pub(super) name: &'static str,
    pub(super) text: &'a str,
    /// Only for output text.
    pub(super) logprobs: Option<&'a [Value]>,
}

impl Serialize for Done<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("item_id", self.at.item_id)?;
        map.serialize_entry("output_index", &self.at.output_index)?;
        if let Some(index) = self.at.content_index {
            map.serialize_entry("content_index", &index)?;
        }
        if let Some(index) = self.at.summary_index {
            map.serialize_entry("summary_index", &index)?;
        }
        map.serialize_entry(self.name, self.text)?;
        if let Some(logprobs) = self.logprobs {
            map.serialize_entry("logprobs", logprobs)?;
        }
        map.end()
    }
}

/// Deltas are padded up to a multiple of this many bytes.
const PAD: usize = 32;

/// Padding that hides how long a delta is; made from its place, so that it is the same on every replay.
pub(super) fn padding(place: &str, number: u64, length: usize) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    // FNV-1a: spreads well enough for padding, which needs no secrecy.
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut stir = |byte: u8| {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        state
    };
    place.bytes().chain(number.to_le_bytes()).for_each(|byte| {
        stir(byte);
    });
    let count = PAD - length % PAD;
    (0..count).map(|_| char::from(LETTERS[(stir(0x5a) >> 33) as usize % LETTERS.len()])).collect()
}
