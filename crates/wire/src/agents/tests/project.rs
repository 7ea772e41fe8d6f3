//! Streams of played sessions: their order, their resuming, and that lists agree with them.

use mainstay_session::{Event, feed::Cursor};
use mainstay_vocabulary::{
    ItemKind,
    inference::{Delta, Stop},
};
use serde_json::{Value, json};

use super::play::Play;
use crate::agents::{Frame, Place, Turns, View};

fn plain() -> Value {
    json!({ "environment": { "type": "none" }, "agent": { "model": "m" }, "input": "hi" })
}

fn with_tool() -> Value {
    json!({
        "agent": { "model": "m", "tools": [{ "type": "function", "name": "look", "description": "", "parameters": {} }] },
        "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "hi" }] }],
        "metadata": { "a": "b" },
    })
}

fn call(name: &str) -> ItemKind {
    ItemKind::ToolCall { name: name.to_owned(), provider_call_id: Some("p".to_owned()) }
}

fn answered() -> Play {
    let mut play = Play::begin(plain(), false);
    let intent = play.infer();
    play.write(intent, (0, ItemKind::Reasoning), &["hm", "m"]);
    play.write(intent, (1, ItemKind::Message), &["hel", "lo"]);
    play.finish(Stop::End);
    play
}

/// Two calls, a steering message while they run, an unknown tool, results of both kinds, an answer.
fn with_calls() -> Play {
    let mut play = Play::begin(with_tool(), false);
    let intent = play.infer();
    play.write(intent, (0, call("look")), &["{\"a\"", ":1}"]);
    play.write(intent, (1, call("look")), &["no json"]);
    play.write(intent, (2, call("unknown")), &["{}"]);
    play.finish(Stop::ToolCalls);
    let calls: Vec<_> = play.state.calls.iter().map(|call| call.call_id.0.clone()).collect();
    play.events(json!([
        { "type": "agent.session.input.tool_result", "call_id": calls[0], "success": true, "output": "fine" },
        { "type": "agent.session.input.message", "input": [{ "role": "user", "content": "more" }] },
    ]));
    play.events(json!([
        { "type": "agent.session.input.tool_result", "call_id": calls[1], "success": false, "error": "bad" },
    ]));
    let intent = play.infer();
    play.write(intent, (0, ItemKind::Message), &["done"]);
    play.finish(Stop::End);
    play
}

/// Cut off twice: once continued as the same item, once started anew.
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

fn cancelled() -> Play {
    let mut play = Play::begin(plain(), false);
    let intent = play.infer();
    play.show(intent, Delta::Started { index: 0, kind: ItemKind::ReasoningSummary });
    play.show(intent, Delta::Text { index: 0, text: "so".to_owned() });
    play.events(json!([{ "type": "agent.session.input.cancel" }]));
    play
}

/// Still being written.
fn under_way() -> Play {
    let mut play = answered();
    play.events(json!([{ "type": "agent.session.input.message", "input": "again" }]));
    let intent = play.infer();
    play.show(intent, Delta::Started { index: 0, kind: ItemKind::Message });
    play.show(intent, Delta::Text { index: 0, text: "wor".to_owned() });
    play
}

fn all() -> Vec<Play> {
    vec![answered(), with_calls(), cut_off(true), cut_off(false), cancelled(), under_way()]
}

fn encode(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(|frame| frame.encode(true)).collect()
}

#[test]
fn a_replay_gives_the_same_bytes_from_every_cursor() {
    for play in all() {
        let live = play.live();
        assert_eq!(encode(&live), encode(&play.replayed(None)));
        for (index, frame) in live.iter().enumerate() {
            assert_eq!(encode(&live[index + 1..]), encode(&play.replayed(Some(frame.place))));
        }
    }
}

#[test]
fn places_grow_and_are_unique() {
    for play in all() {
        let live = play.live();
        assert!(live.windows(2).all(|pair| pair[0].place < pair[1].place));
    }
}

#[test]
fn a_view_from_an_idle_state_goes_on_as_one_from_the_start() {
    let mut play = answered();
    let (seen, mut view) = (play.moments.len(), View::new(play.state.clone()));
    play.events(json!([{ "type": "agent.session.input.message", "input": "again" }]));
    let intent = play.infer();
    play.write(intent, (0, ItemKind::Refusal), &["no"]);
    play.finish(Stop::End);
    let fresh: Vec<_> = play.moments[seen..].iter().flat_map(|moment| view.project(moment, None)).collect();
    let all = play.live();
    assert_eq!(encode(&fresh), encode(&all[all.len() - fresh.len()..]));
}

#[test]
fn a_view_that_joins_in_mid_turn_goes_on_as_one_from_the_start() {
    let mut joined = 0;
    for play in all() {
        for state in play.states.iter().filter(|state| state.turn.is_some()) {
            let start = state.turn.as_ref().unwrap().id;
            let cursor = Cursor { sequence: state.sequence, ordinal: 0 };
            let after = Place { session: play.session, cursor, part: u32::MAX };
            let mut view = View::in_turn(state.clone());
            let turn = play.moments.iter().filter(|moment| moment.cursor.sequence >= start);
            let fresh: Vec<_> = turn.flat_map(|moment| view.project(moment, Some(after))).collect();
            assert_eq!(encode(&fresh), encode(&play.replayed(Some(after))));
            joined += 1;
        }
    }
    assert!(joined > 10);
}

#[test]
fn an_answer_has_its_events_in_order() {
    let expected = [
        "created",
        "turn.created",
        "turn.in_progress",
        "in_progress",
        "turn.item.added",
        "turn.item.added",
        "turn.reasoning_summary_part.added",
        "turn.reasoning_summary_text.delta",
        "turn.reasoning_summary_text.delta",
        "turn.reasoning_summary_text.done",
        "turn.reasoning_summary_part.done",
        "turn.item.done",
        "turn.item.added",
        "turn.content_part.added",
        "turn.output_text.delta",
        "turn.output_text.delta",
        "turn.output_text.done",
        "turn.content_part.done",
        "turn.item.done",
        "turn.completed",
        "idle",
    ];
    let play = answered();
    assert_eq!(play.kinds(), expected);
    let live = play.live();
    assert_eq!(live[4].fields["item"]["role"], "user");
    assert_eq!(live[4].fields["output_index"], Value::Null);
    assert_eq!(live[18].fields["item"]["content"], json!([{ "type": "output_text", "text": "hello" }]));
    assert_eq!(live[18].fields["output_index"], 1);
    assert_eq!(live[19].fields["turn"]["status"], "completed");
    assert_eq!(live[19].fields["usage"]["total_tokens"], 29);
    assert_eq!(live[20].fields["session"]["status"], "idle");
}

#[test]
fn calls_are_handed_out_whole_and_asked_for_once() {
    let play = with_calls();
    let live = play.live();
    let actions: Vec<_> = live.iter().filter(|frame| frame.kind.ends_with("requires_action")).collect();
    assert_eq!(actions.len(), 1);
    assert_eq!(actions[0].fields["session"]["status"], "requires_action");
    let required = actions[0].fields["session"]["required_actions"].as_array().unwrap();
    assert_eq!(required.len(), 2, "the unknown tool is not asked for");
    let added: Vec<_> = live.iter().filter(|frame| frame.kind.ends_with("item.added")).collect();
    let calls: Vec<_> = added.iter().filter(|frame| frame.fields["item"]["type"] == "function_call").collect();
    assert_eq!(calls[0].fields["item"]["arguments"], json!({ "a": 1 }));
    assert_eq!(calls[1].fields["item"]["arguments"], "no json");
    let results: Vec<_> = added.iter().filter(|frame| frame.fields["item"]["type"] == "function_call_output").collect();
    assert_eq!(results[0].fields["item"]["output"], "fine");
    assert_eq!(
        (&results[1].fields["item"]["error"], &results[1].fields["item"]["status"]),
        (&json!("bad"), &json!("failed"))
    );
    assert!(results[0].fields["item"]["call_id"] == calls[0].fields["item"]["call_id"]);
}

#[test]
fn what_is_cut_off_ends_as_incomplete_unless_it_goes_on() {
    let done = |play: &Play| -> Vec<(String, String)> {
        let live = play.live();
        let done = live.iter().filter(|frame| frame.kind.ends_with("item.done")).map(|frame| &frame.fields["item"]);
        done.map(|item| (item["status"].as_str().unwrap().to_owned(), item["content"][0]["text"].to_string())).collect()
    };
    let pair = |status: &str, text: &str| (status.to_owned(), format!("\"{text}\""));
    assert_eq!(done(&cut_off(true)), [pair("completed", "one two")]);
    assert_eq!(done(&cut_off(false)), [pair("incomplete", "one "), pair("completed", "one two")]);
    let live = cancelled().live();
    let part = live.iter().find(|frame| frame.kind.ends_with("summary_part.done")).unwrap();
    assert_eq!(part.fields["status"], "incomplete");
    assert!(live.iter().any(|frame| frame.kind == "agent.session.turn.cancelled"));
    assert_eq!(live.last().unwrap().kind, "agent.session.idle");
}

#[test]
fn lists_hold_what_the_stream_added() {
    for play in all() {
        let live = play.live();
        let ids = |suffix: &str| -> Vec<Value> {
            let frames = live.iter().filter(|frame| frame.kind.ends_with(suffix));
            frames.map(|frame| frame.fields["item"]["id"].clone()).collect()
        };
        let open = play.state.turn.is_some();
        let page = Turns::read(&play.state, &[], &play.journal);
        let mut listed: Vec<_> = page.items.iter().map(|(_, _, item)| item["id"].clone()).collect();
        let mut added = ids("item.added");
        if open {
            // Not in the journal yet: it is being written.
            added.pop();
        }
        listed.sort_by_key(Value::to_string);
        added.sort_by_key(Value::to_string);
        assert_eq!(listed, added);
        assert!(page.missing.is_empty());
        assert_eq!(page.turns.len(), play.journal.iter().filter(|r| matches!(*r.event, Event::TurnStarted(_))).count());
    }
}

#[test]
fn a_window_names_the_inputs_it_lacks() {
    let play = answered();
    let start = play.journal.iter().position(|recorded| matches!(*recorded.event, Event::TurnStarted(_))).unwrap();
    let page = Turns::read(&play.state, &[], &play.journal[start..]);
    assert_eq!(page.missing, [play.journal[start - 1].sequence]);
    let whole = Turns::read(&play.state, &play.journal[..start], &play.journal[start..]);
    assert_eq!(whole.items.len(), page.items.len() + 1);
}
