//! A session's stream as every wire sees it: events and deltas in one order, the same live and on replay.
//! An event stands at (its sequence, 0); a delta at (the sequence it came after, its ordinal).

use std::{collections::BTreeMap, sync::Arc};

use mainstay_vocabulary::{Item, ItemId, Sequence, SessionId, Timestamp, inference::Delta};
use serde::{Deserialize, Serialize};

use crate::event::{Event, Written};

#[cfg(test)]
mod tests;

/// A place in a session's stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// The event, or the event that the delta came after.
    pub sequence: Sequence,
    /// 0 for an event; the delta's ordinal otherwise. Ordinals begin at 1 and only grow in a session.
    pub ordinal: u64,
}

/// One step of the stream. Nodes hand it to each other as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Where it stands.
    pub cursor: Cursor,
    /// What it is.
    pub what: What,
}

/// What a step of the stream is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A fact of the journal.
    Event(Arc<Event>, Timestamp),
    /// Something of an item that is being written.
    Shown(Shown),
}

/// A delta with the intent that its item's id is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The intent of the inference that started the item.
    #[serde(rename = "n")]
    pub intent: Sequence,
    /// The delta; its index and `intent` make the item's id.
    #[serde(flatten)]
    pub delta: Delta,
}

impl Shown {
    /// The item that this is of.
    pub fn item(&self, session: SessionId) -> ItemId {
        ItemId { session, sequence: self.intent, ordinal: index(&self.delta) }
    }
}

/// The item's number in its inference.
pub const fn index(delta: &Delta) -> u32 {
    match delta {
        Delta::Started { index, .. }
        | Delta::Text { index, .. }
        | Delta::Logprobs { index, .. }
        | Delta::Done { index, .. } => *index,
    }
}

/// What one frame slice holds, before sealing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// All its deltas came after this event.
    #[serde(rename = "a")]
    pub after: Sequence,
    /// Ordinal of the first; the others follow without gaps.
    #[serde(rename = "f")]
    pub first: u64,
    /// The deltas.
    #[serde(rename = "d")]
    pub shown: Vec<Shown>,
}

/// A journaled event as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its place.
    pub sequence: Sequence,
    /// When it was decided.
    pub at: Timestamp,
    /// The fact.
    pub event: Arc<Event>,
}

/// Puts events and slices into one stream. `events` must hold whole inferences or their beginnings: an item's deltas
/// stand before its event. Deltas found in both a slice and an item's event come once.
pub fn expand(events: &[Recorded], slices: &[Slice]) -> Vec<Moment> {
    let mut moments = BTreeMap::new();
    for slice in slices {
        for (ordinal, shown) in (slice.first..).zip(&slice.shown) {
            moments.insert(Cursor { sequence: slice.after, ordinal }, What::Shown(shown.clone()));
        }
    }
    for recorded in events {
        if let Event::ItemCompleted(written) | Event::ItemInterrupted(written) = &*recorded.event {
            unfold(written, &mut moments);
        }
        let cursor = Cursor { sequence: recorded.sequence, ordinal: 0 };
        moments.insert(cursor, What::Event(Arc::clone(&recorded.event), recorded.at));
    }
    moments.into_iter().map(|(cursor, what)| Moment { cursor, what }).collect()
}

/// The deltas that a written item was made of.
fn unfold(written: &Written, moments: &mut BTreeMap<Cursor, What>) {
    let marks = &written.marks;
    let index = written.id.ordinal;
    let mut put = |ordinal: u64, delta: Delta| {
        let cursor = Cursor { sequence: marks.position(ordinal), ordinal };
        moments.insert(cursor, What::Shown(Shown { intent: written.id.sequence, delta }));
    };
    if let Some(ordinal) = marks.started {
        put(ordinal, Delta::Started { index, kind: written.kind.clone() });
    }
    let text = crate::assembly::text_of(&written.item);
    let mut rest = text.get(written.resumed_at as usize..).unwrap_or_default();
    for (ordinal, length) in marks.text_ordinals().zip(&marks.lengths) {
        let (head, tail) = rest.split_at_checked(*length as usize).unwrap_or((rest, ""));
        rest = tail;
        put(ordinal, Delta::Text { index, text: head.to_owned() });
    }
    for (ordinal, logprobs) in &marks.logprobs {
        put(*ordinal, Delta::Logprobs { index, logprobs: logprobs.clone() });
    }
    if let Some(ordinal) = marks.done {
        let opaque = match &*written.item {
            Item::Reasoning { opaque: Some(opaque), .. } => Some(opaque.bytes.clone()),
            _ => None,
        };
        put(ordinal, Delta::Done { index, opaque });
    }
}
