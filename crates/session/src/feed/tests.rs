//! The stream replays exactly: random interleavings of items, deltas and events against what was live.

use std::sync::Arc;

use mainstay_vocabulary::{
    Epoch, Item, ItemId, ItemKind, Object, Sequence, SessionId, Shard, Timestamp, Usage, inference::Delta,
    inference::Stop, usage::Booking,
};

use super::*;
use crate::{
    assembly::{Assembly, Continued, text_of},
    event::{InferenceEnded, InferenceOutcome, Intended, Purpose, Receipt, Route},
    turn::tests::{script::check::assert_same, walk::Dice},
};

const TEXTS: [&str; 6] = ["a", "né", "日本語", "🦀", " ", "a longer piece of text"];

/// A session's stream as it happens, with what is at rest of it.
struct Live {
    dice: Dice,
    events: Vec<Recorded>,
    slices: Vec<Slice>,
    moments: Vec<Moment>,
    /// Moments and slices at each event, for tearing there; `true` while an inference is open.
    tears: Vec<(usize, usize, bool)>,
    next_ordinal: u64,
}

fn session() -> SessionId {
    SessionId::new(Shard(0), [2; 16])
}

impl Live {
    fn new(seed: u64) -> Self {
        let dice = Dice(seed);
        Self { dice, events: Vec::new(), slices: Vec::new(), moments: Vec::new(), tears: Vec::new(), next_ordinal: 1 }
    }

    fn last(&self) -> Sequence {
        self.events.last().map_or(Sequence(0), |recorded| recorded.sequence)
    }

    fn event(&mut self, event: Event, is_open: bool) -> Sequence {
        let (sequence, at, event) = (self.last().next(), Timestamp(7), Arc::new(event));
        self.moments
            .push(Moment { cursor: Cursor { sequence, ordinal: 0 }, what: What::Event(Arc::clone(&event), at) });
        self.events.push(Recorded { sequence, at, event });
        self.tears.push((self.moments.len(), self.slices.len(), is_open));
        sequence
    }

    /// Shows some deltas in one slice; ordinals skip where a delta was counted but never shown.
    fn show(&mut self, assembly: &mut Assembly, shown: Vec<Shown>) {
        self.next_ordinal += self.dice.below(3) / 2;
        let (after, first) = (self.last(), self.next_ordinal);
        for (ordinal, shown) in (first..).zip(&shown) {
            assembly.push(session(), after, ordinal, shown);
            self.moments.push(Moment { cursor: Cursor { sequence: after, ordinal }, what: What::Shown(shown.clone()) });
        }
        self.next_ordinal += shown.len() as u64;
        self.slices.push(Slice { after, first, shown });
    }

    /// One inference with several items at once and events in between; returns the item that goes on.
    fn infer(&mut self, continued: Option<Continued>) -> Option<Continued> {
        let route = Route::default();
        let continues = continued.as_ref().map(|continued| continued.id);
        let context = self.last();
        let (prompt, purpose) = (String::new(), Purpose::Answer);
        let intended = Intended { epoch: Epoch(1), attempt: 1, route, context, prompt, continues, purpose };
        let intent = self.event(Event::InferenceIntended(intended), true);
        let mut assembly = Assembly::resuming(continued.as_ref());
        let mut open: Vec<ItemId> = continues.into_iter().collect();
        let mut started = 0;
        for _ in 0..self.dice.below(12) {
            let count = 1 + self.dice.below(4);
            let shown = (0..count).map(|_| self.delta(intent, &mut started, &mut open)).collect();
            self.show(&mut assembly, shown);
            if self.dice.below(4) == 0 {
                self.event(Event::MetadataChanged(Object::new()), true);
            }
        }
        self.end(intent, &assembly)
    }

    fn delta(&mut self, intent: Sequence, started: &mut u32, open: &mut Vec<ItemId>) -> Shown {
        if open.is_empty() || self.dice.below(5) == 0 {
            let id = ItemId { session: session(), sequence: intent, ordinal: *started };
            *started += 1;
            open.push(id);
            let call = ItemKind::ToolCall { name: "add".to_owned(), provider_call_id: Some("p".to_owned()) };
            let kinds = [ItemKind::Message, ItemKind::Refusal, ItemKind::Reasoning, ItemKind::ReasoningSummary, call];
            let kind = self.dice.one_of(&kinds);
            return Shown { intent, delta: Delta::Started { index: id.ordinal, kind } };
        }
        let id = self.dice.one_of(open);
        let index = id.ordinal;
        let delta = if self.dice.below(5) == 0 {
            open.retain(|other| *other != id);
            Delta::Done { index, opaque: None }
        } else if self.dice.below(6) == 0 {
            Delta::Logprobs { index, logprobs: serde_json::json!([{ "token": "a", "logprob": -0.5 }]) }
        } else {
            Delta::Text { index, text: self.dice.one_of(&TEXTS).to_owned() }
        };
        Shown { intent: id.sequence, delta }
    }

    fn end(&mut self, intent: Sequence, assembly: &Assembly) -> Option<Continued> {
        let goes_on = self.dice.below(2) == 0;
        let mut continued = None;
        for piece in &assembly.pieces {
            let mut written = piece.written("here");
            if piece.is_done() {
                self.event(Event::ItemCompleted(written), false);
                continue;
            }
            if goes_on && continued.is_none() {
                written.continues = true;
                let text = Arc::from(piece.text.as_str());
                continued = Some(Continued { id: piece.id, kind: piece.kind.clone(), text });
            }
            self.event(Event::ItemInterrupted(written), false);
        }
        let receipt = Receipt {
            usage: Usage::default(),
            booking: Booking::Estimated,
            cost: None,
            model: None,
            reported: Object::new(),
        };
        let outcome = InferenceOutcome::Finished(Stop::End);
        let ended = InferenceEnded { intent, outcome, receipt, kept: true, retry_at: None };
        self.event(Event::InferenceEnded(Box::new(ended)), false);
        continued
    }
}

fn walk(seed: u64) -> Live {
    let mut live = Live::new(seed);
    let mut continued = None;
    for _ in 0..6 {
        live.event(Event::MetadataChanged(Object::new()), false);
        continued = live.infer(continued);
    }
    live
}

#[test]
fn random_streams_replay_with_and_without_frames() {
    for seed in 0..300 {
        let live = walk(seed);
        assert!(live.moments.len() > 30, "seed {seed} is worth nothing");
        assert_same(&expand(&live.events, &live.slices), &live.moments);
        assert_same(&expand(&live.events, &[]), &live.moments);
    }
}

#[test]
fn random_streams_replay_torn_at_every_event() {
    for seed in 0..60 {
        let live = walk(seed);
        let mut intent = Sequence(0);
        for (recorded, (moments, slices, is_open)) in live.events.iter().zip(&live.tears) {
            if matches!(*recorded.event, Event::InferenceIntended(_)) {
                intent = recorded.sequence;
            }
            // Frames of older inferences are dropped; the open one's are all there is of it.
            let held: Vec<Slice> =
                live.slices[..*slices].iter().filter(|slice| slice.after >= intent).cloned().collect();
            let events = &live.events[..usize::try_from(recorded.sequence.0).unwrap()];
            assert_same(&expand(events, &held), &live.moments[..*moments]);
            if !is_open && matches!(*recorded.event, Event::InferenceEnded(_)) {
                assert_same(&expand(events, &[]), &live.moments[..*moments]);
            }
        }
    }
}

#[test]
fn frames_alone_give_back_what_was_shown() {
    for seed in 0..60 {
        let mut live = Live::new(seed);
        live.infer(None);
        let mut from_frames = Assembly::default();
        let json = serde_json::to_vec(&live.slices).unwrap();
        from_frames.take_slices(session(), &serde_json::from_slice::<Vec<Slice>>(&json).unwrap());
        let written = live.events.iter().filter_map(|recorded| match &*recorded.event {
            Event::ItemCompleted(written) | Event::ItemInterrupted(written) => Some(written),
            _ => None,
        });
        let items = from_frames.pieces.iter().map(|piece| piece.written("here"));
        let same =
            |(read, kept): (Written, &Written)| (read.item, read.marks) == (Arc::clone(&kept.item), kept.marks.clone());
        assert!(items.zip(written).all(same), "seed {seed}");
    }
}

#[test]
fn opaque_bytes_of_reasoning_come_back_with_its_end() {
    let mut live = Live::new(1);
    let mut assembly = Assembly::default();
    let intent = Sequence(1);
    let shown = |delta| Shown { intent, delta };
    let deltas = vec![
        shown(Delta::Started { index: 0, kind: ItemKind::Reasoning }),
        shown(Delta::Text { index: 0, text: "hm".to_owned() }),
        shown(Delta::Done { index: 0, opaque: Some("sealed".to_owned()) }),
    ];
    live.event(Event::SessionDeleted, true);
    live.show(&mut assembly, deltas);
    live.end(intent, &assembly);
    assert_same(&expand(&live.events, &[]), &live.moments);
}

#[test]
fn hostile_marks_neither_panic_nor_lose_the_events() {
    let id = ItemId { session: session(), sequence: Sequence(u64::MAX), ordinal: u32::MAX };
    let item = Item::Message {
        role: mainstay_vocabulary::Role::Assistant,
        content: vec![mainstay_vocabulary::Content::Text("né".to_owned())],
        phase: None,
    };
    let marks = crate::event::Marks {
        started: Some(u64::MAX),
        lengths: vec![2, u32::MAX, 0],
        ordinals: vec![(7, u64::MAX), (0, u64::MAX)],
        done: Some(u64::MAX),
        after: vec![(u64::MAX, Sequence(u64::MAX)), (0, Sequence(0))],
        logprobs: vec![(u64::MAX, serde_json::Value::Null)],
    };
    let written = Written { id, kind: ItemKind::Message, item: Arc::new(item), marks, resumed_at: 2, continues: true };
    assert_eq!(text_of(&written.item), "né");
    let event = Arc::new(Event::ItemInterrupted(written));
    let mut state = crate::State::unborn(session());
    state.apply(Timestamp(u64::MAX), Sequence(u64::MAX), &event);
    let recorded = Recorded { sequence: Sequence(1), at: Timestamp(0), event };
    let moments = expand(&[recorded], &[]);
    assert!(moments.iter().any(|moment| matches!(moment.what, What::Event(..))));
}
