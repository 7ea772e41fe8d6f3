//! Old journals are read for ever: a committed one with every shape of event must read, and write back the same.

use std::sync::Arc;

use mainstay_vocabulary::{SessionId, Shard, Timestamp};

use super::*;
use crate::State;

/// One journal, in order; folds to the snapshot.
const EVENTS: &str = include_str!("../../tests/golden/events-1.jsonl");
/// Shapes that came later, in no order.
const LATER: &str = include_str!("../../tests/golden/events-2.jsonl");
const STATE: &str = include_str!("../../tests/golden/state-1.json");

fn events() -> Vec<Event> {
    EVENTS.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

#[test]
fn every_event_reads_and_writes_back_the_same() {
    for line in EVENTS.lines().chain(LATER.lines()) {
        let event: Event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }
}

#[test]
fn every_shape_of_event_is_in_the_golden_journal() {
    let later = LATER.lines().map(|line| serde_json::from_str::<Event>(line).unwrap());
    let mut numbers: Vec<u16> = events().iter().chain(&later.collect::<Vec<_>>()).map(Event::number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let later = (23..=35).chain(37..=45);
    assert!(numbers.into_iter().eq((1..=22).chain(later)));
    for shape in [
        "\"restart\"",
        "\"end\"",
        "\"wait\"",
        "\"yield\"",
        "\"receipt_only\"",
        "json_schema",
        "\"interrupted\"",
        "\"finished\"",
        "\"failed\"",
        "\"cancelled\"",
        "\"returned\"",
        "\"refused\"",
        "\"incomplete\"",
        "\"inference\"",
        "\"call\"",
        "\"steer\"",
        "\"queue\"",
        "\"interrupt\"",
        "\"reject\"",
        "\"opaque\"",
        "\"image\"",
        "\"o\":[[",
        "\"resumed_at\"",
        "\"continues\":true",
        "\"reasoning_summary\"",
    ] {
        assert!(EVENTS.contains(shape), "{shape}");
    }
}

#[test]
fn the_golden_journal_folds_to_the_golden_snapshot() {
    let session = SessionId::new(Shard(3), [5; 16]);
    let mut state = State::unborn(session);
    for (number, event) in (1..).zip(events()) {
        state.apply(Timestamp(1_000 * number), Sequence(number), &event);
    }
    let snapshot: State = serde_json::from_str(STATE).unwrap();
    assert_eq!(state, snapshot);
    assert_eq!(serde_json::to_string(&snapshot).unwrap(), STATE.trim_end());
}

#[test]
fn fields_that_a_later_version_added_do_not_hinder_reading() {
    let mut tried = 0;
    for line in EVENTS.lines() {
        let mut later: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = later.as_object_mut().and_then(|event| event.values_mut().next()?.as_object_mut());
        let Some(fields) = fields.filter(|_| !line.contains("metadata_changed") && !line.contains("after_cancel"))
        else {
            continue;
        };
        fields.insert("later".to_owned(), 1.into());
        tried += 1;
        let read: Event = serde_json::from_value(later).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
    }
    assert!(tried > 40);
}

#[test]
fn names_of_failures_stand_for_ever() {
    let kinds = [
        "connect",
        "broken",
        "timeout",
        "rate_limited",
        "upstream",
        "authentication",
        "invalid_request",
        "context_length",
        "not_found",
        "protocol",
        "quota",
    ];
    let codes = [
        "context_length_exceeded",
        "rate_limit_exceeded",
        "server_overloaded",
        "connection_failed",
        "server_error",
        "authentication_error",
        "invalid_request",
        "resource_not_found",
        "request_timeout",
        "usage_limit_exceeded",
        "tools_unavailable",
        "internal_error",
    ];
    fn writes_back<T: Serialize + for<'de> Deserialize<'de>>(name: &str) {
        let json = format!("\"{name}\"");
        let read: T = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }
    kinds.iter().for_each(|kind| writes_back::<mainstay_vocabulary::inference::FailureKind>(kind));
    codes.iter().for_each(|code| writes_back::<ErrorCode>(code));
}

#[test]
fn numbers_stand_for_ever() {
    let withheld = Event::Withheld;
    assert_eq!((withheld.number(), withheld.without_content()), (22, Event::Withheld));
    let added = Event::ItemsAdded(vec![Arc::new(mainstay_vocabulary::Item::Other("x".into()))]);
    assert_eq!((added.number(), added.without_content()), (15, Event::Withheld));
}
