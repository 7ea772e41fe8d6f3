//! Streams of played sessions: their order, their resuming from every cursor, and that history agrees with them.

use std::collections::BTreeSet;

use mainstay_session::{Command, Event, feed::What};
use mainstay_vocabulary::{
    ItemKind, Object, Sequence,
    inference::{Delta, FailureKind, Stop},
};
use serde_json::{Value, json};

use crate::{
    agents::tests::play::{Play, object},
    managed::{Frame, Place, View, command::Events, item_event_id, project::sent},
};

const GOLDEN: &str = include_str!("golden.txt");

fn plain() -> Value {
    json!({ "agent": { "model": "m" }, "input": "hi" })
}

fn with_tool() -> Value {
    json!({
        "agent": { "model": "m", "tools": [{ "type": "function", "name": "look", "description": "", "parameters": {} }] },
        "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "hi" }] }],
    })
}

fn call(name: &str) -> ItemKind {
    ItemKind::ToolCall { name: name.to_owned(), provider_call_id: None }
}

fn send(play: &mut Play, events: Value) {
    let events = Events::read(play.session, object(json!({ "events": events }))).unwrap();
    play.send(events.command(play.state.turn.is_none()).unwrap());
}

fn say(text: &str) -> Value {
    json!({ "type": "user.message", "content": [{ "type": "text", "text": text }] })
}

fn answered() -> Play {
    let mut play = Play::begin(plain(), false);
    let intent = play.infer();
    play.write(intent, (0, ItemKind::Reasoning), &["hm", "m"]);
    play.write(intent, (1, ItemKind::Message), &["hel", "lo"]);
    play.finish(Stop::End);
    play
}

/// Three calls, one of them to nobody; a message while they wait; a result of either wire; an answer.
fn with_calls() -> Play {
    let mut play = Play::begin(with_tool(), false);
    let intent = play.infer();
    play.write(intent, (0, call("look")), &["{\"a\"", ":1}"]);
    play.write(intent, (1, call("look")), &["no json"]);
    play.write(intent, (2, call("unknown")), &["{}"]);
    play.finish(Stop::ToolCalls);
    let calls: Vec<_> = play.state.calls.iter().map(|call| (call.call_id.0.clone(), call.item)).collect();
    send(
        &mut play,
        json!([
            { "type": "user.custom_tool_result", "custom_tool_use_id": item_event_id(calls[0].1),
              "content": [{ "type": "text", "text": "fine" }] },
            say("more"),
        ]),
    );
    play.events(json!([
        { "type": "agent.session.input.tool_result", "call_id": calls[1].0, "success": false, "error": "bad" },
    ]));
    let intent = play.infer();
    play.write(intent, (0, ItemKind::Message), &["done"]);
    play.finish(Stop::End);
    play
}

/// Cut off: once continued as the same item, once started anew.
fn cut_off(continues_prefix: bool) -> Play {
    let mut play = Play::begin(plain(), continues_prefix);
    let intent = play.infer();
    play.show(intent, Delta::Started { index: 0, kind: ItemKind::Message });
    play.show(intent, Delta::Text { index: 0, text: "one ".to_owned() });
    play.break_off();
    let second = play.infer();
    if continues_prefix {
        play.show(intent, Delta::Text { index: 0, text: "two".to_owned() });
        play.show(intent, Delta::Done { index: 0, opaque: None });
    } else {
        play.write(second, (0, ItemKind::Message), &["one two"]);
    }
    play.finish(Stop::End);
    play
}

fn interrupted() -> Play {
    let mut play = answered();
    send(&mut play, json!([say("again")]));
    let intent = play.infer();
    play.show(intent, Delta::Started { index: 0, kind: ItemKind::Message });
    play.show(intent, Delta::Text { index: 0, text: "so".to_owned() });
    send(&mut play, json!([{ "type": "user.interrupt" }, say("rather this")]));
    let intent = play.infer();
    play.write(intent, (0, ItemKind::Message), &["yes"]);
    play.finish(Stop::End);
    play
}

/// A message comes while the last one is being answered; then the session is changed and archived.
fn changed() -> Play {
    let mut play = Play::begin(plain(), false);
    let intent = play.infer();
    play.show(intent, Delta::Started { index: 0, kind: ItemKind::Message });
    send(
        &mut play,
        json!([say("and"), { "type": "system.message", "content": [{ "type": "text", "text": "be kind" }] }]),
    );
    play.show(intent, Delta::Text { index: 0, text: "first".to_owned() });
    play.show(intent, Delta::Done { index: 0, opaque: None });
    play.finish(Stop::End);
    let intent = play.infer();
    play.write(intent, (0, ItemKind::Message), &["second"]);
    play.finish(Stop::End);
    play.send(Command::ChangeMetadata(object(json!({ "k": "v" }))));
    play.send(Command::ChangeEcho(object(json!({ "title": "t" }))));
    let mut spec = (*play.state.spec).clone();
    spec.tools = std::sync::Arc::from([]);
    spec.model = "n".to_owned();
    play.send(Command::ChangeSpec(std::sync::Arc::new(spec)));
    play.send(Command::Archive);
    play
}

/// A message waits while the turn before it fails.
fn failed() -> Play {
    let mut play = Play::begin(plain(), false);
    let intent = play.infer();
    play.show(intent, Delta::Started { index: 0, kind: ItemKind::Message });
    send(&mut play, json!([say("and")]));
    play.fail(FailureKind::InvalidRequest, "it will not");
    let intent = play.infer();
    play.write(intent, (0, ItemKind::Message), &["second"]);
    play.finish(Stop::End);
    play
}

/// Still being written.
fn under_way() -> Play {
    let mut play = answered();
    send(&mut play, json!([say("again")]));
    let intent = play.infer();
    play.show(intent, Delta::Started { index: 0, kind: ItemKind::Message });
    play.show(intent, Delta::Text { index: 0, text: "wor".to_owned() });
    play
}

fn all() -> Vec<Play> {
    vec![answered(), with_calls(), cut_off(true), cut_off(false), interrupted(), changed(), failed(), under_way()]
}

fn live(play: &Play) -> Vec<Frame> {
    let mut view = View::new(play.session, None);
    play.moments.iter().flat_map(|moment| view.project(moment, None)).collect()
}

/// What a client gets that comes with a cursor: folded from the start of the cursor's turn.
fn resumed(play: &Play, after: Place) -> Vec<Frame> {
    let anchor = play.journal.iter().rfind(|recorded| {
        matches!(*recorded.event, Event::TurnStarted(_)) && recorded.sequence <= after.cursor.sequence
    });
    let from = anchor.map_or(Sequence(0), |recorded| recorded.sequence);
    let mut view = View::new(play.session, None);
    let mut frames = Vec::new();
    for moment in play.feed().iter().filter(|moment| moment.cursor.sequence >= from) {
        for input in view.missing(moment) {
            let place = usize::try_from(input.0).unwrap() - 1;
            view.learn(&play.journal[place]);
        }
        frames.extend(view.project(moment, Some(after)));
    }
    frames
}

fn encode(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(Frame::encode).collect()
}

fn kinds(frames: &[Frame]) -> Vec<&'static str> {
    frames.iter().filter(|frame| frame.preview.is_none()).map(|frame| frame.kind).collect()
}

#[test]
fn a_replay_gives_the_same_bytes_from_every_cursor() {
    for play in all() {
        let live = live(&play);
        let mut view = View::new(play.session, None);
        let again: Vec<_> = play.feed().iter().flat_map(|moment| view.project(moment, None)).collect();
        assert_eq!(encode(&live), encode(&again));
        for (index, frame) in live.iter().enumerate() {
            assert_eq!(encode(&live[index + 1..]), encode(&resumed(&play, frame.place)), "after {}", frame.id);
        }
    }
}

#[test]
fn ids_are_unique_and_places_grow() {
    for play in all() {
        let live = live(&play);
        assert!(live.windows(2).all(|pair| pair[0].place < pair[1].place));
        let ids: BTreeSet<_> = live.iter().map(|frame| &frame.id).collect();
        assert_eq!(ids.len(), live.len());
        for frame in live {
            assert!(frame.id.parse::<crate::managed::Seen>().is_ok(), "{}", frame.id);
            assert_eq!(frame.body["type"], frame.kind);
            assert_eq!(frame.preview.is_some(), frame.kind.starts_with("event_"), "{}", frame.kind);
            if frame.preview.is_none() {
                assert_eq!(frame.body["id"], *frame.id);
            }
        }
    }
}

#[test]
fn a_stream_with_calls_is_the_golden_one() {
    let shown: String = live(&with_calls()).iter().map(Frame::encode).collect();
    assert!(shown == GOLDEN, "a turn's stream changed; a new shape needs a new version of the projector:\n{shown}");
}

#[test]
fn a_preview_ends_with_its_event_or_with_the_end_of_its_request() {
    for play in all() {
        let mut open: Vec<Value> = Vec::new();
        for frame in live(&play) {
            match frame.kind {
                "event_start" => {
                    assert!(!open.contains(&frame.body["event"]["id"]));
                    open.push(frame.body["event"]["id"].clone());
                }
                "event_delta" => assert!(open.contains(&frame.body["event_id"])),
                "agent.message" | "agent.thinking" => open.retain(|id| *id != frame.body["id"]),
                "session.status_idle" => assert_eq!(open, Vec::<Value>::new()),
                _ => {}
            }
            if frame.kind == "span.model_request_end" && frame.body["is_error"] == true {
                open.clear();
            }
        }
    }
}

#[test]
fn what_a_failed_request_wrote_is_no_event() {
    for continues in [true, false] {
        let frames = live(&cut_off(continues));
        let said: Vec<_> = frames.iter().filter(|frame| frame.kind == "agent.message").collect();
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].body["content"], json!([{ "type": "text", "text": "one two" }]));
        let last = frames.iter().rposition(|frame| frame.kind == "event_start").unwrap();
        let deltas = frames[last..].iter().filter_map(|frame| frame.body.get("delta")?["content"]["text"].as_str());
        assert_eq!(deltas.collect::<String>(), "one two", "the last preview tells all of it");
    }
}

#[test]
fn an_interrupt_keeps_what_was_said_and_the_next_message_starts_a_turn() {
    let frames = live(&interrupted());
    let turn = ["session.status_running", "user.message", "span.model_request_start"];
    let first = ["agent.thinking", "agent.message", "span.model_request_end", "session.status_idle"];
    let cut = ["agent.message", "span.model_request_end", "user.interrupt", "session.status_idle"];
    let last = ["agent.message", "span.model_request_end", "session.status_idle"];
    assert_eq!(kinds(&frames), [&turn[..], &first, &turn, &cut, &turn, &last].concat());
}

#[test]
fn a_session_is_not_idle_between_two_turns_that_follow_each_other() {
    let kinds = kinds(&live(&failed()));
    let begin = kinds.iter().position(|kind| *kind == "session.error").unwrap();
    assert_eq!(kinds[begin..begin + 3], ["session.error", "session.status_running", "user.message"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "session.status_idle").count(), 1);
}

#[test]
fn changes_of_a_session_are_shown_and_its_end_comes_last() {
    let kinds = kinds(&live(&changed()));
    assert_eq!(kinds.iter().filter(|kind| **kind == "system.message").count(), 1);
    let end = ["session.updated", "session.updated", "session.updated", "session.status_terminated"];
    assert_eq!(kinds[kinds.len() - 4..], end);
}

#[test]
fn what_was_sent_is_told_with_the_ids_that_the_stream_shows() {
    let mut play = with_calls();
    let before = play.journal.len();
    send(&mut play, json!([say("a"), { "type": "system.message", "content": [{ "type": "text", "text": "b" }] }]));
    let told = sent(play.session, &play.journal[before..], 2);
    let shown: Vec<_> = live(&play).into_iter().filter(|frame| frame.place.cursor.sequence.0 > before as u64).collect();
    for event in &told {
        let frame = shown.iter().find(|frame| frame.body["id"] == event["id"]).unwrap();
        let mut body = frame.body.clone();
        body.insert("processed_at".to_owned(), Value::Null);
        assert_eq!(Value::Object(body), *event);
    }
    assert_eq!(
        told.iter().map(|event| event["type"].as_str().unwrap()).collect::<Vec<_>>(),
        ["user.message", "system.message"]
    );
    assert_eq!(sent(play.session, &play.journal[before..], 1).len(), 1);
}

#[test]
fn whole_events_come_from_the_journal_alone() {
    for play in all() {
        let mut view = View::new(play.session, None);
        let is_event = |what: &What| matches!(what, What::Event(..));
        let events = play.moments.iter().filter(|moment| is_event(&moment.what));
        let history: Vec<_> = events.flat_map(|moment| view.project(moment, None)).collect();
        let whole: Vec<_> = live(&play).into_iter().filter(|frame| frame.preview.is_none()).collect();
        assert_eq!(encode(&history), encode(&whole));
    }
}

#[test]
fn a_change_of_the_title_to_none_is_shown() {
    let mut play = answered();
    play.send(Command::ChangeEcho(object(json!({ "title": "t" }))));
    play.send(Command::ChangeEcho(Object::new()));
    let titles: Vec<_> = live(&play).iter().filter_map(|frame| frame.body.get("title").cloned()).collect();
    assert_eq!(titles, [json!("t"), Value::Null]);
}
