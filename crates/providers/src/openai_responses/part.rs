//! The parts of an item: what they are, and how much of a part's text was passed on. Servers lose deltas and repeat
//! texts; a text that was shown is never taken back, only continued by what the final form adds.

use mainstay_vocabulary::ItemKind;
use serde_json::Value;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    Call,
    /// Of a type that is not interpreted here.
    Other,
}

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "message" => Self::Message,
            "reasoning" => Self::Reasoning,
            "function_call" => Self::Call,
            _ => Self::Other,
        }
    }
}

/// What a part of an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Text,
    Refusal,
    Reasoning,
    Summary,
}

impl Block {
    /// The kind of item that has such parts.
    pub(super) const fn owner(self) -> Kind {
        match self {
            Self::Text | Self::Refusal => Kind::Message,
            Self::Reasoning | Self::Summary => Kind::Reasoning,
        }
    }

    /// Reads the type of a part.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "output_text" | "text" => Some(Self::Text),
            "refusal" => Some(Self::Refusal),
            "reasoning_text" => Some(Self::Reasoning),
            "summary_text" => Some(Self::Summary),
            _ => None,
        }
    }

    pub(super) const fn kind(self) -> ItemKind {
        match self {
            Self::Text => ItemKind::Message,
            Self::Refusal => ItemKind::Refusal,
            Self::Reasoning => ItemKind::Reasoning,
            Self::Summary => ItemKind::ReasoningSummary,
        }
    }
}

/// A text on its way.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) sent: String,
    /// What the announcement held already. Most servers repeat it in the deltas, some do not.
    pub(super) hint: String,
}

impl Flow {
    /// What to pass on for a delta.
    pub(super) fn push(&mut self, delta: &str) -> String {
        let hint = std::mem::take(&mut self.hint);
        let is_repeated = hint.starts_with(delta) || delta.starts_with(&hint);
        let text = if is_repeated { delta.to_owned() } else { hint + delta };
        self.sent.push_str(&text);
        text
    }

    /// What the final form adds to what was sent.
    pub(super) fn rest(&mut self, whole: &str) -> Option<String> {
        let hint = std::mem::take(&mut self.hint);
        let whole = if whole.is_empty() && self.sent.is_empty() { hint.as_str() } else { whole };
        let rest = whole.strip_prefix(self.sent.as_str()).filter(|rest| !rest.is_empty())?.to_owned();
        self.sent.push_str(&rest);
        Some(rest)
    }
}

/// A part that was begun.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) block: Block,
    /// Its place among the parts of its block, as the server counts.
    pub(super) at: u64,
    /// Its item here.
    pub(super) item: u32,
    pub(super) flow: Flow,
    /// The server said that it is whole; what comes late is a repetition.
    pub(super) is_ended: bool,
}

/// A part that was announced and has shown nothing yet.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) block: Block,
    pub(super) at: u64,
    pub(super) hint: String,
}

/// What a frame says of a part.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) block: Block,
    pub(super) at: u64,
    pub(super) text: &'a str,
    pub(super) logprobs: Option<Value>,
}
