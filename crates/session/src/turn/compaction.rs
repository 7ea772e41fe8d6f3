//! The context is compacted: when, by which inference, and what comes of it.

use mainstay_vocabulary::{
    ItemId,
    inference::{Finished, Stop},
};

use super::{
    accept,
    begin::commit_intent,
    draft::{Draft, End},
    inference::{Cut, cut_off, fatal, retry_at},
    next,
};
use crate::{
    command::{Begin, RecordCompaction, RecordInference, Refusal},
    compaction::{self, Stays},
    event::{
        Delivery, Digest, ErrorCode, Event, InferenceOutcome, Input, LateOutcome, Purpose, Receipt, Replaced, Task,
        TurnOptions, TurnStatus,
    },
    state::{Compacting, State, Turn},
    turn::Wanted,
};

/// What a turn does next, where nothing is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Compact,
    Truncate,
    Answer,
}

pub(super) fn step(state: &State, turn: &Turn) -> Step {
    let threshold = state.spec.compaction.and_then(|compaction| compaction.threshold_tokens);
    match turn.compacting {
        _ if turn.task == Task::Compact => Step::Compact,
        // An item that goes on is finished first: a digest between its halves would change what it goes on from.
        _ if turn.continued.is_some() => Step::Answer,
        Compacting::Asked => Step::Compact,
        Compacting::AsNeeded if threshold.is_some_and(|threshold| state.context_tokens >= threshold) => Step::Compact,
        Compacting::Truncate => Step::Truncate,
        Compacting::AsNeeded | Compacting::Tried => Step::Answer,
    }
}

/// A client asks for a compaction.
pub(super) fn ask(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let Some(turn) = &draft.state.turn else {
        let options = TurnOptions { task: Task::Compact, ..TurnOptions::default() };
        return accept::take_input(draft, Input { items: Vec::new(), delivery: Delivery::Reject, options });
    };
    if turn.compacting != Compacting::Asked && turn.task != Task::Compact {
        draft.push(Event::CompactionAsked);
    }
    Ok(())
}

/// Commits the intent of a digest's inference.
pub(super) fn begin(draft: &mut Draft<'_>, begin: Begin) -> Result<(), Refusal> {
    let Some(Wanted::Compact { not_before }) = next(&draft.state) else { return Err(Refusal::Stale) };
    if not_before.is_some_and(|at| at > draft.at) {
        return Err(Refusal::Stale);
    }
    commit_intent(draft, begin, Purpose::Compaction, None)
}

/// There is nothing to replace.
pub(super) fn skip(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let Some(Wanted::Compact { .. }) = next(&draft.state) else { return Err(Refusal::Stale) };
    draft.push(Event::CompactionSkipped);
    if is_all(draft) {
        draft.fail_turn(ErrorCode::InvalidRequest, "there is nothing to compact");
    }
    Ok(())
}

/// Whether the turn is there for the compaction alone.
fn is_all(draft: &Draft<'_>) -> bool {
    draft.state.turn.as_ref().is_some_and(|turn| turn.task == Task::Compact)
}

pub(super) fn truncate(draft: &mut Draft<'_>, stays: Option<Stays>) -> Result<(), Refusal> {
    let Some(Wanted::Truncate) = next(&draft.state) else { return Err(Refusal::Stale) };
    match stays {
        Some(stays) => replace(draft, None, stays),
        None => draft.fail_turn(ErrorCode::ContextLengthExceeded, "the newest items alone do not fit the model"),
    }
    Ok(())
}

/// A digest's inference came to its end.
pub(super) fn record(draft: &mut Draft<'_>, record: RecordCompaction) -> Result<(), Refusal> {
    let RecordCompaction { record: RecordInference { intent, result, receipt }, stays } = record;
    let open = draft.state.turn.as_ref().and_then(|turn| turn.inference.as_ref()).map(|open| open.intent);
    if open != Some(intent) {
        let cancelled = draft.state.cancelled.inference.as_ref().is_some_and(|(known, _)| *known == intent);
        if !cancelled {
            return Err(Refusal::Stale);
        }
        draft.push(Event::OutcomeAfterCancel(LateOutcome::Inference { intent, receipt }));
        return Ok(());
    }
    match result {
        Ok(finished) => finish(draft, &finished, (receipt, stays)),
        Err(failure) => cut_off(draft, Cut { outcome: InferenceOutcome::Failed(failure), receipt: Some(receipt) }),
    }
    Ok(())
}

fn finish(draft: &mut Draft<'_>, finished: &Finished, (receipt, stays): (Receipt, Stays)) {
    let Some(intent) = draft.state.turn.as_ref().and_then(|turn| turn.inference.as_ref()).map(|open| open.intent)
    else {
        return;
    };
    let text = compaction::digest_of(draft.shown).filter(|_| finished.stop != Stop::ContentFilter);
    let outcome = InferenceOutcome::Finished(finished.stop.clone());
    draft.close_inference(End { receipt: Some(receipt), kept: text.is_some(), ..End::kept(outcome) });
    let is_all = is_all(draft);
    match text {
        Some(text) => {
            let id = ItemId { session: draft.state.session, sequence: intent, ordinal: 0 };
            replace(draft, Some(Digest { id, text }), stays);
            if is_all {
                draft.end_turn(TurnStatus::Completed);
            }
        }
        None if is_all => draft.fail_turn(ErrorCode::ServerError, "the model wrote no digest"),
        None => {}
    }
}

fn replace(draft: &mut Draft<'_>, digest: Option<Digest>, stays: Stays) {
    let place = draft.state.sequence.next();
    let from = draft.state.queue.iter().map(|queued| queued.input).min().unwrap_or(place);
    let after: Vec<_> = stays.after.iter().map(|kept| (kept.id, kept.item.clone())).collect();
    // A call whose result was hidden has had its answer: nobody owes it another.
    let mut unanswered = compaction::open_calls(&after);
    unanswered.retain(|call| draft.state.unanswered.contains(call));
    let previous = draft.state.context_base;
    draft.push(Event::ContextReplaced(Box::new(Replaced { digest, stays, unanswered, from, previous })));
}

/// A digest's inference was cut off. The turn goes on without the digest, unless it is there for nothing else.
pub(super) fn give_in(draft: &mut Draft<'_>, turn: &Turn, cut: Cut) {
    let end = End { receipt: cut.receipt, kept: false, ..End::kept(cut.outcome.clone()) };
    match fatal(draft, turn, &cut.outcome) {
        Some((code, message)) if turn.task == Task::Compact => {
            draft.close_inference(end);
            draft.fail_turn(code, message);
        }
        _ => {
            let retry_at = retry_at(draft.at, turn, &cut.outcome);
            draft.close_inference(End { retry_at, ..end });
        }
    }
}
