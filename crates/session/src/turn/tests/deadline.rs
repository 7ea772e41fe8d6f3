//! A turn's time runs out, unless it waits for the client.

use mainstay_vocabulary::Timestamp;

use super::script::*;
use crate::{
    Command, Spec,
    event::{Delivery, ErrorCode, TurnStatus},
    spec::{CallMode, Interruption, Limits},
    turn::deadline,
};

const WALL_MS: u64 = 5_000;

fn short() -> Spec {
    let limits = Limits { wall_ms: WALL_MS, ..Limits::default() };
    Spec { limits, ..spec(CallMode::Wait, Interruption::Restart) }
}

#[test]
fn a_turn_fails_at_its_deadline_and_not_before() {
    let mut script = Script::inferring(short(), false);
    script.give(say(Delivery::Queue, "next"));
    script.show_message(0, "half", false);
    script.at = Timestamp(1_000 + WALL_MS - 1);
    assert_eq!(names(&script.give(Command::CheckDeadline)), [""; 0]);
    script.at = Timestamp(1_000 + WALL_MS);
    let events = script.give(Command::CheckDeadline);
    assert_eq!(names(&events), ["interrupted", "inferred", "ended", "started", "incorporated"]);
    let TurnStatus::Failed(error) = script.last_status() else { panic!("the turn was to fail") };
    assert_eq!(error.code, ErrorCode::RequestTimeout);
    assert_eq!(deadline(&script.state), Some(Timestamp(1_000 + 2 * WALL_MS)));
}

#[test]
fn an_idle_session_has_none() {
    let mut script = Script::new(short());
    script.at = Timestamp(u64::MAX);
    assert_eq!(names(&script.give(Command::CheckDeadline)), [""; 0]);
    script.give(say(Delivery::Steer, "hello"));
    assert_eq!(deadline(&script.state), Some(Timestamp(u64::MAX)), "no overflow");
}

#[test]
fn waiting_for_the_client_does_not_count() {
    let mut script = Script::inferring(short(), false);
    let calls = [script.show_call(0, "add"), script.show_call(1, "add")];
    script.at = Timestamp(2_000);
    let decided =
        script.decide(record_of(script.intent(), Err(failure(mainstay_vocabulary::inference::FailureKind::Broken))));
    assert_eq!(decided.unwrap().deadline, Some(None), "the timer is cleared");
    script.finish(mainstay_vocabulary::inference::Stop::ToolCalls);
    assert_eq!(deadline(&script.state), None);
    let month_ms = 30 * 24 * 3_600_000;
    script.at = Timestamp(2_000 + month_ms);
    assert_eq!(names(&script.give(Command::CheckDeadline)), [""; 0]);
    for call in &calls {
        script.give(Command::ReturnCall { turn: None, result: result_item(call) });
    }
    assert_eq!(deadline(&script.state), Some(Timestamp(1_000 + WALL_MS + month_ms)));
    script.at = Timestamp(1_000 + WALL_MS + month_ms);
    assert_eq!(names(&script.give(Command::CheckDeadline)), ["ended"]);
}
