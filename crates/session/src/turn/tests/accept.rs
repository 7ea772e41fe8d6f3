//! Inputs: into an idle session, into a busy one, and what becomes of them.

use std::sync::Arc;

use mainstay_vocabulary::{CallId, Sequence, TurnId, inference::Stop};

use super::script::*;
use crate::{
    Command, Event, Refusal, Spec,
    command::Accept,
    event::{Delivery, TurnStatus},
    spec::{CallMode, Interruption},
    turn::{MAX_ITEMS, MAX_QUEUE, Wanted},
};

fn wait() -> Spec {
    spec(CallMode::Wait, Interruption::Restart)
}

fn agreed() -> Spec {
    spec(CallMode::Yield, Interruption::End)
}

fn with_spec(delivery: Delivery, spec: Spec) -> Command {
    let input = input(delivery, vec![message("more")]);
    Command::Accept(Box::new(Accept { input, spec: Some(Arc::new(spec)), head: None, answers: Vec::new() }))
}

fn at_head(head: TurnId) -> Command {
    let input = input(Delivery::Reject, vec![message("more")]);
    Command::Accept(Box::new(Accept { input, spec: None, head: Some(head), answers: Vec::new() }))
}

#[test]
fn any_delivery_starts_a_turn_while_idle() {
    for delivery in [Delivery::Steer, Delivery::Queue, Delivery::Interrupt, Delivery::Reject] {
        let mut script = Script::new(wait());
        assert_eq!(names(&script.give(say(delivery, "hi"))), ["accepted", "started", "incorporated"]);
        assert_eq!(script.told(), ["user hi"]);
    }
}

#[test]
fn each_delivery_does_as_it_says_while_busy() {
    let cancels = ["inferred", "ended", "accepted", "started", "incorporated"];
    let table: [(Delivery, &[&str]); 3] =
        [(Delivery::Steer, &["accepted"]), (Delivery::Queue, &["accepted"]), (Delivery::Interrupt, &cancels)];
    for (delivery, events) in table {
        let mut script = Script::inferring(wait(), false);
        assert_eq!(names(&script.give(say(delivery, "more"))), events, "{delivery:?}");
    }
    let script = Script::inferring(wait(), false);
    assert_eq!(script.refusal(say(Delivery::Reject, "more")), Refusal::Busy);
}

#[test]
fn a_steering_input_is_incorporated_at_the_step_boundary() {
    let mut script = Script::inferring(wait(), false);
    script.give(say(Delivery::Steer, "and quickly"));
    assert_eq!(script.refusal(Command::Incorporate), Refusal::Stale);
    script.show_message(0, "well", true);
    assert_eq!(names(&script.finish(Stop::End)), ["completed", "inferred"], "the turn goes on");
    assert_eq!(script.wanted(), Some(Wanted::Incorporate));
    assert_eq!(script.refusal(begin(false)), Refusal::Stale);
    assert_eq!(names(&script.give(Command::Incorporate)), ["incorporated"]);
    assert_eq!(script.told(), ["user hello", "agent well", "user and quickly"]);
    assert_eq!(names(&script.answer("done")), ["completed", "inferred", "ended"]);
}

#[test]
fn a_steering_input_never_stands_between_a_call_and_its_result() {
    let (mut script, calls) = Script::waiting(2);
    script.give(say(Delivery::Steer, "and quickly"));
    for call in &calls {
        assert_eq!(script.wanted(), None);
        assert_eq!(script.refusal(Command::Incorporate), Refusal::Stale);
        script.give(Command::ReturnCall { turn: None, result: result_item(call) });
    }
    script.give(Command::Incorporate);
    assert_eq!(script.told(), ["user hello", "call", "call", "result", "result", "user and quickly"]);
    script.answer("done");
}

#[test]
fn a_queued_input_has_a_turn_of_its_own() {
    let mut script = Script::inferring(wait(), false);
    script.give(say(Delivery::Queue, "first"));
    script.give(say(Delivery::Queue, "second"));
    script.show_message(0, "well", true);
    let events = script.finish(Stop::End);
    assert_eq!(names(&events), ["completed", "inferred", "ended", "started", "incorporated"]);
    assert_eq!(names(&script.answer("first done")), ["completed", "inferred", "ended", "started", "incorporated"]);
    script.answer("second done");
    let told = ["user hello", "agent well", "user first", "agent first done", "user second", "agent second done"];
    assert_eq!(script.told(), told);
}

#[test]
fn an_interrupting_input_goes_before_all_that_wait() {
    let mut script = Script::inferring(wait(), false);
    script.give(say(Delivery::Queue, "later"));
    script.show_message(0, "half", false);
    let events = script.give(say(Delivery::Interrupt, "now"));
    assert_eq!(names(&events), ["interrupted", "inferred", "ended", "accepted", "started", "incorporated"]);
    assert_eq!(script.last_status(), TurnStatus::Cancelled);
    script.answer("yes");
    assert_eq!(script.told(), ["user hello", "agent half", "user now", "agent yes", "user later"]);
    script.answer("and this");
}

#[test]
fn an_interrupting_input_may_bring_another_spec() {
    let mut script = Script::inferring(wait(), false);
    let events = script.give(with_spec(Delivery::Interrupt, agreed()));
    assert_eq!(names(&events), ["inferred", "ended", "spec", "accepted", "started", "incorporated"]);
}

#[test]
fn calls_of_a_turn_that_yields_are_closed_before_a_queued_input_starts() {
    let mut script = Script::inferring(agreed(), false);
    script.give(say(Delivery::Queue, "next"));
    script.show_call(0, "add");
    let events = script.finish(Stop::ToolCalls);
    assert_eq!(names(&events), ["completed", "inferred", "ended", "closed", "started", "incorporated"]);
    assert_eq!(script.told(), ["user hello", "call", "error", "user next"]);
    script.answer("well");
}

#[test]
fn another_spec_starts_a_context_epoch_and_the_same_does_not() {
    let mut script = Script::new(wait());
    assert_eq!(names(&script.give(with_spec(Delivery::Steer, wait()))), ["accepted", "started", "incorporated"]);
    assert_eq!(script.state.context_epoch, Sequence(1));
    assert_eq!(script.refusal(with_spec(Delivery::Queue, agreed())), Refusal::Busy);
    script.answer("well");
    let events = script.give(with_spec(Delivery::Queue, agreed()));
    assert_eq!(names(&events), ["spec", "accepted", "started", "incorporated"]);
    assert_eq!(script.state.context_epoch, script.state.spec_at);
    assert!(matches!(&events[2], Event::TurnStarted(started) if started.spec_at == script.state.spec_at));
}

#[test]
fn only_the_idle_head_can_be_gone_on_from() {
    let mut script = Script::asked(wait());
    let running = script.state.turn_id(script.state.turn.as_ref().unwrap().id);
    assert_eq!(script.refusal(at_head(running)), Refusal::NotHead);
    script.answer("well");
    let first = script.last_turn();
    assert_eq!(first, running);
    let elsewhere = TurnId { session: mainstay_vocabulary::SessionId::from_bytes([8; 18]), ..first };
    assert_eq!(script.refusal(at_head(elsewhere)), Refusal::NotHead);
    script.give(at_head(first));
    script.answer("again");
    assert_eq!(script.refusal(at_head(first)), Refusal::NotHead);
    let second = script.last_turn();
    script.give(Command::AddItems(vec![message("aside")]));
    assert_eq!(script.refusal(at_head(second)), Refusal::NotHead);
}

#[test]
fn results_must_answer_exactly_the_open_calls() {
    let mut script = Script::inferring(agreed(), false);
    let call = script.show_call(0, "add");
    assert_eq!(names(&script.finish(Stop::ToolCalls)), ["completed", "inferred", "ended"]);
    let with = |items| accept(Delivery::Reject, items);
    let unknown = CallId("unknown".to_owned());
    let result = || result_item(&call);
    assert_eq!(script.refusal(with(vec![message("hi")])), Refusal::CallsUnanswered(vec![call.clone()]));
    assert_eq!(script.refusal(with(vec![result(), result()])), Refusal::CallNotOpen(call.clone()));
    assert_eq!(script.refusal(with(vec![result(), result_item(&unknown)])), Refusal::CallNotOpen(unknown));
    assert_eq!(
        script.refusal(with(vec![result(), call_item("x")])),
        Refusal::CallsUnanswered(vec![CallId("x".to_owned())])
    );
    assert!(matches!(script.refusal(with(vec![call_item("x"), call_item("x")])), Refusal::Invalid(_)));
    let pair = [call_item("x"), result_item(&CallId("x".to_owned()))];
    script.give(with([vec![result()], pair.to_vec(), vec![message("go on")]].concat()));
    assert_eq!(script.told(), ["user hello", "call", "result", "call", "result", "user go on"]);
    script.answer("4");
}

#[test]
fn a_running_turn_takes_no_calls_or_results_and_the_queue_is_bounded() {
    let mut script = Script::inferring(wait(), false);
    for item in [call_item("x"), result_item(&CallId("x".to_owned()))] {
        assert!(matches!(script.refusal(accept(Delivery::Steer, vec![item])), Refusal::Invalid(_)));
    }
    let many = (0..=MAX_ITEMS).map(|_| message("")).collect();
    assert_eq!(script.refusal(accept(Delivery::Queue, many)), Refusal::TooMany("items in one input".into()));
    for _ in 0..MAX_QUEUE {
        script.give(say(Delivery::Queue, "later"));
    }
    assert_eq!(script.refusal(say(Delivery::Queue, "later")), Refusal::TooMany("inputs that wait".into()));
    assert_eq!(script.refusal(say(Delivery::Steer, "now")), Refusal::TooMany("inputs that wait".into()));
}
