//! A new incarnation takes a session over, in every phase.

use mainstay_vocabulary::{
    Epoch,
    inference::{FailureKind, Stop},
};

use super::script::*;
use crate::{
    Command, Event, Spec,
    event::{Delivery, ErrorCode, InferenceOutcome, TurnStatus},
    spec::{CallMode, Interruption, Limits, Retention},
};

const RECOVER: Command = Command::Recover { epoch: Epoch(2), running: Vec::new() };

fn wait() -> Spec {
    spec(CallMode::Wait, Interruption::Restart)
}

#[test]
fn nothing_is_done_where_no_effect_is_open() {
    let mut between_attempts = Script::inferring(wait(), true);
    between_attempts.show_message(0, "half", false);
    between_attempts.fail(FailureKind::Broken);
    let mut ended = Script::asked(wait());
    ended.answer("well");
    for mut script in [Script::new(wait()), Script::asked(wait()), between_attempts, ended, Script::waiting(2).0] {
        assert_eq!(names(&script.give(RECOVER)), [""; 0]);
    }
}

#[test]
fn an_open_inference_is_booked_by_estimate_and_tried_again_at_once() {
    let limits = Limits { max_attempts: 1, ..Limits::default() };
    let mut script = Script::inferring(Spec { limits, ..wait() }, false);
    for _ in 0..10 {
        let events = script.give(RECOVER);
        assert_eq!(names(&events), ["recovered", "inferred"]);
        let Event::InferenceEnded(ended) = &events[1] else { panic!("{events:?}") };
        assert_eq!((&ended.outcome, ended.retry_at), (&InferenceOutcome::Interrupted, None));
        script.give(begin(false));
    }
    assert_eq!(script.state.usage.input, 100, "ten estimates");
    script.show_message(0, "well", true);
    script.finish(Stop::End);
    assert_eq!(script.last_status(), TurnStatus::Completed, "restarts do not count as failures");
}

#[test]
fn whole_calls_are_handed_out_and_steering_goes_on() {
    let mut script = Script::inferring(wait(), false);
    script.give(say(Delivery::Steer, "quickly"));
    script.show_call(0, "add");
    script.show_half_call(1, "add");
    let events = script.give(RECOVER);
    assert_eq!(names(&events), ["recovered", "completed", "interrupted", "inferred", "opened"]);
}

#[test]
fn what_was_never_at_rest_fails_with_all_that_waits() {
    let receipt_only = Spec { retention: Retention::ReceiptOnly, ..wait() };
    let mut inferring = Script::inferring(receipt_only.clone(), false);
    inferring.show_message(0, "half", false);
    inferring.give(say(Delivery::Queue, "next"));
    let mut waiting = Script::inferring(receipt_only.clone(), false);
    waiting.show_call(0, "add");
    waiting.finish(Stop::ToolCalls);
    let tail = ["ended", "started", "incorporated", "ended"];
    let table = [
        (inferring, [&["recovered", "interrupted", "inferred"][..], &tail].concat()),
        (Script::asked(receipt_only.clone()), vec!["recovered", "ended"]),
        (waiting, vec!["recovered", "closed", "ended"]),
        (Script::new(receipt_only), vec![]),
    ];
    for (mut script, events) in table {
        assert_eq!(names(&script.give(RECOVER)), events);
        assert!(script.state.turn.is_none());
        if !events.is_empty() {
            let TurnStatus::Failed(error) = script.last_status() else { panic!("the turn was to fail") };
            assert_eq!(error.code, ErrorCode::InternalError);
        }
    }
}

#[test]
fn a_change_of_what_may_be_kept_survives_its_own_redaction() {
    let receipt_only = Spec { retention: Retention::ReceiptOnly, instructions: Some("secret".into()), ..wait() };
    let event = Event::SpecChanged(std::sync::Arc::new(receipt_only));
    let Event::SpecChanged(kept) = event.without_content() else { panic!("its place is kept") };
    assert_eq!((kept.retention, kept.instructions.clone()), (Retention::ReceiptOnly, None));
}
