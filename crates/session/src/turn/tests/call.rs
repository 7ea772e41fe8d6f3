//! Results of calls that a turn waits for.

use mainstay_vocabulary::{CallId, Sequence, inference::Stop};

use super::script::*;
use crate::{
    Command, Refusal,
    event::Delivery,
    spec::{CallMode, Interruption},
    state::Phase,
};

fn give_back(call: &CallId) -> Command {
    Command::ReturnCall { turn: None, result: result_item(call) }
}

#[test]
fn the_turn_goes_on_when_every_call_is_answered() {
    let (mut script, calls) = Script::waiting(2);
    assert_eq!(script.state.phase(), Phase::WaitingForClient);
    assert_eq!(names(&script.give(give_back(&calls[1]))), ["closed"]);
    assert_eq!(script.state.phase(), Phase::WaitingForClient);
    assert_eq!(script.refusal(give_back(&calls[1])), Refusal::CallNotOpen(calls[1].clone()));
    script.give(give_back(&calls[0]));
    assert_eq!(script.state.phase(), Phase::Inferring);
    assert_eq!(script.told(), ["user hello", "call", "call", "result", "result"]);
    script.answer("4");
}

#[test]
fn only_a_result_of_an_open_call_of_the_named_turn_is_taken() {
    let (mut script, calls) = Script::waiting(1);
    let unknown = CallId("call_x".to_owned());
    assert_eq!(script.refusal(give_back(&unknown)), Refusal::CallNotOpen(unknown));
    let not_a_result = Command::ReturnCall { turn: None, result: message("4") };
    assert!(matches!(script.refusal(not_a_result), Refusal::Invalid(_)));
    let of =
        |sequence| Command::ReturnCall { turn: Some(script.state.turn_id(sequence)), result: result_item(&calls[0]) };
    let running = script.state.turn.as_ref().unwrap().id;
    assert_eq!(script.refusal(of(Sequence(1))), Refusal::CallOfAnotherTurn(calls[0].clone()));
    let right = of(running);
    script.give(right);
}

#[test]
fn where_turns_yield_results_come_as_input() {
    let mut script = Script::inferring(spec(CallMode::Yield, Interruption::End), false);
    let call = script.show_call(0, "add");
    script.finish(Stop::ToolCalls);
    assert_eq!(script.refusal(give_back(&call)), Refusal::CallNotOpen(call.clone()));
    script.give(accept(Delivery::Reject, vec![result_item(&call)]));
    script.answer("4");
}

#[test]
fn an_unknown_function_is_refused_to_the_model_and_the_turn_goes_on() {
    let mut script = Script::inferring(spec(CallMode::Wait, Interruption::Restart), false);
    script.show_call(0, "subtract");
    assert_eq!(names(&script.finish(Stop::ToolCalls)), ["completed", "inferred", "closed"]);
    assert_eq!(script.told(), ["user hello", "call", "error"]);
    script.answer("I cannot");
}

#[test]
fn known_and_unknown_functions_side_by_side() {
    let mut script = Script::inferring(spec(CallMode::Wait, Interruption::Restart), false);
    script.show_call(0, "subtract");
    let call = script.show_call(1, "add");
    assert_eq!(names(&script.finish(Stop::ToolCalls)), ["completed", "completed", "inferred", "closed", "opened"]);
    script.give(give_back(&call));
    script.answer("4");
}
