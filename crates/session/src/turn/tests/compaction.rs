//! The context is compacted: by threshold, by request, because the prompt did not fit; and what becomes of failures.

use std::sync::Arc;

use mainstay_vocabulary::{
    CallId, Epoch, Item, ItemKind, Sequence,
    inference::{FailureKind, Stop},
    usage::Booking,
};

use super::script::*;
use crate::{
    Command, Event, Refusal, Spec,
    command::{Accept, RecordCompaction, RecordInference},
    event::{Delivery, ErrorCode, Input, Task, TurnOptions, TurnStatus},
    spec::{CallMode, Compaction, Interruption, Limits, Truncation},
    turn::Wanted,
};

const DUE: Option<Wanted> = Some(Wanted::Compact { not_before: None });
const ANSWER: Option<Wanted> = Some(Wanted::Infer { not_before: None });

fn wait() -> Spec {
    spec(CallMode::Wait, Interruption::Restart)
}

fn over(threshold_tokens: u64) -> Spec {
    Spec { compaction: Some(Compaction { threshold_tokens: Some(threshold_tokens) }), ..wait() }
}

/// An agent that has said something and is asked again.
fn asked_again(spec: Spec) -> Script {
    let mut script = Script::asked(spec);
    script.answer("well");
    script.give(say(Delivery::Steer, "and now?"));
    script
}

fn compact(items: Vec<Arc<Item>>) -> Command {
    let options = TurnOptions { task: Task::Compact, ..TurnOptions::default() };
    let input = Input { items, delivery: Delivery::Reject, options };
    Command::Accept(Box::new(Accept { input, spec: None, head: None, answers: Vec::new() }))
}

fn error(script: &Script) -> ErrorCode {
    match script.last_status() {
        TurnStatus::Failed(error) => error.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_context_over_the_threshold_is_compacted_before_the_next_inference() {
    // The first inference reports 100 + 50 tokens, the question adds six.
    assert_eq!(asked_again(over(157)).wanted(), ANSWER);
    let mut script = asked_again(over(156));
    assert_eq!(script.wanted(), DUE);
    assert_eq!(script.refusal(begin(false)), Refusal::Stale);
    let before = script.state.usage.input;
    let events = script.digest("they greeted");
    assert_eq!(names(&events), ["inferred", "replaced"]);
    assert_eq!(script.told(), ["digest", "user and now?"]);
    assert_eq!(script.state.usage.input, before + 100, "it is booked like any inference");
    assert_eq!(script.wanted(), ANSWER, "once for each inference");
    let events = script.answer("fine");
    assert_eq!(names(&events), ["completed", "inferred", "ended"]);
    assert_eq!(script.last_status(), TurnStatus::Completed);
}

#[test]
fn nothing_happens_while_an_item_goes_on() {
    let mut script = asked_again(over(151));
    script.digest("they greeted");
    script.give(begin(true));
    script.show_message(0, "half", false);
    script.give(Command::Compact);
    script.fail(FailureKind::Broken);
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })), "the half item is finished first");
}

#[test]
fn where_nothing_can_be_replaced_the_turn_goes_on() {
    let mut script = Script::asked(over(1));
    assert_eq!(script.wanted(), DUE);
    assert_eq!(script.begin_digest(), None);
    assert_eq!(script.wanted(), ANSWER);
}

#[test]
fn a_digest_that_fails_does_not_fail_the_turn() {
    let results =
        [Err(FailureKind::Upstream), Err(FailureKind::InvalidRequest), Ok(Stop::ContentFilter), Ok(Stop::End)];
    for result in results {
        let mut script = asked_again(over(151));
        let stays = script.begin_digest().unwrap();
        if result == Ok(Stop::ContentFilter) {
            script.write_digest(ItemKind::Message, "half");
        } else {
            script.write_digest(ItemKind::ToolCall { name: "add".to_owned(), provider_call_id: None }, "{}");
        }
        assert_eq!(names(&script.end_digest(stays, result.clone())), ["inferred"], "{result:?}");
        assert_eq!(script.told(), ["user hello", "agent well", "user and now?"]);
        assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })), "{result:?}");
        let failures = script.state.turn.as_ref().unwrap().failures;
        assert_eq!(failures, 0, "the answer has all its attempts");
    }
}

#[test]
fn a_digest_that_a_crash_cut_off_is_made_again() {
    let mut script = asked_again(over(151));
    script.begin_digest();
    script.write_digest(ItemKind::Message, "half");
    assert_eq!(
        names(&script.give(Command::Recover { epoch: Epoch(2), running: Vec::new() })),
        ["recovered", "inferred"]
    );
    assert_eq!(script.wanted(), DUE);
    script.digest("whole");
    assert_eq!(script.told(), ["digest", "user and now?"]);
}

#[test]
fn a_cancelled_digest_leaves_the_context_as_it_was() {
    let mut script = asked_again(over(151));
    let stays = script.begin_digest().unwrap();
    script.write_digest(ItemKind::Message, "half");
    let intent = script.intent();
    assert_eq!(names(&script.give(Command::Cancel { turn: None })), ["inferred", "ended"]);
    assert_eq!(script.told(), ["user hello", "agent well", "user and now?"]);
    let late = late(intent, stays);
    assert_eq!(names(&script.give(late)), ["late"], "what it cost is booked");
}

fn late(intent: Sequence, stays: crate::compaction::Stays) -> Command {
    let receipt = receipt(70, Booking::Reported);
    let record = RecordInference { intent, result: Err(failure(FailureKind::Broken)), receipt };
    Command::RecordCompaction(Box::new(RecordCompaction { record, stays }))
}

#[test]
fn a_prompt_that_does_not_fit_is_compacted_once() {
    let spec = Spec { compaction: Some(Compaction::default()), ..wait() };
    let mut script = asked_again(spec);
    script.give(begin(false));
    script.fail(FailureKind::ContextLength);
    assert_eq!(script.wanted(), DUE);
    script.digest("they greeted");
    script.give(begin(false));
    script.fail(FailureKind::ContextLength);
    assert_eq!(error(&script), ErrorCode::ContextLengthExceeded);
}

#[test]
fn where_neither_compaction_nor_truncation_is_wanted_it_fails() {
    let mut script = asked_again(wait());
    script.give(begin(false));
    script.fail(FailureKind::ContextLength);
    assert_eq!(error(&script), ErrorCode::ContextLengthExceeded);
}

#[test]
fn truncation_drops_the_oldest_until_only_the_newest_is_left() {
    let mut script = asked_again(Spec { truncation: Truncation::Auto, ..wait() });
    script.answer("fine");
    script.give(say(Delivery::Steer, "go on"));
    for told in [&["agent fine", "user go on"][..], &["user go on"]] {
        script.give(begin(false));
        script.fail(FailureKind::ContextLength);
        assert_eq!(script.wanted(), Some(Wanted::Truncate));
        let stays = crate::compaction::truncate(&script.context).map(Box::new);
        assert_eq!(names(&script.give(Command::Truncate(stays))), ["replaced"]);
        assert_eq!(script.told(), told);
    }
    script.give(begin(false));
    script.fail(FailureKind::ContextLength);
    assert_eq!(crate::compaction::truncate(&script.context), None);
    script.give(Command::Truncate(None));
    assert_eq!(error(&script), ErrorCode::ContextLengthExceeded);
}

#[test]
fn an_idle_session_is_compacted_in_a_turn_of_its_own() {
    let mut script = Script::asked(wait());
    script.answer("well");
    assert_eq!(names(&script.give(Command::Compact)), ["accepted", "started", "incorporated"]);
    let events = script.digest("they greeted");
    assert_eq!(names(&events), ["inferred", "replaced", "ended"]);
    assert_eq!(script.told(), ["user hello", "digest"], "what the user said stays");
    script.give(say(Delivery::Steer, "go on"));
    assert_eq!(script.told(), ["user hello", "digest", "user go on"]);
}

#[test]
fn a_running_turn_is_compacted_at_its_next_step_or_after_it() {
    let (mut script, calls) = Script::waiting(1);
    assert_eq!(names(&script.give(Command::Compact)), ["compaction asked"]);
    assert_eq!(names(&script.give(Command::Compact)), [""; 0], "asking twice is asking once");
    script.give(Command::ReturnCall { turn: None, result: result_item(&calls[0]) });
    assert_eq!(script.wanted(), DUE);
    script.digest("they added");
    assert_eq!(script.told(), ["digest", "user hello"]);
    script.give(begin(false));
    script.give(Command::Compact);
    script.show_message(0, "done", true);
    let events = script.finish(Stop::End);
    assert_eq!(names(&events), ["completed", "inferred", "ended", "accepted", "started", "incorporated"]);
    script.digest("done");
    assert_eq!(script.state.turn, None);
}

#[test]
fn a_compaction_alone_fails_with_its_digest() {
    let limits = Limits { max_attempts: 2, ..Limits::default() };
    let mut script = Script::asked(Spec { limits, ..wait() });
    script.answer("well");
    script.give(Command::Compact);
    let stays = script.begin_digest().unwrap();
    script.end_digest(stays, Err(FailureKind::Upstream));
    let Some(Wanted::Compact { not_before: Some(at) }) = script.wanted() else { panic!("another attempt") };
    script.at = at;
    let stays = script.begin_digest().unwrap();
    script.end_digest(stays, Err(FailureKind::Upstream));
    assert_eq!(error(&script), ErrorCode::ServerOverloaded);
    script.give(Command::Compact);
    let stays = script.begin_digest().unwrap();
    script.end_digest(stays, Ok(Stop::End));
    assert_eq!(error(&script), ErrorCode::ServerError, "no digest was written");
    let mut empty = Script::new(wait());
    empty.give(Command::Compact);
    empty.begin_digest();
    assert_eq!(error(&empty), ErrorCode::InvalidRequest);
}

#[test]
fn what_comes_during_a_compaction_is_the_next_turn() {
    let mut script = Script::asked(wait());
    script.answer("well");
    script.give(Command::Compact);
    script.give(say(Delivery::Steer, "and now?"));
    assert_eq!(script.wanted(), DUE);
    assert_eq!(names(&script.digest("they greeted")), ["inferred", "replaced", "ended", "started", "incorporated"]);
    assert_eq!(script.told(), ["user hello", "digest", "user and now?"]);
}

#[test]
fn calls_without_results_stay_and_can_be_answered_afterwards() {
    let spec = spec(CallMode::Yield, Interruption::End);
    let mut script = Script::asked(spec);
    script.give(begin(false));
    let call = script.show_call(0, "add");
    script.finish(Stop::ToolCalls);
    assert_eq!(script.refusal(say(Delivery::Queue, "and?")), Refusal::CallsUnanswered(vec![call.clone()]));
    script.give(compact(Vec::new()));
    script.digest("a call is out");
    assert_eq!(script.state.unanswered, vec![call.clone()]);
    script.give(accept(Delivery::Queue, vec![result_item(&call)]));
    assert_eq!(script.told(), ["user hello", "digest", "call", "result"]);
}

#[test]
fn an_input_for_a_compaction_is_taken_whole() {
    let mut script = Script::new(wait());
    let known = CallId("known".to_owned());
    let items = vec![message("hi"), call_item("known"), result_item(&known), call_item("open")];
    script.give(compact(items));
    assert_eq!(script.refusal(compact(Vec::new())), Refusal::Busy);
    let events = script.digest("hi, and a call");
    let Event::ContextReplaced(replaced) = &events[1] else { panic!("{events:?}") };
    assert_eq!(replaced.unanswered, [CallId("open".to_owned())]);
    assert_eq!(replaced.digest.as_ref().unwrap().id.sequence, Sequence(5), "its id is made of its intent");
}
