//! A turn is cancelled, or has run out of time. The first committed end wins.

use mainstay_vocabulary::{CallId, TurnId};

use super::{
    automation, deadline,
    draft::{Draft, End},
    effect,
};
use crate::{
    command::Refusal,
    event::{ErrorCode, Event, InferenceOutcome, Task, TurnStatus},
    state::Turn,
};

pub(super) fn cancel(draft: &mut Draft<'_>, turn: Option<TurnId>) -> Result<(), Refusal> {
    let running = draft.state.turn.as_ref().map(|running| draft.state.turn_id(running.id));
    match (turn, running) {
        (None, None) => return Err(Refusal::NothingToCancel),
        (Some(named), _) if named.session != draft.state.session || named.sequence > draft.state.sequence => {
            return Err(Refusal::TurnNotFound);
        }
        // A turn that is over stays as it is.
        (Some(named), running) if Some(named) != running => return Ok(()),
        (_, Some(_)) => {}
        (Some(_), None) => return Ok(()),
    }
    stop(draft, InferenceOutcome::Cancelled);
    draft.end_turn(TurnStatus::Cancelled);
    Ok(())
}

pub(super) fn check_deadline(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if deadline(&draft.state).is_none_or(|at| at > draft.at) {
        return Ok(());
    }
    if draft.state.file.is_some() {
        draft.push(Event::SessionDeleted);
        return Ok(());
    }
    if draft.state.automation.is_some() {
        return automation::fire(draft);
    }
    effect::expire(draft);
    let is_over = |turn: &Turn| turn.waiting_since.is_none() && turn.deadline <= draft.at;
    if !draft.state.turn.as_ref().is_some_and(is_over) {
        return Ok(());
    }
    let message = "the turn ran out of time".to_owned();
    stop(draft, InferenceOutcome::Cancelled);
    draft.fail_turn(ErrorCode::RequestTimeout, message);
    Ok(())
}

/// Cancels the running turn to make room for an input that goes before all that wait.
pub(super) fn interrupt(draft: &mut Draft<'_>) {
    stop(draft, InferenceOutcome::Cancelled);
    draft.close_turn(TurnStatus::Cancelled);
}

/// Closes whatever is open in the running turn. Inputs that were to steer it stay in the context.
pub(super) fn stop(draft: &mut Draft<'_>, outcome: InferenceOutcome) {
    let mut calls: Vec<CallId> = draft.state.calls.iter().map(|call| call.call_id.clone()).collect();
    let is_inferring = draft.state.turn.as_ref().is_some_and(|turn| turn.inference.is_some());
    if is_inferring {
        calls.extend(draft.asked().map(|piece| piece.id.into()));
        draft.close_inference(End::kept(outcome));
    }
    draft.close_continued();
    draft.cancel_calls(calls);
    effect::stop(draft);
    let inputs = draft.steering();
    let is_answer = draft.state.turn.as_ref().is_some_and(|turn| turn.task == Task::Answer);
    if is_answer && !inputs.is_empty() {
        draft.push(Event::InputIncorporated { inputs });
    }
}
