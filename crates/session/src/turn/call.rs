//! A client's result for a call.

use std::sync::Arc;

use mainstay_vocabulary::{Item, TurnId};

use super::draft::Draft;
use crate::{
    command::Refusal,
    event::{CallOutcome, Event, LateOutcome},
};

pub(super) fn return_call(draft: &mut Draft<'_>, turn: Option<TurnId>, result: Arc<Item>) -> Result<(), Refusal> {
    let Item::ToolResult { call_id, .. } = &*result else {
        return Err(Refusal::Invalid("the result of a call must be a tool result".to_owned()));
    };
    let call_id = call_id.clone();
    if draft.state.cancelled.calls.contains(&call_id) {
        draft.push(Event::OutcomeAfterCancel(LateOutcome::Call(result)));
        return Ok(());
    }
    let running = draft.state.turn.as_ref().map(|running| draft.state.turn_id(running.id));
    if !draft.state.calls.iter().any(|call| call.call_id == call_id) {
        return Err(Refusal::CallNotOpen(call_id));
    }
    if turn.is_some() && turn != running {
        return Err(Refusal::CallOfAnotherTurn(call_id));
    }
    draft.push(Event::CallClosed { call_id, outcome: CallOutcome::Returned(result) });
    Ok(())
}
