//! The intent of an inference.

use mainstay_vocabulary::{
    Sequence, Timestamp,
    inference::{FailureKind, Stop},
};

use super::script::*;
use crate::{
    Command, Event, Refusal, Spec,
    event::{Delivery, ErrorCode, TurnError, TurnStatus},
    spec::{CallMode, Interruption, Limits},
    turn::Wanted,
};

fn wait() -> Spec {
    spec(CallMode::Wait, Interruption::Restart)
}

#[test]
fn only_a_wanted_inference_is_begun() {
    let mut script = Script::new(wait());
    assert_eq!(script.refusal(begin(false)), Refusal::Stale);
    script.give(say(Delivery::Steer, "hello"));
    let events = script.give(begin(false));
    let Event::InferenceIntended(intended) = &events[0] else { panic!("{events:?}") };
    assert_eq!((intended.attempt, intended.context), (1, Sequence(4)));
    assert_eq!(script.refusal(begin(false)), Refusal::Stale);
    assert_eq!(script.wanted(), None);
    let (script, _) = Script::waiting(1);
    assert_eq!(script.refusal(begin(false)), Refusal::Stale);
}

#[test]
fn not_before_its_time() {
    let mut script = Script::inferring(wait(), false);
    script.fail(FailureKind::Upstream);
    let Some(Wanted::Infer { not_before: Some(at) }) = script.wanted() else { panic!("a retry is wanted") };
    script.at = Timestamp(at.0 - 1);
    assert_eq!(script.refusal(begin(false)), Refusal::Stale);
    script.at = at;
    let events = script.give(begin(false));
    assert!(matches!(&events[0], Event::InferenceIntended(intended) if intended.attempt == 2));
}

#[test]
fn a_turn_ends_at_its_limit_of_steps() {
    let limits = Limits { max_steps: 2, ..Limits::default() };
    let mut script = Script::asked(Spec { limits, ..wait() });
    for _ in 0..2 {
        script.give(begin(false));
        let call = script.show_call(0, "add");
        script.finish(Stop::ToolCalls);
        script.give(Command::ReturnCall { turn: None, result: result_item(&call) });
    }
    assert_eq!(names(&script.give(begin(false))), ["ended"]);
    let TurnStatus::Failed(error) = script.last_status() else { panic!("the turn was to fail") };
    assert_eq!(error.code, ErrorCode::UsageLimitExceeded);
}

#[test]
fn what_nothing_serves_is_given_up() {
    let error = TurnError { code: ErrorCode::ResourceNotFound, message: "no deployment".to_owned() };
    let mut script = Script::asked(wait());
    script.give(say(Delivery::Queue, "next"));
    assert_eq!(names(&script.give(Command::GiveUp(error.clone()))), ["ended", "started", "incorporated"]);
    assert_eq!(script.last_status(), TurnStatus::Failed(error.clone()));
    script.give(begin(false));
    assert_eq!(script.refusal(Command::GiveUp(error)), Refusal::Stale);
}
