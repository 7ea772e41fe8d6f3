//! Which block a piece of a stream belongs to. The format says "by index"; servers get the index wrong, leave the
//! beginning or the end of a block out, or send a signature after its thought has ended. The rules here hold for all.

use super::{conversation::REDACTED, frame::BlockFrame};

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
    Call,
    /// One that has no meaning here: what a tool of the vendor's did, and all that is to come.
    Unknown,
}

/// A block in the making.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: Kind,
    wire_index: Option<u64>,
    /// Its item, once there is something to show.
    pub(super) item: Option<u32>,
    /// A signature, or the bytes of a thought that only the vendor can read.
    pub(super) opaque: Option<String>,
    /// A call's arguments that came with its beginning, should none come after.
    pub(super) input: String,
    /// Whether a call's arguments came piece by piece.
    pub(super) has_pieces: bool,
    /// Its end has come; a thought stays a while, for a signature on the wrong delta.
    pub(super) has_ended: bool,
    pub(super) is_done: bool,
}

impl Block {
    /// Begins one; what its first frame carries is the caller's to take in, but for what stays inside.
    pub(super) fn new(kind: Kind, wire_index: Option<u64>) -> Self {
        Self {
            kind,
            wire_index,
            item: None,
            opaque: None,
            input: String::new(),
            has_pieces: false,
            has_ended: false,
            is_done: false,
        }
    }

    /// A thought that could not go back as it stands.
    pub(super) fn is_unsigned(&self) -> bool {
        self.kind == Kind::Thinking && !self.is_done && self.opaque.is_none()
    }

    /// A call whose arguments have not come, if it has any.
    pub(super) fn is_bare_call(&self) -> bool {
        self.kind == Kind::Call && !self.has_pieces && self.input.is_empty()
    }

    /// Keeps what belongs to the end of the block.
    pub(super) fn keep(&mut self, frame: &BlockFrame<'_>) {
        if frame.kind.0 == "redacted_thinking" {
            self.opaque = Some(format!("{REDACTED}{}", frame.data.0));
        } else if !frame.signature.0.is_empty() {
            self.opaque = Some(frame.signature.0.to_string());
        }
        if let Some(input) = frame.input.as_ref().filter(|input| input.as_object().is_none_or(|all| !all.is_empty())) {
            self.input = input.as_str().map_or_else(|| input.to_string(), str::to_owned);
        }
    }
}

/// The blocks of one inference, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) all: Vec<Block>,
}

impl Blocks {
    /// The block that an index names, while it is open.
    pub(super) fn named(&self, index: Option<u64>) -> Option<usize> {
        let index = index?;
        self.all.iter().rposition(|block| block.wire_index == Some(index) && !block.has_ended)
    }

    /// The block that a piece for `kind` belongs to: the named one where that fits, else the last that is open. A
    /// piece for a block without meaning here is nobody else's.
    pub(super) fn place(&self, index: Option<u64>, kind: Kind) -> Option<usize> {
        if let Some(named) = self.named(index)
            && [kind, Kind::Unknown].contains(&self.all[named].kind)
        {
            return Some(named);
        }
        self.all.iter().rposition(|block| block.kind == kind && !block.has_ended)
    }

    /// The block that an end is meant for: the named one, or the last that is open where nobody opened that index.
    pub(super) fn ended_by(&self, index: Option<u64>) -> Option<usize> {
        let is_known = index.is_some() && self.all.iter().any(|block| block.wire_index == index);
        let last = || self.all.iter().rposition(|block| !block.has_ended).filter(|_| !is_known);
        self.named(index).or_else(last)
    }

    /// The thought that a signature belongs to: as any piece, else the last one that waits for its own.
    pub(super) fn signed(&self, index: Option<u64>) -> Option<usize> {
        self.place(index, Kind::Thinking).or_else(|| self.all.iter().rposition(Block::is_unsigned))
    }

    /// The first thought that has ended and waits for its signature.
    pub(super) fn unsigned(&self) -> Option<usize> {
        self.all.iter().position(|block| block.has_ended && block.is_unsigned())
    }
}
