//! The projection: the same bytes live and replayed, whole objects, and the order that strict clients check.

use std::sync::Arc;

use mainstay_session::{
    Command, Event,
    event::TurnStarted,
    feed::{Moment, Slice, What, expand},
};
use mainstay_vocabulary::{
    ItemKind,
    inference::{Delta, FailureKind, Stop},
};
use serde_json::{Value, json};

use super::run::Run;
use crate::responses::{Frame, View, item::Shape};

const SHAPES: [Shape; 2] = [Shape { encrypted: false, obfuscated: false }, Shape { encrypted: true, obfuscated: true }];

fn call(name: &str) -> ItemKind {
    ItemKind::ToolCall { name: name.to_owned(), provider_call_id: Some("theirs".to_owned()) }
}

fn text() -> Run {
    let mut run = Run::new(false, false);
    run.begin();
    run.start(0, ItemKind::Message);
    run.text(0, "Hé");
    run.text(0, "llo");
    run.done(0);
    run.finish(Stop::End);
    run
}

/// Everything at once: thoughts with opaque bytes, a refusal, two calls that are written in turns.
fn everything() -> Run {
    let mut run = Run::new(true, false);
    run.begin();
    run.start(0, ItemKind::Reasoning);
    run.text(0, "hm");
    run.start(1, ItemKind::ReasoningSummary);
    run.text(1, "thought");
    run.show(Delta::Done { index: 0, opaque: Some("sealed".to_owned()) });
    run.done(1);
    run.start(2, ItemKind::Refusal);
    run.text(2, "no");
    run.done(2);
    run.start(3, call("add"));
    run.start(4, call("sub"));
    run.text(4, "{");
    run.text(3, "{}");
    run.text(4, "}");
    run.done(4);
    run.done(3);
    run.start(5, ItemKind::Message);
    run.done(5);
    run.finish(Stop::ToolCalls);
    run
}

/// A compaction first, then an answer with log probabilities.
fn compacted() -> Run {
    let mut run = Run::new(false, false);
    run.send(Command::Compact);
    run.compact("They greeted.");
    run.begin();
    run.start(0, ItemKind::Message);
    for token in ["He", "llo"] {
        run.show(Delta::Logprobs {
            index: 0,
            logprobs: json!([{ "token": token, "logprob": -0.5, "bytes": [], "top_logprobs": [] }]),
        });
        run.text(0, token);
    }
    run.text(0, "!");
    run.done(0);
    run.finish(Stop::End);
    run
}

fn cut_off(kind: FailureKind) -> Run {
    let mut run = Run::new(false, false);
    run.begin();
    run.start(0, ItemKind::Message);
    run.text(0, "half an ans");
    run.start(1, call("add"));
    run.text(1, "{\"a\":");
    run.fail(kind);
    run
}

/// An item that goes on in a second attempt.
fn continued() -> Run {
    let mut run = Run::new(false, true);
    run.begin();
    run.start(0, ItemKind::Message);
    run.text(0, "one ");
    run.fail(FailureKind::Broken);
    run.begin();
    run.text(0, "two");
    run.done(0);
    run.finish(Stop::End);
    run
}

/// A second attempt after nothing was shown, then a cancel.
fn cancelled() -> Run {
    let mut run = Run::new(true, false);
    run.begin();
    run.fail(FailureKind::RateLimited);
    run.begin();
    run.start(0, ItemKind::Message);
    run.text(0, "never mi");
    run.send(Command::Cancel { turn: None });
    run
}

fn cancelled_at_once() -> Run {
    let mut run = Run::new(true, false);
    run.send(Command::Cancel { turn: None });
    run
}

fn shortened(stop: Stop) -> Run {
    let mut run = Run::new(false, false);
    run.begin();
    run.start(0, ItemKind::Message);
    run.text(0, "long");
    run.done(0);
    run.finish(stop);
    run
}

fn runs() -> Vec<(&'static str, Run, &'static str)> {
    vec![
        ("text", text(), "response.completed"),
        ("everything", everything(), "response.completed"),
        ("continued", continued(), "response.completed"),
        ("broken", cut_off(FailureKind::Broken), "response.incomplete"),
        ("refused", cut_off(FailureKind::InvalidRequest), "response.failed"),
        ("cancelled", cancelled(), "response.cancelled"),
        ("cancelled at once", cancelled_at_once(), "response.cancelled"),
        ("too long", shortened(Stop::MaxOutputTokens), "response.incomplete"),
        ("filtered", shortened(Stop::ContentFilter), "response.incomplete"),
    ]
}

fn body(frame: &Frame) -> Value {
    serde_json::from_str(&frame.data).unwrap()
}

/// Frame slices as the store keeps them: what was shown, in small pieces.
fn slices(live: &[Moment]) -> Vec<Slice> {
    let shown = live.iter().filter_map(|moment| match &moment.what {
        What::Shown(shown) => Some((moment.cursor, shown.clone())),
        What::Event(..) => None,
    });
    let slice = |(cursor, shown): (mainstay_session::feed::Cursor, _)| Slice {
        after: cursor.sequence,
        first: cursor.ordinal,
        shown: vec![shown],
    };
    shown.map(slice).collect()
}

#[test]
fn a_replay_gives_the_same_bytes() {
    for (name, run, terminal) in runs() {
        for shape in SHAPES {
            let (live, view) = run.project(&run.live, shape, 0);
            assert_eq!(live.last().unwrap().event, terminal, "{name}");
            let (replayed, _) = run.project(&expand(&run.journal, &[]), shape, 0);
            assert_eq!(live, replayed, "{name}: from the journal");
            let (both, _) = run.project(&expand(&run.journal, &slices(&run.live)), shape, 0);
            assert_eq!(live, both, "{name}: from journal and frames");
            for from in 0..=live.len() {
                let (tail, _) = run.project(&run.live, shape, from as u64);
                assert_eq!(tail, live[from..], "{name}: from {from}");
            }
            let mut folded = View::without_frames(run.head(), shape);
            for recorded in &run.journal {
                let cursor = mainstay_session::feed::Cursor { sequence: recorded.sequence, ordinal: 0 };
                let what = What::Event(recorded.event.clone(), recorded.at);
                assert_eq!(folded.apply(&Moment { cursor, what }), [], "{name}");
            }
            assert_eq!(folded.object(), view.object(), "{name}: from events alone");
            assert_eq!(body(live.last().unwrap())["response"], view.object(), "{name}: the last frame");
        }
    }
}

#[test]
fn numbers_do_not_depend_on_what_is_included() {
    for (name, run, _) in runs() {
        let [plain, full] = SHAPES.map(|shape| run.project(&run.live, shape, 0).0);
        let numbers = |frames: &[Frame]| frames.iter().map(|frame| (frame.number, frame.event)).collect::<Vec<_>>();
        assert_eq!(numbers(&plain), numbers(&full), "{name}");
    }
}

#[test]
fn a_stream_in_progress_is_a_prefix_of_the_whole() {
    for (name, run, _) in runs() {
        let (whole, _) = run.project(&run.live, SHAPES[0], 0);
        for count in 0..run.live.len() {
            let (part, _) = run.project(&run.live[..count], SHAPES[0], 0);
            assert_eq!(part, whole[..part.len()], "{name}: after {count} moments");
        }
    }
}

#[test]
fn frames_are_numbered_and_ordered() {
    for (name, run, _) in runs() {
        let (frames, view) = run.project(&run.live, SHAPES[0], 0);
        let (mut open, mut added) = (Vec::new(), 0);
        for (number, frame) in frames.iter().enumerate() {
            let body = body(frame);
            assert_eq!(
                (body["sequence_number"].as_u64(), frame.number),
                (Some(number as u64), number as u64),
                "{name}"
            );
            assert_eq!(body["type"], frame.event, "{name}");
            assert!(!frame.data.contains('\n'), "{name}");
            match frame.event {
                "response.output_item.added" => {
                    assert_eq!(body["output_index"], added, "{name}");
                    open.push(body["item"]["id"].clone());
                    added += 1;
                }
                "response.output_item.done" => open.retain(|id| *id != body["item"]["id"]),
                event if event.starts_with("response.") && body.get("item_id").is_some() => {
                    assert!(open.contains(&body["item_id"]), "{name}: {event} of a closed item");
                }
                _ => assert!(body.get("response").is_some(), "{name}: {}", frame.event),
            }
        }
        assert_eq!(open, Vec::<Value>::new(), "{name}: open at the end");
        assert_eq!(view.object()["output"].as_array().unwrap().len(), added, "{name}");
        assert_eq!(frames[0].event, "response.created");
        let second = if view.head().is_background() { "response.queued" } else { "response.in_progress" };
        assert_eq!(frames[1].event, second, "{name}");
    }
}

#[test]
fn the_texts_of_a_stream_add_up() {
    let run = everything();
    let (frames, view) = run.project(&run.live, SHAPES[0], 0);
    let object = view.object();
    for (index, whole) in [(0, "hm"), (1, "thought"), (2, "no"), (3, "{}"), (4, "{}"), (5, "")] {
        let of_item = |frame: &&Frame| frame.event.ends_with(".delta") && body(frame)["output_index"] == index;
        let text: String =
            frames.iter().filter(of_item).map(|f| body(f)["delta"].as_str().unwrap().to_owned()).collect();
        assert_eq!(text, whole, "item {index}");
    }
    assert_eq!(object["output"][0]["content"], json!([{ "type": "reasoning_text", "text": "hm" }]));
    assert_eq!(object["output"][1]["summary"], json!([{ "type": "summary_text", "text": "thought" }]));
    assert_eq!(object["output"][2]["content"], json!([{ "type": "refusal", "refusal": "no" }]));
    assert_eq!(object["output"][3]["arguments"], "{}");
    let empty = json!([{ "type": "output_text", "text": "", "annotations": [], "logprobs": [] }]);
    assert_eq!(object["output"][5]["content"], empty);
    assert!(object["output"][0].get("encrypted_content").is_none());
    let (_, view) = run.project(&run.live, SHAPES[1], 0);
    assert!(view.object()["output"][0]["encrypted_content"].as_str().unwrap().ends_with(".sealed"));
}

#[test]
fn the_object_has_all_its_keys() {
    const KEYS: [&str; 31] = [
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "incomplete_details",
        "model",
        "previous_response_id",
        "instructions",
        "output",
        "error",
        "tools",
        "tool_choice",
        "truncation",
        "parallel_tool_calls",
        "text",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "temperature",
        "reasoning",
        "usage",
        "max_output_tokens",
        "max_tool_calls",
        "store",
        "background",
        "service_tier",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
    ];
    for (name, run, _) in runs() {
        let (frames, _) = run.project(&run.live, SHAPES[0], 0);
        for frame in frames.iter().filter(|frame| body(frame).get("response").is_some()) {
            let response = &body(frame)["response"];
            for key in KEYS {
                assert!(response.get(key).is_some(), "{name}: {key} in {}", frame.event);
            }
            for key in ["tools", "tool_choice", "output", "metadata", "temperature", "service_tier"] {
                assert!(!response[key].is_null(), "{name}: {key} in {}", frame.event);
            }
        }
    }
}

#[test]
fn each_end_says_how_and_why() {
    let object = |run: Run| run.project(&run.live, SHAPES[0], 0).1.object();
    let completed = object(text());
    assert_eq!((&completed["status"], &completed["error"]), (&json!("completed"), &Value::Null));
    assert!(completed["completed_at"].as_u64() >= completed["created_at"].as_u64());
    let usage = json!({
        "input_tokens": 11, "input_tokens_details": { "cached_tokens": 2, "cache_write_tokens": 0 },
        "output_tokens": 7, "output_tokens_details": { "reasoning_tokens": 3 }, "total_tokens": 18,
    });
    assert_eq!(completed["usage"], usage);
    let broken = object(cut_off(FailureKind::Broken));
    assert_eq!(broken["incomplete_details"]["reason"], "interrupted");
    assert_eq!((&broken["output"][0]["status"], &broken["completed_at"]), (&json!("incomplete"), &Value::Null));
    assert_eq!(object(shortened(Stop::MaxOutputTokens))["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(object(shortened(Stop::ContentFilter))["incomplete_details"]["reason"], "content_filter");
    let failed = object(cut_off(FailureKind::InvalidRequest));
    let error =
        json!({ "type": "invalid_request_error", "code": "invalid_prompt", "message": "the upstream is unwell" });
    assert_eq!((&failed["status"], &failed["error"]), (&json!("failed"), &error));
    assert_eq!(object(cancelled())["status"], "cancelled");
    let (frames, _) = cut_off(FailureKind::Broken).project(&cut_off(FailureKind::Broken).live, SHAPES[0], 0);
    let half_a_call = |frame: &Frame| frame.event == "response.function_call_arguments.done";
    assert!(!frames.iter().any(half_a_call), "half a call is not announced as whole");
}

#[test]
fn what_surrounds_the_turn_changes_nothing() {
    let mut run = text();
    let (before, view) = run.project(&run.live, SHAPES[0], 0);
    run.send(Command::ChangeMetadata([("k".to_owned(), json!("v"))].into_iter().collect()));
    run.send(Command::AddItems(Vec::new()));
    let (after, later) = run.project(&run.live, SHAPES[0], 0);
    assert_eq!((before, view.object()), (after, later.object()));
}

#[test]
fn padding_hides_the_length_of_deltas() {
    let run = everything();
    let (frames, _) = run.project(&run.live, SHAPES[1], 0);
    let deltas: Vec<_> = frames.iter().filter(|frame| frame.event.ends_with(".delta")).map(body).collect();
    assert!(!deltas.is_empty());
    for delta in deltas {
        let length = |name: &str| delta[name].as_str().unwrap().len();
        assert_eq!((length("delta") + length("obfuscation")) % 32, 0);
    }
}

#[test]
fn a_compaction_is_one_item_and_its_making_is_not_shown() {
    let run = compacted();
    let (frames, view) = run.project(&run.live, Shape::default(), 0);
    let names: Vec<_> = frames.iter().map(|frame| frame.event).collect();
    assert_eq!(
        names[..4],
        ["response.created", "response.in_progress", "response.output_item.added", "response.output_item.done"]
    );
    let output = view.object()["output"].clone();
    assert_eq!((&output[0]["type"], &output[1]["type"]), (&json!("compaction"), &json!("message")));
    assert_eq!(output.as_array().unwrap().len(), 2);
    assert!(frames.iter().all(|frame| !frame.data.contains("They greeted")), "the digest is encoded");
    assert_eq!(view.object()["usage"]["input_tokens"], 22, "the digest is paid for, too");
}

#[test]
fn log_probabilities_stand_with_their_text() {
    let run = compacted();
    let (frames, view) = run.project(&run.live, Shape::default(), 0);
    let bodies: Vec<Value> = frames.iter().map(|frame| serde_json::from_str(&frame.data).unwrap()).collect();
    let deltas = bodies.iter().filter(|body| body["type"] == "response.output_text.delta");
    let tokens: Vec<_> = deltas.map(|body| (body["delta"].clone(), body["logprobs"][0]["token"].clone())).collect();
    assert_eq!(tokens, [(json!("He"), json!("He")), (json!("llo"), json!("llo")), (json!("!"), Value::Null)]);
    let done = bodies.iter().find(|body| body["type"] == "response.output_text.done").unwrap();
    assert_eq!(done["logprobs"].as_array().unwrap().len(), 2);
    assert_eq!(view.object()["output"][1]["content"][0]["logprobs"], done["logprobs"]);
    let from_events: Vec<_> =
        run.live.iter().filter(|moment| matches!(moment.what, What::Event(..))).cloned().collect();
    let (_, folded) = run.project(&from_events, Shape::default(), u64::MAX);
    assert_eq!(folded.object(), view.object());
}

#[test]
fn a_response_without_generation_is_created_and_completed() {
    let frames = View::idle(Run::new(false, false).head(), Shape::default());
    let names: Vec<_> = frames.iter().map(|frame| frame.event).collect();
    assert_eq!(names, ["response.created", "response.in_progress", "response.completed"]);
    let last: Value = serde_json::from_str(&frames[2].data).unwrap();
    assert_eq!((&last["response"]["output"], &last["response"]["usage"]["total_tokens"]), (&json!([]), &json!(0)));
}

#[test]
fn the_tier_that_served_is_told_in_the_end() {
    for (reported, told) in [("flex", "flex"), ("standard", "default"), ("", "")] {
        let mut run = Run::new(false, false);
        run.begin();
        run.finish_by(reported);
        let (frames, view) = run.project(&run.live, SHAPES[0], 0);
        assert_eq!(body(&frames[0])["response"]["service_tier"], "auto", "nobody knows yet");
        assert_eq!(body(frames.last().unwrap())["response"]["service_tier"], told);
        assert_eq!(view.object()["service_tier"], told);
    }
    let (_, view) = text().project(&text().live, SHAPES[0], 0);
    assert_eq!(view.object()["service_tier"], "default", "the provider did not say");
}

#[test]
fn a_turn_of_the_first_projector_is_shown_as_it_was() {
    let mut run = Run::new(false, false);
    run.begin();
    run.finish_by("flex");
    let first = run.live.iter().cloned().map(|mut moment| {
        if let What::Event(event, at) = &moment.what
            && let Event::TurnStarted(started) = &**event
        {
            let started = TurnStarted { projector: 1, ..started.clone() };
            moment.what = What::Event(Arc::new(Event::TurnStarted(started)), *at);
        }
        moment
    });
    let (frames, _) = run.project(&first.collect::<Vec<_>>(), SHAPES[0], 0);
    assert!(frames.len() > 2);
    for frame in &frames {
        assert_eq!(body(frame)["response"]["service_tier"], "default", "{}", frame.event);
    }
}
