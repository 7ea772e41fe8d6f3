//! Edits outside of turns, several commands as one, and the end of a session.

use std::sync::Arc;

use mainstay_vocabulary::{ItemId, Object, Sequence, SessionId, TurnId, inference::Stop};

use super::script::*;
use crate::{
    Command, Refusal, Spec,
    event::Delivery,
    spec::{CallMode, Interruption},
    turn::MAX_COMMANDS,
};

fn wait() -> Spec {
    spec(CallMode::Wait, Interruption::Restart)
}

fn agreed() -> Spec {
    spec(CallMode::Yield, Interruption::End)
}

fn metadata(value: &str) -> Command {
    Command::ChangeMetadata(Object::from_iter([("k".to_owned(), value.into())]))
}

#[test]
fn metadata_changes_at_any_time_and_only_if_it_is_other() {
    let mut script = Script::inferring(wait(), false);
    assert_eq!(names(&script.give(metadata("a"))), ["metadata"]);
    assert_eq!(names(&script.give(metadata("a"))), [""; 0]);
    assert_eq!(names(&script.give(metadata("b"))), ["metadata"]);
    script.show_message(0, "well", true);
    script.finish(Stop::End);
}

#[test]
fn the_wires_parameters_change_at_any_time_and_only_if_they_are_other() {
    let echo = |value: &str| Command::ChangeEcho(Object::from_iter([("title".to_owned(), value.into())]));
    let mut script = Script::inferring(wait(), false);
    assert_eq!(names(&script.give(echo("a"))), ["echo"]);
    assert_eq!(names(&script.give(echo("a"))), [""; 0]);
    assert_eq!(names(&script.give(Command::ChangeEcho(Object::new()))), ["echo"]);
    assert!(script.state.echo.is_empty());
}

#[test]
fn a_spec_changes_only_between_turns_and_only_if_it_is_other() {
    let other = Arc::new(Spec { model: "other".to_owned(), ..wait() });
    let mut script = Script::asked(wait());
    assert_eq!(script.refusal(Command::ChangeSpec(Arc::clone(&other))), Refusal::Busy);
    script.answer("well");
    assert_eq!(names(&script.give(Command::ChangeSpec(Arc::clone(&other)))), ["spec"]);
    assert_eq!(names(&script.give(Command::ChangeSpec(Arc::clone(&other)))), [""; 0]);
    assert_eq!((&script.state.spec, script.state.context_epoch), (&other, script.state.sequence));
}

#[test]
fn an_archived_session_takes_nothing_but_its_end() {
    let mut script = Script::asked(wait());
    assert_eq!(script.refusal(Command::Archive), Refusal::Busy);
    script.answer("well");
    assert_eq!(names(&script.give(Command::Archive)), ["archived"]);
    assert_eq!(script.state.archived_at, Some(script.at));
    assert_eq!(names(&script.give(Command::Archive)), [""; 0]);
    let say = || accept(Delivery::Steer, vec![message("hm")]);
    for command in [
        say(),
        metadata("a"),
        Command::ChangeEcho(Object::new()),
        Command::ChangeSpec(Arc::new(wait())),
        Command::AddItems(vec![message("hm")]),
        Command::Cancel { turn: None },
        Command::All(vec![say(), Command::Delete]),
    ] {
        assert_eq!(script.refusal(command), Refusal::Archived);
    }
    assert_eq!(names(&script.give(Command::Delete)), ["deleted"]);
}

#[test]
fn items_are_neither_added_nor_hidden_while_a_turn_runs() {
    for script in [Script::asked(wait()), Script::inferring(wait(), false), Script::waiting(1).0] {
        let item = script.context.items[0].0;
        assert_eq!(script.refusal(Command::AddItems(vec![message("aside")])), Refusal::Busy);
        assert_eq!(script.refusal(Command::HideItem(item)), Refusal::Busy);
        let running = script.state.turn_id(script.state.turn.as_ref().unwrap().id);
        assert_eq!(script.refusal(Command::HideTurn(running)), Refusal::Busy);
    }
}

#[test]
fn adding_nothing_changes_nothing() {
    let mut script = Script::asked(wait());
    script.answer("well");
    assert_eq!(names(&script.give(Command::AddItems(Vec::new()))), [""; 0]);
    assert!(script.state.last_turn.as_ref().is_some_and(|last| last.is_head));
}

#[test]
fn a_hidden_item_is_gone_and_starts_a_context_epoch() {
    let mut script = Script::asked(wait());
    script.answer("well");
    let item = script.context.items[0].0;
    assert_eq!(names(&script.give(Command::HideItem(item))), ["hidden"]);
    assert_eq!(script.state.context_epoch, script.state.sequence);
    script.give(say(Delivery::Steer, "more"));
    script.answer("again");
    assert_eq!(script.told(), ["agent well", "user more", "agent again"]);
    let elsewhere = ItemId { session: SessionId::from_bytes([1; 18]), ..item };
    let later = ItemId { sequence: Sequence(99), ..item };
    for item in [elsewhere, later] {
        assert_eq!(script.refusal(Command::HideItem(item)), Refusal::ItemNotFound);
    }
}

#[test]
fn a_hidden_call_or_result_takes_the_other_half_out_of_the_prompt() {
    for half in [1, 2] {
        let (mut script, calls) = Script::waiting(1);
        script.give(Command::ReturnCall { turn: None, result: result_item(&calls[0]) });
        script.answer("4");
        let item = script.context.items[half].0;
        script.give(Command::HideItem(item));
        script.give(say(Delivery::Steer, "more"));
        script.answer("well");
        assert_eq!(script.told(), ["user hello", "agent 4", "user more", "agent well"]);
        assert_eq!(script.context.items.len(), 5, "only one item is hidden");
    }
}

#[test]
fn a_hidden_call_needs_no_answer() {
    let mut script = Script::inferring(agreed(), false);
    script.show_call(0, "add");
    script.finish(Stop::ToolCalls);
    let call = script.context.items[1].0;
    script.give(Command::HideItem(call));
    script.give(say(Delivery::Reject, "never mind"));
    script.answer("well");
}

#[test]
fn added_calls_must_be_answered_by_the_next_input() {
    let mut script = Script::new(agreed());
    let call = mainstay_vocabulary::CallId("c".to_owned());
    script.give(Command::AddItems(vec![message("hi"), call_item("c")]));
    assert_eq!(script.refusal(say(Delivery::Reject, "more")), Refusal::CallsUnanswered(vec![call.clone()]));
    script.give(Command::AddItems(vec![result_item(&call)]));
    script.give(say(Delivery::Reject, "more"));
    script.answer("well");
}

#[test]
fn a_hidden_turn_keeps_its_items_in_the_context() {
    let mut script = Script::asked(wait());
    script.answer("well");
    let turn = script.last_turn();
    assert_eq!(names(&script.give(Command::HideTurn(turn))), ["turn hidden"]);
    assert_eq!(script.told(), ["user hello", "agent well"]);
    assert!(script.state.last_turn.as_ref().is_some_and(|last| last.is_head));
    let elsewhere = TurnId { session: SessionId::from_bytes([1; 18]), ..turn };
    let later = TurnId { sequence: Sequence(99), ..turn };
    for turn in [elsewhere, later] {
        assert_eq!(script.refusal(Command::HideTurn(turn)), Refusal::TurnNotFound);
    }
}

#[test]
fn a_deleted_session_is_gone_with_all_that_ran_and_waited() {
    let mut script = Script::inferring(wait(), false);
    script.show_call(0, "add");
    for text in ["first", "second"] {
        script.give(say(Delivery::Queue, text));
    }
    let events = script.give(Command::Delete);
    let turn = ["started", "incorporated", "ended"];
    let all = [&["completed", "inferred", "closed", "ended"][..], &turn, &turn, &["deleted"]].concat();
    assert_eq!(names(&events), all);
    for command in [
        say(Delivery::Steer, "hello"),
        Command::Delete,
        create(wait()),
        Command::Recover { epoch: mainstay_vocabulary::Epoch(3), running: Vec::new() },
    ] {
        assert_eq!(script.refusal(command), Refusal::NotFound);
    }
}

#[test]
fn several_commands_are_taken_all_or_none() {
    let mut script = Script::inferring(wait(), false);
    let running = script.state.turn_id(script.state.turn.as_ref().unwrap().id);
    let hidden = Command::All(vec![Command::Cancel { turn: Some(running) }, Command::HideTurn(running)]);
    let refused = Command::All(vec![metadata("a"), Command::HideTurn(running)]);
    assert_eq!(script.refusal(refused), Refusal::Busy);
    assert!(script.state.metadata.is_empty());
    assert_eq!(names(&script.give(hidden)), ["inferred", "ended", "turn hidden"]);
    let too_many = Command::All(vec![Command::CheckDeadline; MAX_COMMANDS + 1]);
    assert_eq!(script.refusal(too_many), Refusal::TooMany("commands in one request".into()));
    let nested = Command::All(vec![Command::All(Vec::new())]);
    assert!(matches!(script.refusal(nested), Refusal::Invalid(_)));
}

#[test]
fn cancelling_twice_in_one_request_closes_each_call_once() {
    let mut script = Script::inferring(wait(), false);
    script.show_call(0, "add");
    script.give(say(Delivery::Queue, "next"));
    let cancel = Command::Cancel { turn: None };
    let events = script.give(Command::All(vec![cancel.clone(), cancel]));
    let closed = names(&events).into_iter().filter(|name| *name == "closed").count();
    assert_eq!(closed, 1);
}

#[test]
fn without_content_nothing_that_was_said_is_at_rest() {
    let secret = "xyzzy";
    let told = Spec { instructions: Some(secret.into()), ..wait() };
    let mut script = Script::asked(told);
    script.give(Command::Cancel { turn: None });
    script.give(accept(Delivery::Steer, vec![message(secret)]));
    script.give(begin(false));
    script.show_message(0, secret, true);
    let call = script.show_call(1, "add");
    script.finish(Stop::ToolCalls);
    script.give(metadata(secret));
    script.give(Command::ReturnCall { turn: None, result: result_item(&call) });
    script.give(begin(false));
    let quoting = mainstay_vocabulary::inference::Failure {
        message: secret.to_owned(),
        ..failure(mainstay_vocabulary::inference::FailureKind::InvalidRequest)
    };
    script.record(Err(quoting));
    let other = Spec { instructions: Some(Arc::from(secret)), ..agreed() };
    let input = input(Delivery::Steer, vec![message(secret)]);
    let accept = crate::command::Accept { input, spec: Some(Arc::new(other)), head: None, answers: Vec::new() };
    script.give(Command::Accept(Box::new(accept)));
    let (whole, redacted): (Vec<_>, Vec<_>) = script
        .journal
        .iter()
        .map(|recorded| {
            let json = |event: &crate::Event| serde_json::to_string(event).unwrap();
            (json(&recorded.event), json(&recorded.event.without_content()))
        })
        .unzip();
    assert!(whole.iter().filter(|json| json.contains(secret)).count() > 6);
    assert!(redacted.iter().all(|json| !json.contains(secret)), "{redacted:?}");
}
