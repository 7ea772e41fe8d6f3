//! People's answers: to a call that a policy asks for, and to one whose outcome nobody knows. A grant and the call's
//! intent are one batch; the first answer that is committed counts.

use super::{
    draft::Draft,
    effect::{UNKNOWN, ask, close, denied, intend, settle},
};
use crate::{
    command::{Refusal, ResolveCall, Respond},
    effect::{Answer, ApprovalAnswered, Asked, CallResolved, Effect, Resolution, Ruling, Stage, Verdict},
    event::{CallOutcome, Event},
};
use mainstay_vocabulary::{CallId, Item, Sequence};

/// Most principals that one question is handed on to.
const MAX_DELEGATES: usize = 64;
/// Longest reason, bytes: it is kept and shown.
const MAX_REASON: usize = 8_192;

pub(super) fn respond(draft: &mut Draft<'_>, respond: Respond) -> Result<(), Refusal> {
    let Respond { session, approval, answer, reason } = respond;
    check_reason(reason.as_ref())?;
    if session.is_some_and(|session| session != draft.state.session) {
        return Err(Refusal::ApprovalNotOpen(approval));
    }
    let found = draft.state.effect_asked(approval).map(|(call, effect)| (call, effect.clone()));
    let Some((call, effect)) = found else { return Err(Refusal::ApprovalNotOpen(approval)) };
    let asked = match &effect.stage {
        Stage::Asked(asked) => (**asked).clone(),
        Stage::Unknown { .. } => return answer_unknown(draft, call, answer, reason),
        Stage::Wanted { .. } | Stage::Running { .. } => return Err(Refusal::ApprovalNotOpen(approval)),
    };
    if asked.expires_at.is_some_and(|at| at <= draft.at) {
        return Err(Refusal::ApprovalNotOpen(approval));
    }
    check_authority(draft, &asked)?;
    let answered = |draft: &Draft<'_>, answer| {
        let by = draft.actor.clone();
        let is_edited = matches!(answer, Answer::Approve { arguments: Some(_) });
        let edited = draft.ruling(call).filter(|_| is_edited).map(|ruling| ruling.digest);
        Event::ApprovalAnswered(ApprovalAnswered { call, approval, by, answer, edited, reason: reason.clone() })
    };
    match answer {
        Answer::Delegate { to } => {
            if to.is_empty() || asked.delegates.len() + to.len() > MAX_DELEGATES {
                return Err(Refusal::TooMany("principals that one approval is handed on to, or none".into()));
            }
            let event = answered(draft, Answer::Delegate { to });
            draft.push(event);
            Ok(())
        }
        Answer::Deny => {
            let event = answered(draft, Answer::Deny);
            draft.push(event);
            let why = reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
            close(draft, &effect, CallOutcome::Denied(format!("The call was not approved{why}.")));
            Ok(())
        }
        Answer::Approve { arguments } => {
            check_edit(&effect, &asked, arguments.as_deref())?;
            if asked.agreed.contains(draft.actor) {
                return Err(Refusal::Invalid("you have agreed already; another person must agree".to_owned()));
            }
            let event = answered(draft, Answer::Approve { arguments: arguments.clone() });
            agree(draft, (call, &effect, &asked), arguments, event)
        }
    }
}

/// One more has agreed. The policy's answer of now is what counts.
fn agree(
    draft: &mut Draft<'_>,
    (call, effect, asked): (Sequence, &Effect, &Asked),
    arguments: Option<String>,
    event: Event,
) -> Result<(), Refusal> {
    let Some(ruling) = draft.ruling(call) else { return Err(Refusal::Stale) };
    let is_edited = arguments.is_some();
    let is_same = ruling.version == asked.ruling.version && (is_edited || ruling.digest == asked.ruling.digest);
    match ruling.verdict {
        Verdict::Deny if is_edited => {
            return Err(Refusal::Invalid(denied(&ruling)));
        }
        Verdict::Deny => {
            draft.push(event);
            close(draft, effect, CallOutcome::Denied(denied(&ruling)));
        }
        // What was agreed to is no longer what is asked: everybody is asked again.
        Verdict::Ask if !is_same => ask(draft, call, ruling),
        Verdict::Ask if !is_met(draft, asked, &ruling) => {
            draft.push(event);
        }
        Verdict::Ask | Verdict::Allow => {
            draft.push(event);
            let epoch = draft.epoch;
            intend(draft, (call, epoch), &ruling, arguments);
        }
    }
    Ok(())
}

/// Whether enough have agreed, with the one at hand.
fn is_met(draft: &Draft<'_>, asked: &Asked, ruling: &Ruling) -> bool {
    ruling.terms.met_by(asked.agreed.iter().chain(std::iter::once(draft.actor)), &asked.delegates)
}

fn check_authority(draft: &Draft<'_>, asked: &Asked) -> Result<(), Refusal> {
    let terms = &asked.ruling.terms;
    if terms.take(draft.actor, &asked.delegates) { Ok(()) } else { Err(Refusal::NotApprover(terms.roles())) }
}

fn check_edit(effect: &Effect, asked: &Asked, arguments: Option<&str>) -> Result<(), Refusal> {
    let Some(arguments) = arguments else { return Ok(()) };
    if !asked.ruling.terms.may_edit {
        return Err(Refusal::Invalid("the policy does not let the arguments of this call be edited".to_owned()));
    }
    if !asked.agreed.is_empty() && effect.arguments() != arguments {
        return Err(Refusal::Invalid("others have agreed to the call as it is; it can no longer be edited".to_owned()));
    }
    match serde_json::from_str::<mainstay_vocabulary::Object>(arguments) {
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::Invalid(format!("the arguments are no JSON object: {error}"))),
    }
}

fn check_reason(reason: Option<&String>) -> Result<(), Refusal> {
    if reason.is_some_and(|reason| reason.len() > MAX_REASON) {
        return Err(Refusal::TooMany(format!("bytes in a reason (at most {MAX_REASON})").into()));
    }
    Ok(())
}

/// Wires that know only yes and no: yes makes the call again under the same key, no leaves it unknown.
fn answer_unknown(
    draft: &mut Draft<'_>,
    call: Sequence,
    answer: Answer,
    reason: Option<String>,
) -> Result<(), Refusal> {
    let resolution = match answer {
        Answer::Approve { arguments: None } => Resolution::Again,
        Answer::Deny => Resolution::Abandoned,
        Answer::Approve { arguments: Some(_) } => {
            let why = "a call whose outcome is unknown can only be made again as it was".to_owned();
            return Err(Refusal::Invalid(why));
        }
        Answer::Delegate { .. } => {
            return Err(Refusal::Invalid("an unknown outcome has no approvers to hand on to".to_owned()));
        }
    };
    resolve(draft, ResolveCall { call, resolution, reason })
}

/// Somebody says what became of a call whose outcome nobody knew.
pub(super) fn resolve(draft: &mut Draft<'_>, resolve: ResolveCall) -> Result<(), Refusal> {
    let ResolveCall { call, resolution, reason } = resolve;
    check_reason(reason.as_ref())?;
    let effect = draft.state.effects.get(&call).filter(|effect| matches!(effect.stage, Stage::Unknown { .. })).cloned();
    let Some(effect) = effect else { return Err(Refusal::NotUnknown(call)) };
    if let Resolution::Happened(item) = &resolution
        && !matches!(&**item, Item::ToolResult { call_id, .. } if call_id == effect.call_id())
    {
        return Err(Refusal::Invalid("what happened must be the result of the very call".to_owned()));
    }
    let by = draft.actor.clone();
    let resolved = Event::CallResolved(Box::new(CallResolved { call, by, resolution: resolution.clone(), reason }));
    if effect.is_left {
        if resolution == Resolution::Again {
            return Err(Refusal::Invalid(
                "the conversation has gone on without the call; it is not made again".to_owned(),
            ));
        }
        draft.push(resolved);
        return Ok(());
    }
    let outcome = match resolution {
        Resolution::Again => return make_again(draft, call, resolved),
        Resolution::Happened(item) => CallOutcome::Returned(item),
        Resolution::DidNotHappen => CallOutcome::Failed("The call did not happen, and will not any more.".to_owned()),
        Resolution::Abandoned => CallOutcome::Unknown(UNKNOWN.to_owned()),
    };
    close_resolved(draft, effect.call_id().clone(), outcome, resolved);
    Ok(())
}

fn close_resolved(draft: &mut Draft<'_>, call_id: CallId, outcome: CallOutcome, resolved: Event) {
    // In this order a call that is left unknown leaves the ledger too: somebody has said so.
    draft.push(Event::CallClosed { call_id, outcome });
    draft.push(resolved);
    settle(draft);
}

/// Somebody takes it on themselves that the call may be made a second time: under the same key.
fn make_again(draft: &mut Draft<'_>, call: Sequence, resolved: Event) -> Result<(), Refusal> {
    let Some(ruling) = draft.ruling(call) else { return Err(Refusal::Stale) };
    let needs_others = |ruling: &Ruling| !ruling.terms.met_by(std::iter::once(draft.actor), &[]);
    match ruling.verdict {
        Verdict::Deny => return Err(Refusal::Invalid(denied(&ruling))),
        Verdict::Ask if needs_others(&ruling) => {
            draft.push(resolved);
            ask(draft, call, ruling);
        }
        Verdict::Ask | Verdict::Allow => {
            draft.push(resolved);
            let epoch = draft.epoch;
            intend(draft, (call, epoch), &ruling, None);
        }
    }
    Ok(())
}
