//! Ends of inferences: finished, or failed before anything was said.

use mainstay_vocabulary::{
    Timestamp,
    inference::{Failure, FailureKind, Stop},
};

use super::script::*;
use crate::{
    Command, Event, Refusal, Spec,
    event::{ErrorCode, Shortfall, TurnStatus},
    spec::{CallMode, Interruption, Limits},
    turn::Wanted,
};

fn wait() -> Spec {
    spec(CallMode::Wait, Interruption::Restart)
}

fn retry_in(script: &Script) -> u64 {
    let Some(Wanted::Infer { not_before: Some(at) }) = script.wanted() else { panic!("no retry") };
    at.0 - script.at.0
}

#[test]
fn an_answer_ends_the_turn() {
    let mut script = Script::asked(wait());
    assert_eq!(names(&script.answer("well")), ["completed", "inferred", "ended"]);
    assert_eq!(script.last_status(), TurnStatus::Completed);
    let Some(Event::TurnEnded(ended)) = script.journal.last().map(|recorded| (*recorded.event).clone()) else {
        panic!("the turn was to end")
    };
    assert_eq!(ended.usage, script.state.usage);
}

#[test]
fn an_answer_that_was_cut_short_says_why() {
    let table = [(Stop::MaxOutputTokens, Shortfall::MaxOutputTokens), (Stop::ContentFilter, Shortfall::ContentFilter)];
    for (stop, why) in table {
        let mut script = Script::inferring(wait(), false);
        script.show_message(0, "well", false);
        script.show_call(1, "add");
        let events = script.finish(stop);
        assert_eq!(names(&events), ["interrupted", "completed", "inferred", "closed", "ended"]);
        assert_eq!(script.last_status(), TurnStatus::Incomplete(why));
        assert_eq!(script.told(), ["user hello", "agent well", "call", "error"]);
    }
}

#[test]
fn half_a_call_at_the_end_is_no_call() {
    let mut script = Script::inferring(wait(), false);
    script.show_half_call(0, "add");
    assert_eq!(names(&script.finish(Stop::ToolCalls)), ["interrupted", "inferred", "ended"]);
    assert_eq!(script.told(), ["user hello"]);
}

#[test]
fn failures_are_fatal_or_tried_again_by_their_kind() {
    let table = [
        (FailureKind::Connect, None),
        (FailureKind::Broken, None),
        (FailureKind::Timeout, None),
        (FailureKind::RateLimited, None),
        (FailureKind::Upstream, None),
        (FailureKind::Protocol, None),
        (FailureKind::Authentication, Some(ErrorCode::AuthenticationError)),
        (FailureKind::InvalidRequest, Some(ErrorCode::InvalidRequest)),
        (FailureKind::ContextLength, Some(ErrorCode::ContextLengthExceeded)),
        (FailureKind::NotFound, Some(ErrorCode::ResourceNotFound)),
    ];
    for (kind, fatal) in table {
        let mut script = Script::inferring(wait(), false);
        let events = script.fail(kind);
        let Some(code) = fatal else {
            assert_eq!(names(&events), ["inferred"], "{kind:?}");
            assert_eq!(retry_in(&script), 250);
            continue;
        };
        assert_eq!(names(&events), ["inferred", "ended"], "{kind:?}");
        let TurnStatus::Failed(error) = script.last_status() else { panic!("{kind:?}") };
        assert_eq!(error.code, code);
    }
}

#[test]
fn the_last_attempt_that_is_allowed_fails_the_turn() {
    let table = [
        (FailureKind::Connect, ErrorCode::ConnectionFailed),
        (FailureKind::Broken, ErrorCode::ServerError),
        (FailureKind::Protocol, ErrorCode::ServerError),
        (FailureKind::Timeout, ErrorCode::RequestTimeout),
        (FailureKind::RateLimited, ErrorCode::RateLimitExceeded),
        (FailureKind::Upstream, ErrorCode::ServerOverloaded),
    ];
    let limits = Limits { max_attempts: 2, ..Limits::default() };
    for (kind, code) in table {
        let mut script = Script::inferring(Spec { limits, ..wait() }, false);
        script.fail(kind);
        script.at = script.at.plus_ms(60_000);
        script.give(begin(false));
        assert_eq!(names(&script.fail(kind)), ["inferred", "ended"]);
        let TurnStatus::Failed(error) = script.last_status() else { panic!("{kind:?}") };
        assert_eq!(error.code, code);
        assert_eq!(script.state.usage.input, 200, "each attempt is booked");
    }
}

#[test]
fn the_wait_before_another_attempt_doubles_up_to_its_bound() {
    let limits = Limits { max_attempts: 30, ..Limits::default() };
    let mut script = Script::asked(Spec { limits, ..wait() });
    let mut waits = Vec::new();
    for _ in 0..29 {
        script.give(begin(false));
        script.fail(FailureKind::Upstream);
        waits.push(retry_in(&script));
        script.at = script.at.plus_ms(retry_in(&script));
    }
    assert_eq!(waits[..4], [250, 500, 1_000, 2_000]);
    assert!(waits.is_sorted());
    assert_eq!(waits.last(), Some(&60_000));
}

#[test]
fn what_the_provider_asks_to_wait_is_heeded_up_to_the_bound() {
    for (asked, waits) in [(7_000, 7_000), (u64::MAX, 60_000)] {
        let mut script = Script::inferring(wait(), false);
        script.record(Err(Failure { retry_after_ms: Some(asked), ..failure(FailureKind::RateLimited) }));
        assert_eq!(retry_in(&script), waits);
    }
}

#[test]
fn success_forgets_earlier_failures() {
    let limits = Limits { max_attempts: 2, ..Limits::default() };
    let mut script = Script::inferring(Spec { limits, ..wait() }, false);
    script.fail(FailureKind::Upstream);
    script.at = script.at.plus_ms(250);
    script.give(begin(false));
    let call = script.show_call(0, "add");
    script.finish(Stop::ToolCalls);
    script.give(Command::ReturnCall { turn: None, result: result_item(&call) });
    script.give(begin(false));
    assert_eq!(names(&script.fail(FailureKind::Upstream)), ["inferred"], "the first failure of the next step");
}

#[test]
fn a_provider_that_breaks_after_each_call_runs_into_the_limit_of_steps() {
    let limits = Limits { max_steps: 3, ..Limits::default() };
    let mut script = Script::asked(Spec { limits, ..wait() });
    for _ in 0..3 {
        script.give(begin(false));
        script.show_call(0, "no such tool");
        assert_eq!(names(&script.fail(FailureKind::Broken)), ["completed", "inferred", "closed"]);
    }
    assert_eq!(names(&script.give(begin(false))), ["ended"]);
}

#[test]
fn an_outcome_that_nothing_waits_for_is_refused() {
    let mut script = Script::inferring(wait(), false);
    let intent = script.intent();
    script.finish(Stop::End);
    assert_eq!(script.refusal(record_of(intent, Err(failure(FailureKind::Broken)))), Refusal::Stale);
    script.at = Timestamp(0);
    script.give(say(crate::event::Delivery::Steer, "more"));
    assert_eq!(script.state.active_at, Timestamp(1_000), "time never goes back in a journal");
}
