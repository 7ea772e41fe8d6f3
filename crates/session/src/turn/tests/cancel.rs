//! Cancelling in every phase, and what comes back afterwards.

use mainstay_vocabulary::{
    PicoUsd, Sequence, TurnId,
    inference::{FailureKind, Stop},
};

use super::script::*;
use crate::{
    Command, Refusal, Spec,
    event::{Delivery, TurnStatus},
    spec::{CallMode, Interruption},
};

const CANCEL: Command = Command::Cancel { turn: None };

fn wait() -> Spec {
    spec(CallMode::Wait, Interruption::Restart)
}

#[test]
fn in_every_phase() {
    let before_inference = Script::asked(wait());
    let mut inferring = Script::inferring(wait(), false);
    inferring.show_message(0, "half", false);
    let mut after_failure = Script::inferring(wait(), false);
    after_failure.fail(FailureKind::Upstream);
    let mut between_attempts = Script::inferring(wait(), true);
    between_attempts.show_message(0, "half", false);
    between_attempts.fail(FailureKind::Upstream);
    let (waiting, _) = Script::waiting(2);
    let table: [(Script, &[&str], &[&str]); 5] = [
        (before_inference, &["ended"], &["user hello"]),
        (inferring, &["interrupted", "inferred", "ended"], &["user hello", "agent half"]),
        (after_failure, &["ended"], &["user hello"]),
        (between_attempts, &["interrupted", "ended"], &["user hello", "agent half"]),
        (waiting, &["closed", "closed", "ended"], &["user hello", "call", "call", "error", "error"]),
    ];
    for (mut script, events, told) in table {
        assert_eq!(names(&script.give(CANCEL)), events);
        assert_eq!(script.last_status(), TurnStatus::Cancelled);
        assert_eq!(script.told(), told);
        script.give(say(Delivery::Steer, "go on"));
        script.answer("well");
    }
}

#[test]
fn whole_calls_of_the_open_inference_are_closed() {
    for calls in [CallMode::Wait, CallMode::Yield] {
        let mut script = Script::inferring(spec(calls, Interruption::Restart), false);
        script.show_call(0, "add");
        script.show_half_call(1, "add");
        let events = script.give(CANCEL);
        assert_eq!(names(&events), ["completed", "interrupted", "inferred", "closed", "ended"]);
        script.give(say(Delivery::Steer, "go on"));
        script.answer("well");
    }
}

#[test]
fn steering_inputs_stay_in_the_context_and_queued_ones_start() {
    let mut script = Script::inferring(wait(), true);
    script.show_message(0, "half", false);
    script.fail(FailureKind::Broken);
    script.give(say(Delivery::Steer, "quickly"));
    script.give(say(Delivery::Queue, "next"));
    let events = script.give(CANCEL);
    assert_eq!(names(&events), ["interrupted", "incorporated", "ended", "started", "incorporated"]);
    assert_eq!(script.told(), ["user hello", "agent half", "user quickly", "user next"]);
    script.answer("well");
}

#[test]
fn a_turn_that_is_over_stays_as_it_is() {
    let mut script = Script::new(wait());
    assert_eq!(script.refusal(CANCEL), Refusal::NothingToCancel);
    script.give(say(Delivery::Steer, "hello"));
    script.answer("well");
    let named = Command::Cancel { turn: Some(script.last_turn()) };
    assert_eq!(names(&script.give(named.clone())), [""; 0]);
    assert_eq!(script.refusal(CANCEL), Refusal::NothingToCancel);
    script.give(say(Delivery::Steer, "more"));
    assert_eq!(names(&script.give(named)), [""; 0], "the turn that runs is another one");
    let later = TurnId { session: session(), sequence: Sequence(99) };
    let elsewhere = TurnId { session: mainstay_vocabulary::SessionId::from_bytes([1; 18]), sequence: Sequence(2) };
    for turn in [later, elsewhere] {
        assert_eq!(script.refusal(Command::Cancel { turn: Some(turn) }), Refusal::TurnNotFound);
    }
    let running = script.state.turn_id(script.state.turn.as_ref().unwrap().id);
    assert_eq!(names(&script.give(Command::Cancel { turn: Some(running) })), ["ended"]);
}

#[test]
fn a_late_inference_corrects_the_money_once_also_when_the_next_turn_runs() {
    for next in [None, Some(Delivery::Queue)] {
        let mut script = Script::inferring(wait(), false);
        let intent = script.intent();
        if let Some(delivery) = next {
            script.give(say(delivery, "next"));
        }
        script.give(CANCEL);
        assert_eq!((script.state.usage.input, script.state.cost), (10, PicoUsd(30)), "the estimate");
        let late = record_of(intent, Err(failure(FailureKind::Broken)));
        assert_eq!(names(&script.give(late.clone())), ["late"]);
        assert_eq!((script.state.usage.input, script.state.cost), (100, PicoUsd(300)), "what it really cost");
        assert_eq!(script.refusal(late), Refusal::Stale);
    }
}

#[test]
fn an_interrupting_input_leaves_the_late_outcome_welcome() {
    let mut script = Script::inferring(wait(), false);
    let intent = script.intent();
    script.give(say(Delivery::Interrupt, "now"));
    script.give(begin(false));
    script.give(record_of(intent, Err(failure(FailureKind::Broken))));
    script.show_message(0, "well", true);
    script.finish(Stop::End);
    assert_eq!(script.state.usage.input, 200);
}

#[test]
fn a_late_result_is_journaled_once_and_changes_nothing_else() {
    let (mut script, calls) = Script::waiting(2);
    script.give(say(Delivery::Queue, "next"));
    script.give(CANCEL);
    let late = Command::ReturnCall { turn: None, result: result_item(&calls[0]) };
    let told = script.told();
    assert_eq!(names(&script.give(late.clone())), ["late"]);
    assert_eq!(script.told(), told);
    assert_eq!(script.refusal(late), Refusal::CallNotOpen(calls[0].clone()));
    script.answer("well");
    assert_eq!(script.state.cancelled.calls.len(), 1, "the other one may still come");
}

#[test]
fn the_next_cancel_forgets_what_the_one_before_left_open() {
    let (mut script, calls) = Script::waiting(1);
    script.give(CANCEL);
    script.give(say(Delivery::Steer, "more"));
    script.give(begin(false));
    script.give(CANCEL);
    let late = Command::ReturnCall { turn: None, result: result_item(&calls[0]) };
    assert_eq!(script.refusal(late), Refusal::CallNotOpen(calls[0].clone()));
}
