//! A new incarnation takes a session over.

use mainstay_vocabulary::{Epoch, Sequence};

use super::{
    cancel,
    draft::Draft,
    effect, gateway,
    inference::{Cut, cut_off},
};
use crate::{
    command::Refusal,
    event::{ErrorCode, Event, InferenceOutcome},
    spec::Retention,
};

/// An inference that an earlier incarnation began was cut off with it: what frames hold of it stays said. Calls that
/// wait for the client go on waiting; they are not handed out as new. Calls that were under way here are made again
/// or become unknown.
pub(super) fn recover(draft: &mut Draft<'_>, epoch: Epoch, running: &[Sequence]) -> Result<(), Refusal> {
    gateway::close_older(draft, epoch);
    effect::recover(draft, epoch, running);
    let Some(turn) = &draft.state.turn else { return Ok(()) };
    let is_lost = draft.state.spec.retention == Retention::ReceiptOnly;
    if turn.inference.is_some() || is_lost {
        draft.push(Event::Recovered { epoch });
    }
    if is_lost {
        // Inputs that waited are as lost as the turn that ran.
        while draft.state.turn.is_some() {
            cancel::stop(draft, InferenceOutcome::Interrupted);
            draft.fail_turn(ErrorCode::InternalError, "the server was restarted; nothing of this request was kept");
        }
    } else if draft.state.turn.as_ref().is_some_and(|turn| turn.inference.is_some()) {
        cut_off(draft, Cut { outcome: InferenceOutcome::Interrupted, receipt: None });
    }
    Ok(())
}
