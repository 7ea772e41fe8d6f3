//! What an inference has shown so far, put together from its deltas: the same live, and from frames after a crash.

use std::sync::Arc;

use mainstay_vocabulary::{
    CallId, Content, Item, ItemId, Role, Sequence, SessionId,
    inference::Delta,
    item::{ItemKind, Opaque},
};
use serde::{Deserialize, Serialize};

use crate::{
    event::{Marks, Written},
    feed::{Shown, Slice},
};

#[cfg(test)]
mod tests;

/// What an inference has shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assembly {
    /// Its items, in the order in which they were started.
    pub pieces: Vec<Piece>,
}

/// One item of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// The item's id.
    pub id: ItemId,
    /// What it was started as.
    pub kind: ItemKind,
    /// Its text or arguments so far.
    pub text: String,
    /// Its deltas so far.
    pub marks: Marks,
    /// Opaque provider bytes.
    pub opaque: Option<String>,
    /// Bytes of `text` that came with an earlier attempt.
    pub resumed_at: u32,
}

/// An item that was cut off and goes on in the next attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Continued {
    /// Its id.
    pub id: ItemId,
    /// What it was started as.
    pub kind: ItemKind,
    /// Its text so far.
    pub text: Arc<str>,
}

impl Assembly {
    /// Nothing shown yet, but maybe an item that goes on.
    pub fn resuming(continued: Option<&Continued>) -> Self {
        let pieces = continued.into_iter().map(|continued| Piece {
            id: continued.id,
            kind: continued.kind.clone(),
            text: continued.text.to_string(),
            marks: Marks::default(),
            opaque: None,
            resumed_at: u32::try_from(continued.text.len()).unwrap_or(u32::MAX),
        });
        Self { pieces: pieces.collect() }
    }

    /// Takes the slices of one session that were shown after `intent`, in order.
    pub fn take_slices(&mut self, session: SessionId, slices: &[Slice]) {
        for slice in slices {
            for (ordinal, shown) in (slice.first..).zip(&slice.shown) {
                self.push(session, slice.after, ordinal, shown);
            }
        }
    }

    /// Adds one delta that stands at (`after`, `ordinal`).
    pub fn push(&mut self, session: SessionId, after: Sequence, ordinal: u64, shown: &Shown) {
        let id = shown.item(session);
        if let Delta::Started { kind, .. } = &shown.delta {
            let marks = Marks { started: Some(ordinal), after: vec![(ordinal, after)], ..Marks::default() };
            let kind = kind.clone();
            self.pieces.push(Piece { id, kind, text: String::new(), marks, opaque: None, resumed_at: 0 });
            return;
        }
        let Some(piece) = self.pieces.iter_mut().rev().find(|piece| piece.id == id) else { return };
        piece.marks.note(ordinal, after);
        match &shown.delta {
            Delta::Started { .. } => {}
            Delta::Text { text, .. } => {
                piece.marks.add_text(ordinal, u32::try_from(text.len()).unwrap_or(u32::MAX));
                piece.text.push_str(text);
            }
            Delta::Logprobs { logprobs, .. } => piece.marks.logprobs.push((ordinal, logprobs.clone())),
            Delta::Done { opaque, .. } => {
                piece.marks.done = Some(ordinal);
                piece.opaque.clone_from(opaque);
            }
        }
    }

    /// Whether anything of this attempt was shown.
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(|piece| piece.marks == Marks::default())
    }
}

impl Piece {
    /// Whether the item is whole.
    pub const fn is_done(&self) -> bool {
        self.marks.done.is_some()
    }

    /// Whether it is plain text to the user.
    pub const fn is_message(&self) -> bool {
        matches!(self.kind, ItemKind::Message)
    }

    /// Whether it is a call.
    pub const fn is_call(&self) -> bool {
        matches!(self.kind, ItemKind::ToolCall { .. } | ItemKind::ServedCall { .. })
    }

    /// Whether it is a call that the runtime runs.
    pub const fn is_served(&self) -> bool {
        matches!(self.kind, ItemKind::ServedCall { .. })
    }

    /// Whether it is reasoning or a summary of it.
    pub const fn is_thought(&self) -> bool {
        matches!(self.kind, ItemKind::Reasoning | ItemKind::ReasoningSummary)
    }

    /// The function that a call names.
    pub fn call_name(&self) -> Option<&str> {
        match &self.kind {
            ItemKind::ToolCall { name, .. } | ItemKind::ServedCall { name, .. } => Some(name),
            ItemKind::Message | ItemKind::Refusal | ItemKind::Reasoning | ItemKind::ReasoningSummary => None,
        }
    }

    /// The item's event. `deployment` is where opaque bytes may go back to.
    pub fn written(&self, deployment: &str) -> Written {
        Written {
            id: self.id,
            kind: self.kind.clone(),
            item: Arc::new(self.item(deployment)),
            marks: self.marks.clone(),
            resumed_at: self.resumed_at,
            continues: false,
        }
    }

    fn item(&self, deployment: &str) -> Item {
        let text = self.text.clone();
        let opaque = self.opaque.as_ref();
        let opaque = opaque.map(|bytes| Opaque { deployment: deployment.to_owned(), bytes: bytes.clone() });
        let said = |part| Item::Message { role: Role::Assistant, content: vec![part], phase: None };
        match &self.kind {
            ItemKind::Message => said(Content::Text(text)),
            ItemKind::Refusal => said(Content::Refusal(text)),
            ItemKind::Reasoning => Item::Reasoning { content: vec![text], summary: Vec::new(), opaque },
            ItemKind::ReasoningSummary => Item::Reasoning { content: Vec::new(), summary: vec![text], opaque },
            ItemKind::ToolCall { name, provider_call_id } => Item::ToolCall {
                call_id: CallId::from(self.id),
                name: name.clone(),
                arguments: text,
                provider_call_id: provider_call_id.clone(),
                served: None,
            },
            ItemKind::ServedCall { name, provider_call_id, served } => Item::ToolCall {
                call_id: CallId::from(self.id),
                name: name.clone(),
                arguments: text,
                provider_call_id: provider_call_id.clone(),
                served: Some(served.clone()),
            },
        }
    }
}

/// The text of an item that a model wrote: what its text deltas add up to.
pub fn text_of(item: &Item) -> &str {
    match item {
        Item::Message { content, .. } => match content.first() {
            Some(Content::Text(text) | Content::Refusal(text)) => text,
            _ => "",
        },
        Item::Reasoning { content, summary, .. } => content.first().or(summary.first()).map_or("", String::as_str),
        Item::ToolCall { arguments, .. } => arguments,
        Item::ToolResult { .. } | Item::Compaction { .. } | Item::Other(_) => "",
    }
}

impl Marks {
    /// The event that the delta with this ordinal came after.
    pub fn position(&self, ordinal: u64) -> Sequence {
        let later = self.after.partition_point(|(from, _)| *from <= ordinal);
        self.after.get(later.saturating_sub(1)).map_or(Sequence(0), |(_, after)| *after)
    }

    /// Ordinals of the text deltas, in order.
    pub fn text_ordinals(&self) -> impl Iterator<Item = u64> + '_ {
        let mut jumps = self.ordinals.iter().peekable();
        let mut ordinal = 0_u64;
        (0..self.lengths.len()).map(move |index| {
            ordinal = ordinal.saturating_add(1);
            if let Some((_, to)) = jumps.next_if(|(at, _)| *at as usize == index) {
                ordinal = *to;
            }
            ordinal
        })
    }

    fn note(&mut self, ordinal: u64, after: Sequence) {
        if self.after.last().is_none_or(|(_, last)| *last != after) {
            self.after.push((ordinal, after));
        }
    }

    fn add_text(&mut self, ordinal: u64, length: u32) {
        let index = u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
        let follows = self.last_text() == Some(ordinal.saturating_sub(1));
        if !follows {
            self.ordinals.push((index, ordinal));
        }
        self.lengths.push(length);
    }

    fn last_text(&self) -> Option<u64> {
        let (at, from) = self.ordinals.last()?;
        let since = (self.lengths.len() as u64).checked_sub(u64::from(*at))?;
        from.checked_add(since.checked_sub(1)?)
    }
}
