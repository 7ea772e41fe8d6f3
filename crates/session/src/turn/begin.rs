//! The runtime is about to make the wanted inference, or cannot.

use mainstay_vocabulary::ItemId;

use super::draft::Draft;
use crate::{
    command::{Begin, Refusal},
    event::{ErrorCode, Event, Intended, Purpose, Shortfall, TurnError},
    spec::Interruption,
    turn::{Wanted, next},
};

/// Waiting inputs become part of the context, at a step boundary.
pub(super) fn incorporate(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if next(&draft.state) != Some(Wanted::Incorporate) {
        return Err(Refusal::Stale);
    }
    let inputs = draft.steering();
    draft.push(Event::InputIncorporated { inputs });
    Ok(())
}

/// Commits the intent; only then is anything sent.
pub(super) fn begin(draft: &mut Draft<'_>, begin: Begin) -> Result<(), Refusal> {
    let Some(Wanted::Infer { not_before }) = next(&draft.state) else { return Err(Refusal::Stale) };
    if not_before.is_some_and(|at| at > draft.at) {
        return Err(Refusal::Stale);
    }
    let Some(turn) = &draft.state.turn else { return Err(Refusal::Stale) };
    let (steps, continued) = (turn.steps, turn.continued.clone());
    let limits = draft.state.spec.limits;
    if steps >= limits.max_steps {
        let message = format!("the turn reached its limit of {} steps", limits.max_steps);
        draft.fail_turn(ErrorCode::UsageLimitExceeded, message);
        return Ok(());
    }
    let continues = continued.filter(|_| begin.route.continues_prefix).map(|continued| continued.id);
    if continues.is_none() && ends_for_want_of_prefix(draft) {
        return Ok(());
    }
    commit_intent(draft, begin, Purpose::Answer, continues)
}

pub(super) fn commit_intent(
    draft: &mut Draft<'_>,
    begin: Begin,
    purpose: Purpose,
    continues: Option<ItemId>,
) -> Result<(), Refusal> {
    let Some(turn) = &draft.state.turn else { return Err(Refusal::Stale) };
    let (attempt, context) = (turn.attempts + 1, draft.state.sequence);
    let Begin { epoch, route, prompt } = begin;
    let intended = Intended { epoch, attempt, route, context, prompt, continues, purpose };
    draft.push(Event::InferenceIntended(intended));
    Ok(())
}

/// An item was to go on, but this route cannot continue it: it is closed, and the wire's policy decides.
fn ends_for_want_of_prefix(draft: &mut Draft<'_>) -> bool {
    let was_to_go_on = draft.state.turn.as_ref().is_some_and(|turn| turn.continued.is_some());
    if !was_to_go_on {
        return false;
    }
    draft.close_continued();
    if draft.state.spec.interruption == Interruption::End {
        draft.cut_turn(Shortfall::Interrupted);
        return true;
    }
    false
}

/// Nothing can serve the inference.
pub(super) fn give_up(draft: &mut Draft<'_>, error: TurnError) -> Result<(), Refusal> {
    match next(&draft.state) {
        Some(Wanted::Infer { .. } | Wanted::Compact { .. }) => {
            draft.fail_turn(error.code, error.message);
            Ok(())
        }
        Some(
            Wanted::Incorporate
            | Wanted::Truncate
            | Wanted::ListTools { .. }
            | Wanted::Call { .. }
            | Wanted::Deliver { .. },
        )
        | None => Err(Refusal::Stale),
    }
}
