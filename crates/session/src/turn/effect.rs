//! Calls that the runtime runs: listed, judged, intended, brought back, or lost with an honest word about it.

use std::{collections::BTreeSet, sync::Arc};

use mainstay_vocabulary::{
    CallId, Epoch, Item, Sequence, Timestamp,
    tool::{EffectClass, ServedTool, ToolSource, Toolset},
};

use super::{Wanted, draft::Draft, next};
use crate::{
    command::{BeginCall, CallFailed, Listing, RecordCall, Refusal},
    effect::{
        ApprovalAsked, CallIntended, CallLost, CallResolved, Effect, Listed, Lost, MAX_CALL_ATTEMPTS, MAX_RUNNING,
        MAX_TOOLS, Offer, Resolution, Ruling, Stage, Verdict,
    },
    event::{CallOpened, CallOutcome, ErrorCode, Event, LateOutcome, TurnStatus},
    spec::CallMode,
    state::State,
};

/// First wait before another attempt, milliseconds; doubles with each.
const BACKOFF_MS: u64 = 500;
/// Longest name that every provider takes for a tool.
const MAX_NAME: usize = 64;
/// What the model is told where people's answer did not come before the conversation went on.
const UNANSWERED: &str = "Nobody approved the call before the conversation went on; it was not made.";
/// What the model is told of a call whose outcome nobody knows.
pub(super) const UNKNOWN: &str = "The call was sent, and its outcome is unknown: it may have happened or not. Do not \
simply repeat it; find out first, or tell the user.";

/// The call that wants to be made next.
pub(super) fn wanted(state: &State) -> Option<Wanted> {
    if state.deleted || state.running_effects() >= MAX_RUNNING {
        return None;
    }
    let waiting = state.effects.iter().filter_map(|(call, effect)| match effect.stage {
        Stage::Wanted { not_before } => Some((not_before, *call)),
        Stage::Asked(_) | Stage::Running { .. } | Stage::Unknown { .. } => None,
    });
    waiting.min().map(|(not_before, call)| Wanted::Call { call, not_before })
}

/// A toolset was listed, or could not be.
pub(super) fn list(draft: &mut Draft<'_>, toolset: &str, result: Result<Listing, String>) -> Result<(), Refusal> {
    let Some(Wanted::ListTools { toolset: index }) = next(&draft.state) else { return Err(Refusal::Stale) };
    let spec = Arc::clone(&draft.state.spec);
    let Some(wanted) = spec.toolsets.get(index).filter(|wanted| wanted.label == toolset) else {
        return Err(Refusal::Stale);
    };
    let listing = result.and_then(|listing| {
        let names = names_taken(&draft.state);
        pinned(wanted, listing.offers, names).map(|tools| (tools, listing.server))
    });
    let is_mcp = matches!(wanted.source, ToolSource::Mcp { .. });
    let (tools, server, error) = match listing {
        Ok((tools, server)) => (tools.into(), server, None),
        Err(error) => (Arc::from([]), None, Some(error)),
    };
    let listed = Listed { toolset: toolset.to_owned(), is_mcp, tools, server, error };
    let failed = listed.error.clone().filter(|_| wanted.required);
    draft.push(Event::ToolsListed(Box::new(listed)));
    if let Some(error) = failed {
        draft.fail_turn(ErrorCode::ToolsUnavailable, format!("the tools of {toolset:?} could not be listed: {error}"));
    }
    Ok(())
}

fn names_taken(state: &State) -> BTreeSet<String> {
    let functions = state.spec.tools.iter().map(|tool| tool.name.clone());
    let served = state.listed.values().flat_map(|listed| listed.tools.iter()).map(|tool| tool.name.clone());
    functions.chain(served).collect()
}

/// The tools that are offered, each under a name that no other has.
fn pinned(toolset: &Toolset, offers: Vec<Offer>, mut names: BTreeSet<String>) -> Result<Vec<ServedTool>, String> {
    let is_allowed = |offer: &Offer| {
        let is_named = toolset.allowed.as_ref().is_none_or(|allowed| allowed.contains(&offer.tool));
        is_named && (!toolset.only_read_only || offer.hints.read_only == Some(true))
    };
    let offers: Vec<Offer> = offers.into_iter().filter(is_allowed).collect();
    if offers.len() > MAX_TOOLS {
        return Err(format!("it offers {} tools; at most {MAX_TOOLS} may be offered to a model", offers.len()));
    }
    let mut tools: Vec<ServedTool> = Vec::with_capacity(offers.len());
    for offer in offers {
        if tools.iter().any(|tool| tool.tool == offer.tool) {
            return Err(format!("it lists the tool {:?} twice", offer.tool));
        }
        let rule = toolset.rules.get(&offer.tool);
        let class = rule.and_then(|rule| rule.class).or(offer.class).unwrap_or_else(|| offer.hints.class());
        let name = name_for(&toolset.label, &offer.tool, &names);
        names.insert(name.clone());
        let Offer { tool, description, parameters, hints, digest, class: _ } = offer;
        tools.push(ServedTool { name, tool, description, parameters, class, hints, digest });
    }
    Ok(tools)
}

/// A name for the model: the tool's own where it is free, with the toolset's label before it otherwise.
fn name_for(label: &str, tool: &str, taken: &BTreeSet<String>) -> String {
    let plain = |text: &str| -> String {
        let clean = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' });
        clean.take(MAX_NAME).collect()
    };
    let own = plain(tool);
    if !own.is_empty() && !taken.contains(&own) {
        return own;
    }
    let with_label = plain(&format!("{label}__{tool}"));
    let numbered = (2_u32..).map(|number| {
        let number = format!("_{number}");
        let head: String = with_label.chars().take(MAX_NAME - number.len()).collect();
        head + &number
    });
    std::iter::once(with_label.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(with_label)
}

/// The runtime is about to make a call: the policy's answer decides what comes first.
pub(super) fn begin(draft: &mut Draft<'_>, begin: BeginCall) -> Result<(), Refusal> {
    let BeginCall { call, epoch, ruling } = begin;
    let effect = match next(&draft.state) {
        Some(Wanted::Call { call: wanted, not_before })
            if wanted == call && not_before.is_none_or(|at| at <= draft.at) =>
        {
            draft.state.effects.get(&call).cloned()
        }
        _ => None,
    };
    let Some(effect) = effect else { return Err(Refusal::Stale) };
    let is_approved = effect.is_approved(&ruling);
    match ruling.verdict {
        Verdict::Allow => intend(draft, (call, epoch), &ruling, None),
        Verdict::Ask if is_approved => intend(draft, (call, epoch), &ruling, None),
        Verdict::Ask => ask(draft, call, ruling),
        Verdict::Deny if effect.attempts > 0 && effect.served.class != EffectClass::ReadOnly => {
            lose(draft, call, "the policy forbids to make the call again".to_owned());
        }
        Verdict::Deny => close(draft, &effect, CallOutcome::Denied(denied(&ruling))),
    }
    Ok(())
}

/// What the model is told of a call that a policy forbids.
pub(super) fn denied(ruling: &Ruling) -> String {
    let why = if ruling.reasons.is_empty() { "no policy allows it".to_owned() } else { ruling.reasons.join("; ") };
    format!("The call is not allowed: {why}.")
}

/// Commits the intent; only then is anything sent.
pub(super) fn intend(
    draft: &mut Draft<'_>,
    (call, epoch): (Sequence, Epoch),
    ruling: &Ruling,
    arguments: Option<String>,
) {
    let effect = draft.state.effects.get(&call);
    let (attempts, approval) = effect.map_or((0, None), |effect| (effect.attempts, effect.approval()));
    let arguments = arguments.or_else(|| effect.and_then(|effect| effect.edited.clone()));
    let of = opened_before(draft, call);
    draft.push(Event::CallIntended(CallIntended {
        call,
        epoch,
        attempt: attempts.saturating_add(1),
        policy: ruling.version.clone(),
        digest: ruling.digest.clone(),
        arguments,
        approval,
        of,
    }));
}

/// The call, where another turn than the one at hand opened it.
fn opened_before(draft: &Draft<'_>, call: Sequence) -> Option<Box<CallOpened>> {
    let is_of_turn = draft.state.turn.as_ref().is_some_and(|turn| turn.id < call);
    draft.state.effects.get(&call).filter(|_| !is_of_turn).map(|effect| Box::new(effect.call.clone()))
}

pub(super) fn ask(draft: &mut Draft<'_>, call: Sequence, ruling: Ruling) {
    let expires_at = ruling.terms.expires_ms.map(|wait| draft.at.plus_ms(wait));
    let of = opened_before(draft, call);
    draft.push(Event::ApprovalAsked(Box::new(ApprovalAsked { call, ruling, expires_at, of })));
    settle(draft);
}

/// A call came to its end, or to none.
pub(super) fn record(draft: &mut Draft<'_>, record: RecordCall) -> Result<(), Refusal> {
    let RecordCall { call, intent, result } = record;
    let Some(effect) = draft.state.effects.get(&call).cloned() else { return Err(Refusal::Stale) };
    let is_running = matches!(effect.stage, Stage::Running { intent: running, .. } if running == intent);
    if !is_running {
        return late(draft, &effect, call, result);
    }
    let failed = match result {
        Ok(item) => {
            close(draft, &effect, CallOutcome::Returned(item));
            return Ok(());
        }
        Err(failed) => failed,
    };
    let may_repeat = effect.attempts < MAX_CALL_ATTEMPTS;
    match (failed, effect.served.class) {
        (CallFailed::Rejected(why), _) => close(draft, &effect, CallOutcome::Failed(why)),
        (CallFailed::NotSent(why), _) if may_repeat => again(draft, call, why),
        (CallFailed::NotSent(why), _) => close(draft, &effect, CallOutcome::Failed(why)),
        (CallFailed::Lost(why), EffectClass::ReadOnly | EffectClass::Idempotent) if may_repeat => {
            again(draft, call, why);
        }
        (CallFailed::Lost(why), EffectClass::ReadOnly) => close(draft, &effect, CallOutcome::Failed(why)),
        (CallFailed::Lost(why), EffectClass::Idempotent | EffectClass::Once) => lose(draft, call, why),
    }
    Ok(())
}

/// Something came back for a call that the conversation has gone on without.
fn late(
    draft: &mut Draft<'_>,
    effect: &Effect,
    call: Sequence,
    result: Result<Arc<Item>, CallFailed>,
) -> Result<(), Refusal> {
    let (true, Ok(item)) = (effect.is_left, result) else { return Err(Refusal::Stale) };
    draft.push(Event::OutcomeAfterCancel(LateOutcome::Call(Arc::clone(&item))));
    let by = draft.actor.clone();
    let resolution = Resolution::Happened(item);
    draft.push(Event::CallResolved(Box::new(CallResolved { call, by, resolution, reason: None })));
    Ok(())
}

fn again(draft: &mut Draft<'_>, call: Sequence, why: String) {
    let attempts = draft.state.effects.get(&call).map_or(0, |effect| effect.attempts);
    let wait = BACKOFF_MS.saturating_mul(1 << attempts.saturating_sub(1).min(8));
    let not_before = Some(draft.at.plus_ms(wait));
    draft.push(Event::CallLost(CallLost { call, fate: Lost::Again { not_before }, why }));
}

/// Nobody knows what came of the call: people are asked, or the agent is told where that was declared.
fn lose(draft: &mut Draft<'_>, call: Sequence, why: String) {
    draft.push(Event::CallLost(CallLost { call, fate: Lost::Unknown, why }));
    let Some(effect) = draft.state.effects.get(&call).cloned() else { return };
    let rule = draft.state.pinned(&effect).and_then(|(toolset, tool)| toolset.rules.get(&tool.tool));
    if rule.is_some_and(|rule| rule.tell_agent) {
        close(draft, &effect, CallOutcome::Unknown(UNKNOWN.to_owned()));
    } else {
        settle(draft);
    }
}

/// Ends a call for the conversation.
pub(super) fn close(draft: &mut Draft<'_>, effect: &Effect, outcome: CallOutcome) {
    let call_id = effect.call_id().clone();
    draft.push(Event::CallClosed { call_id, outcome });
    settle(draft);
}

/// Where calls end a turn, it ends once nothing more of it can be done here.
pub(super) fn settle(draft: &mut Draft<'_>) {
    let is_yielding = draft.state.spec.calls == CallMode::Yield;
    let is_between =
        draft.state.turn.as_ref().is_some_and(|turn| turn.inference.is_none() && !draft.state.is_waiting(turn.input));
    if !is_yielding || !is_between || draft.state.awaited().any(|(_, effect)| effect.is_acting()) {
        return;
    }
    if draft.state.awaited().next().is_some() || !draft.state.unanswered.is_empty() {
        draft.end_turn(TurnStatus::Completed);
    }
}

/// The conversation goes on without what people have not answered.
pub(super) fn go_on(draft: &mut Draft<'_>) {
    let waiting: Vec<Effect> = draft.state.awaited().map(|(_, effect)| effect.clone()).collect();
    for effect in waiting {
        let outcome = match effect.stage {
            Stage::Asked(_) => CallOutcome::Denied(UNANSWERED.to_owned()),
            Stage::Unknown { .. } => CallOutcome::Unknown(UNKNOWN.to_owned()),
            Stage::Wanted { .. } | Stage::Running { .. } => continue,
        };
        draft.push(Event::CallClosed { call_id: effect.call.call_id, outcome });
    }
}

/// Closes the calls of a turn that is cut short. What may have happened all the same stays in the ledger.
pub(super) fn stop(draft: &mut Draft<'_>) {
    let open: Vec<Effect> = draft.state.awaited().map(|(_, effect)| effect.clone()).collect();
    for effect in open {
        let outcome = match effect.stage {
            Stage::Wanted { .. } if effect.attempts == 0 => CallOutcome::Refused(NOT_MADE.to_owned()),
            Stage::Asked(_) => CallOutcome::Refused(NOT_MADE.to_owned()),
            Stage::Wanted { .. } | Stage::Running { .. } | Stage::Unknown { .. } => CallOutcome::Cancelled,
        };
        draft.push(Event::CallClosed { call_id: effect.call.call_id, outcome });
    }
}

/// What the model is told of a call that was cancelled before it was made.
const NOT_MADE: &str = "The call was cancelled before it was made.";

/// Calls under way elsewhere than in `running`: their attempt is over. Says whether there were any.
pub(super) fn recover(draft: &mut Draft<'_>, epoch: Epoch, running: &[Sequence]) -> bool {
    let is_lost = |effect: &Effect| matches!(effect.stage, Stage::Running { intent, .. } if !running.contains(&intent));
    let lost: Vec<(Sequence, EffectClass, u32)> = (draft.state.effects.iter())
        .filter(|(_, effect)| is_lost(effect))
        .map(|(call, effect)| (*call, effect.served.class, effect.attempts))
        .collect();
    if lost.is_empty() {
        return false;
    }
    draft.push(Event::Recovered { epoch });
    for (call, class, attempts) in lost {
        let why = "the server was stopped while the call was under way".to_owned();
        if class == EffectClass::Once || attempts >= MAX_INTERRUPTED {
            lose(draft, call, why);
        } else {
            let fate = Lost::Again { not_before: None };
            draft.push(Event::CallLost(CallLost { call, fate, why }));
        }
    }
    true
}

/// Attempts after which a call that may be repeated is no longer repeated by each new incarnation.
const MAX_INTERRUPTED: u32 = 1_000;

/// The earliest time at which a question to people is withdrawn.
pub(super) fn expiry(state: &State) -> Option<Timestamp> {
    let expiries = state.effects.values().filter_map(|effect| match &effect.stage {
        Stage::Asked(asked) => asked.expires_at,
        Stage::Wanted { .. } | Stage::Running { .. } | Stage::Unknown { .. } => None,
    });
    expiries.min()
}

/// Withdraws the questions whose time is up.
pub(super) fn expire(draft: &mut Draft<'_>) {
    let at = draft.at;
    let is_over = |effect: &Effect| matches!(&effect.stage, Stage::Asked(asked) if asked.expires_at.is_some_and(|expires| expires <= at));
    let over: Vec<CallId> = draft.state.effects.values().filter(|e| is_over(e)).map(|e| e.call_id().clone()).collect();
    let is_any = !over.is_empty();
    for call_id in over {
        let outcome = CallOutcome::Denied("Nobody approved the call in time; it was not made.".to_owned());
        draft.push(Event::CallClosed { call_id, outcome });
    }
    if is_any {
        settle(draft);
    }
}
