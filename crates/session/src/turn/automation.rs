//! An automation is saved, paused, resumed; it fires, and its delivery comes to an end. Occurrences that passed while
//! nobody was there to see them are one; those that passed while it was paused are none.

use mainstay_vocabulary::{Sequence, Timestamp};

use super::draft::Draft;
use crate::{
    automation::{Automation, AutomationDefinition, InvocationOutcome, MAX_PENDING, PauseReason},
    command::Refusal,
    event::{AutomationSaved, Event, InvocationBegun, Kind},
    schedule::Schedule,
};

pub(super) fn save(draft: &mut Draft<'_>, definition: AutomationDefinition) -> Result<(), Refusal> {
    if draft.state.kind != Kind::Automation {
        return Err(Refusal::NotFound);
    }
    let next_at = match &draft.state.automation {
        None => Some(first(&definition.schedule, draft.at)?),
        Some(known) if *known.definition == definition => return Ok(()),
        Some(known) => {
            check_change(known, &definition)?;
            match known.definition.schedule == definition.schedule {
                true => known.next_at,
                false if known.is_paused => first(&definition.schedule, draft.at).map(|_| None)?,
                false => Some(first(&definition.schedule, draft.at)?),
            }
        }
    };
    draft.push(Event::AutomationSaved(Box::new(AutomationSaved { definition, next_at })));
    Ok(())
}

/// What kind of automation it is stays; a single time is changed only before it came.
fn check_change(known: &Automation, to: &AutomationDefinition) -> Result<(), Refusal> {
    let is_once = |schedule: &Schedule| matches!(schedule, Schedule::Once { .. });
    let from = &known.definition;
    if is_once(&from.schedule) != is_once(&to.schedule) {
        return Err(Refusal::Invalid("an automation's type cannot be changed".to_owned()));
    }
    if std::mem::discriminant(&from.target) != std::mem::discriminant(&to.target) {
        return Err(Refusal::Invalid("the type of an automation's target cannot be changed".to_owned()));
    }
    if known.has_occurred && is_once(&to.schedule) && from.schedule != to.schedule {
        return Err(Refusal::Invalid("'run_at' cannot be changed: the automation has run".to_owned()));
    }
    Ok(())
}

/// The first occurrence; a schedule without one is refused.
fn first(schedule: &Schedule, at: Timestamp) -> Result<Timestamp, Refusal> {
    let never = match schedule {
        Schedule::Once { .. } => "'run_at' must be in the future",
        Schedule::Periodic { .. } => "'expression' names no time that ever comes",
    };
    let next = schedule.next_after(at).map_err(Refusal::Invalid)?;
    next.ok_or_else(|| Refusal::Invalid(never.to_owned()))
}

/// One that is paused already stays as it is.
pub(super) fn pause(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let known = find(draft)?;
    if known.is_completed() {
        return Err(Refusal::Invalid("the automation's schedule is completed".to_owned()));
    }
    if !known.is_paused {
        draft.push(Event::AutomationPaused { reason: None });
    }
    Ok(())
}

/// One that is not paused stays as it is.
pub(super) fn resume(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let known = find(draft)?;
    if known.is_paused {
        let next_at = Some(first(&known.definition.schedule, draft.at)?);
        draft.push(Event::AutomationResumed { next_at });
    }
    Ok(())
}

/// Somebody asks for a delivery now; the schedule stays as it is.
pub(super) fn invoke(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let known = find(draft)?;
    if known.pending.len() >= MAX_PENDING {
        return Err(Refusal::TooMany("deliveries under way".into()));
    }
    let begun = InvocationBegun { scheduled_at: None, next_at: known.next_at, skipped: false };
    draft.push(Event::InvocationBegun(begun));
    Ok(())
}

/// Its time has come. While a delivery is under way the occurrence is skipped.
pub(super) fn fire(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let known = find(draft)?;
    let begun = InvocationBegun {
        scheduled_at: known.next_at,
        // It could be read when it was saved.
        next_at: known.definition.schedule.next_after(draft.at).unwrap_or_default(),
        skipped: !known.pending.is_empty(),
    };
    draft.push(Event::InvocationBegun(begun));
    Ok(())
}

pub(super) fn end(draft: &mut Draft<'_>, invocation: Sequence, outcome: InvocationOutcome) -> Result<(), Refusal> {
    let known = find(draft)?;
    if !known.pending.iter().any(|pending| pending.invocation == invocation) {
        return Err(Refusal::Stale);
    }
    let pauses = matches!(outcome, InvocationOutcome::Failed { pauses: true, .. });
    let pauses = pauses && !known.is_paused && !known.is_completed();
    draft.push(Event::InvocationEnded { invocation, outcome });
    if pauses {
        draft.push(Event::AutomationPaused { reason: Some(PauseReason::TargetSessionFailed) });
    }
    Ok(())
}

fn find<'a>(draft: &'a Draft<'_>) -> Result<&'a Automation, Refusal> {
    draft.state.automation.as_deref().ok_or(Refusal::NotFound)
}
