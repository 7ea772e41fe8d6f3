//! Marks: where deltas stood, in as few numbers as possible.

use mainstay_vocabulary::{Shard, inference::Delta};

use super::*;
use crate::turn::tests::walk::Dice;

fn session() -> SessionId {
    SessionId::new(Shard(0), [2; 16])
}

fn shown(delta: Delta) -> Shown {
    Shown { intent: Sequence(4), delta }
}

fn text(text: &str) -> Shown {
    shown(Delta::Text { index: 0, text: text.to_owned() })
}

fn started() -> Assembly {
    let mut assembly = Assembly::default();
    assembly.push(session(), Sequence(4), 1, &shown(Delta::Started { index: 0, kind: ItemKind::Message }));
    assembly
}

#[test]
fn deltas_that_follow_each_other_cost_one_number_each() {
    let mut assembly = started();
    for ordinal in 2..100 {
        assembly.push(session(), Sequence(4), ordinal, &text("né"));
    }
    let marks = &assembly.pieces[0].marks;
    assert_eq!((marks.ordinals.len(), marks.after.len(), marks.lengths.len()), (1, 1, 98));
    assert!(marks.text_ordinals().eq(2..100));
}

#[test]
fn every_pattern_of_gaps_and_events_reads_back() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let (mut assembly, mut ordinal, mut after) = (started(), 1, 4);
        let mut stood = Vec::new();
        for _ in 0..dice.below(40) {
            ordinal += 1 + dice.below(3) / 2 * dice.below(1_000_000_007);
            after += dice.below(3) / 2;
            assembly.push(session(), Sequence(after), ordinal, &text("日本"));
            stood.push((ordinal, Sequence(after)));
        }
        let marks = &assembly.pieces[0].marks;
        let json = serde_json::to_string(marks).unwrap();
        let marks: Marks = serde_json::from_str(&json).unwrap();
        let read: Vec<_> = marks.text_ordinals().map(|ordinal| (ordinal, marks.position(ordinal))).collect();
        assert_eq!(read, stood, "seed {seed}");
        assert_eq!(marks.position(1), Sequence(4));
    }
}

#[test]
fn an_item_that_goes_on_keeps_its_id_and_counts_from_where_it_was_cut() {
    let id = ItemId { session: session(), sequence: Sequence(2), ordinal: 0 };
    let continued = Continued { id, kind: ItemKind::Message, text: "né".into() };
    let mut assembly = Assembly::resuming(Some(&continued));
    assert!(assembly.is_empty());
    let more = Shown { intent: Sequence(2), delta: Delta::Text { index: 0, text: "o".to_owned() } };
    assembly.push(session(), Sequence(9), 5, &more);
    assert!(!assembly.is_empty());
    let written = assembly.pieces[0].written("here");
    assert_eq!((written.id, written.resumed_at, text_of(&written.item)), (id, 3, "néo"));
    assert_eq!((written.marks.started, written.marks.lengths), (None, vec![1]));
}

#[test]
fn deltas_of_an_item_that_was_never_started_are_dropped() {
    let mut assembly = Assembly::default();
    assembly.push(session(), Sequence(4), 1, &text("lost"));
    assert_eq!(assembly, Assembly::default());
}

#[test]
fn opaque_bytes_are_kept_with_reasoning_and_name_their_deployment() {
    let mut assembly = Assembly::default();
    assembly.push(session(), Sequence(4), 1, &shown(Delta::Started { index: 0, kind: ItemKind::ReasoningSummary }));
    assembly.push(session(), Sequence(4), 2, &text("hm"));
    assembly.push(session(), Sequence(4), 3, &shown(Delta::Done { index: 0, opaque: Some("sealed".to_owned()) }));
    let Item::Reasoning { content, summary, opaque: Some(opaque) } = &*assembly.pieces[0].written("here").item else {
        panic!("reasoning with opaque bytes was to be written")
    };
    assert_eq!((content.len(), summary.as_slice()), (0, &["hm".to_owned()][..]));
    assert_eq!((opaque.deployment.as_str(), opaque.bytes.as_str()), ("here", "sealed"));
}
