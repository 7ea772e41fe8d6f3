//! An inference came to its end: well, badly, or cut off.

use mainstay_vocabulary::{
    Object, Timestamp,
    inference::{FailureKind, Finished, Stop, TextFormat},
};

use super::{
    compaction,
    draft::{Draft, End},
};
use crate::{
    assembly::Piece,
    command::{RecordInference, Refusal},
    effect::{MAX_EFFECTS, ServedCall},
    event::{CallOpened, CallOutcome, ErrorCode, Event, InferenceOutcome, LateOutcome, Receipt, Shortfall, TurnStatus},
    spec::{CallMode, Interruption},
    state::{Compacting, Turn, is_too_long},
};

/// First wait before another attempt, milliseconds; doubles with each failure.
const BACKOFF_MS: u64 = 250;
/// Longest wait before another attempt, milliseconds, whatever the provider asks for.
const MAX_BACKOFF_MS: u64 = 60_000;

pub(super) fn record(draft: &mut Draft<'_>, record: RecordInference) -> Result<(), Refusal> {
    let RecordInference { intent, result, receipt } = record;
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
        Ok(finished) => finish(draft, &finished, receipt),
        Err(failure) => cut_off(draft, Cut { outcome: InferenceOutcome::Failed(failure), receipt: Some(receipt) }),
    }
    Ok(())
}

fn finish(draft: &mut Draft<'_>, finished: &Finished, receipt: Receipt) {
    let outcome = InferenceOutcome::Finished(finished.stop.clone());
    draft.close_inference(End { receipt: Some(receipt), ..End::kept(outcome) });
    let shortfall = match finished.stop {
        Stop::End | Stop::ToolCalls | Stop::Sequence(_) | Stop::Pause => None,
        Stop::MaxOutputTokens => Some(Shortfall::MaxOutputTokens),
        Stop::ContentFilter => Some(Shortfall::ContentFilter),
    };
    open_calls(draft, shortfall);
    match shortfall {
        Some(why) => draft.cut_turn(why),
        None => settle(draft),
    }
}

/// Opens the whole calls of the inference: those that the runtime runs, and where the turn waits for them, the client's.
fn open_calls(draft: &mut Draft<'_>, shortfall: Option<Shortfall>) {
    let waits = draft.state.spec.calls == CallMode::Wait;
    for piece in draft.asked().filter(|piece| waits || piece.is_served()) {
        let event = open_call(draft, piece, shortfall);
        draft.push(event);
    }
}

fn open_call(draft: &Draft<'_>, piece: &Piece, shortfall: Option<Shortfall>) -> Event {
    let (call_id, name) = (piece.id.into(), piece.call_name().unwrap_or_default().to_owned());
    let refused = |call_id, why| Event::CallClosed { call_id, outcome: CallOutcome::Refused(why) };
    if shortfall.is_some() {
        return refused(call_id, "The answer was cut off before the call was made.".to_owned());
    }
    let mut served = None;
    if piece.is_served() {
        match serve(draft, &name, &piece.text) {
            Ok(call) => served = Some(Box::new(call)),
            Err(why) => return refused(call_id, why),
        }
    } else if !draft.state.spec.tools.iter().any(|tool| tool.name == name) {
        return refused(call_id, format!("There is no tool named {name:?}."));
    }
    Event::CallOpened(CallOpened { call_id, item: piece.id, name, arguments: piece.text.clone(), served })
}

/// How a call that the runtime runs is run; or what the model is told.
fn serve(draft: &Draft<'_>, name: &str, arguments: &str) -> Result<ServedCall, String> {
    let Some((_, tool)) = draft.state.served(name) else { return Err(format!("There is no tool named {name:?}.")) };
    let Some(by) = draft.state.served_by(name) else { return Err(format!("There is no tool named {name:?}.")) };
    if !arguments.trim().is_empty() && serde_json::from_str::<Object>(arguments).is_err() {
        return Err("The arguments are no JSON object; the call was not made.".to_owned());
    }
    if draft.state.effects.len() >= MAX_EFFECTS {
        return Err(format!("{MAX_EFFECTS} calls of this session have an open fate; the call was not made."));
    }
    Ok(ServedCall { by, class: tool.class, pinned: tool.digest.clone() })
}

/// The agent yields unless calls wait, or were answered here, or an input steers it on.
fn settle(draft: &mut Draft<'_>) {
    let goes_on = match draft.state.spec.calls {
        CallMode::Wait => draft.asked().next().is_some() || !draft.steering().is_empty(),
        CallMode::Yield => {
            let is_told = draft.asked().any(Piece::is_served) && draft.state.unanswered.is_empty();
            is_told || draft.state.awaited().any(|(_, effect)| effect.is_acting())
        }
    };
    if !goes_on {
        draft.end_turn(TurnStatus::Completed);
    }
}

/// How an inference was cut off.
pub(super) struct Cut {
    pub(super) outcome: InferenceOutcome,
    /// `None` books the estimate.
    pub(super) receipt: Option<Receipt>,
}

/// Decides how a turn goes on whose inference was cut off (decision 0003).
pub(super) fn cut_off(draft: &mut Draft<'_>, cut: Cut) {
    let Some(turn) = draft.state.turn.clone() else { return };
    if draft.is_digest() {
        return compaction::give_in(draft, &turn, cut);
    }
    let fatal = fatal(draft, &turn, &cut.outcome).filter(|_| !may_shrink(draft, &turn, &cut.outcome));
    let end = End { receipt: cut.receipt, ..End::kept(cut.outcome.clone()) };
    let retry = |draft: &Draft<'_>| retry_at(draft.at, &turn, &cut.outcome);
    if draft.asked().next().is_some() {
        draft.close_inference(end);
        open_calls(draft, None);
        settle(draft);
    } else if let Some((code, message)) = fatal {
        draft.close_inference(end);
        draft.fail_turn(code, message);
    } else if nothing_said(draft) || can_continue(draft, &turn) {
        let retry_at = retry(draft);
        draft.close_inference(End { kept: false, continues: can_continue(draft, &turn), retry_at, ..end });
    } else if may_restart(draft) {
        let retry_at = retry(draft);
        draft.close_inference(End { kept: false, retry_at, ..end });
    } else {
        draft.close_inference(end);
        draft.cut_turn(Shortfall::Interrupted);
    }
}

/// Whether the prompt did not fit, nobody has seen anything yet, and it can be made shorter.
fn may_shrink(draft: &Draft<'_>, turn: &Turn, outcome: &InferenceOutcome) -> bool {
    let after = turn.compacting.after_overflow(&draft.state.spec);
    draft.shown.is_empty() && is_too_long(outcome) && matches!(after, Compacting::Asked | Compacting::Truncate)
}

/// The error that ends the turn, if no further attempt may be made.
pub(super) fn fatal(draft: &Draft<'_>, turn: &Turn, outcome: &InferenceOutcome) -> Option<(ErrorCode, String)> {
    let InferenceOutcome::Failed(failure) = outcome else { return None };
    let is_last = turn.failures + 1 >= draft.state.spec.limits.max_attempts;
    (!failure.kind.may_retry() || is_last).then(|| (code_of(failure.kind), failure.message.clone()))
}

const fn code_of(kind: FailureKind) -> ErrorCode {
    match kind {
        FailureKind::Connect => ErrorCode::ConnectionFailed,
        FailureKind::Broken | FailureKind::Protocol => ErrorCode::ServerError,
        FailureKind::Timeout => ErrorCode::RequestTimeout,
        FailureKind::RateLimited => ErrorCode::RateLimitExceeded,
        FailureKind::Upstream => ErrorCode::ServerOverloaded,
        FailureKind::Authentication => ErrorCode::AuthenticationError,
        FailureKind::InvalidRequest => ErrorCode::InvalidRequest,
        FailureKind::ContextLength => ErrorCode::ContextLengthExceeded,
        FailureKind::NotFound => ErrorCode::ResourceNotFound,
        FailureKind::Quota => ErrorCode::UsageLimitExceeded,
    }
}

/// Whether no client can have seen anything that another attempt would say differently. Where calls wait for the
/// client they are handed out whole, so half a call was not said.
fn nothing_said(draft: &Draft<'_>) -> bool {
    let waits = draft.state.spec.calls == CallMode::Wait;
    draft.shown.is_empty() || waits && draft.shown.pieces.iter().all(Piece::is_call)
}

/// Whether the item that was cut off can go on: plain text, with nothing but thoughts beside it, and the provider can.
fn can_continue(draft: &Draft<'_>, turn: &Turn) -> bool {
    let (thoughts, said): (Vec<_>, Vec<_>) = draft.shown.pieces.iter().partition(|piece| piece.is_thought());
    let is_text = thoughts.iter().all(|piece| piece.is_done())
        && matches!(said[..], [piece] if piece.is_message() && !piece.is_done());
    let provider_can = turn.inference.as_ref().is_some_and(|open| open.intended.route.continues_prefix);
    is_text && provider_can && draft.state.spec.text == TextFormat::Text
}

fn may_restart(draft: &Draft<'_>) -> bool {
    draft.state.spec.interruption == Interruption::Restart && draft.state.spec.text == TextFormat::Text
}

pub(super) fn retry_at(at: Timestamp, turn: &Turn, outcome: &InferenceOutcome) -> Option<Timestamp> {
    let InferenceOutcome::Failed(failure) = outcome else { return None };
    if !failure.kind.may_retry() {
        return None;
    }
    let doubled = BACKOFF_MS.saturating_mul(1 << turn.failures.min(16));
    Some(at.plus_ms(failure.retry_after_ms.unwrap_or(doubled).min(MAX_BACKOFF_MS)))
}
