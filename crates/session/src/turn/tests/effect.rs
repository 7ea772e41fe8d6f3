//! Calls that the runtime runs: listing, intent, outcome, loss. What is made again, and what is never made again without
//! somebody's word.

use mainstay_vocabulary::{
    Epoch, Sequence,
    inference::Stop,
    tool::{EffectClass, ToolRule},
};

use super::script::*;
use crate::{
    Command, Event, Refusal,
    command::{CallFailed, ResolveCall},
    effect::{MAX_CALL_ATTEMPTS, MAX_TOOLS, Resolution, Stage, Terms, Verdict},
    event::{CallOutcome, ErrorCode, TurnStatus},
    spec::CallMode,
    state::Phase,
    turn::Wanted,
};

fn allow() -> crate::effect::Ruling {
    ruling(Verdict::Allow, "v1", Terms::default())
}

fn why() -> String {
    "the line broke".to_owned()
}

fn closing(events: &[Event]) -> Option<&CallOutcome> {
    events.iter().find_map(|event| match event {
        Event::CallClosed { outcome, .. } => Some(outcome),
        _ => None,
    })
}

/// A session whose call, of this class, is under way.
fn running(class: EffectClass) -> (Script, Sequence) {
    let (mut script, calls) = Script::calling(CallMode::Wait, class, 1);
    assert_eq!(names(&script.begin_call(allow())), ["call intended"]);
    (script, calls[0])
}

#[test]
fn tools_are_listed_before_the_first_inference_and_pinned() {
    let mut script = Script::asked(serving(CallMode::Wait));
    assert_eq!(script.wanted(), Some(Wanted::ListTools { toolset: 0 }));
    assert_eq!(script.refusal(begin(false)), Refusal::Stale);
    let tools = [("look", EffectClass::ReadOnly), ("add", EffectClass::Once)];
    script.give(Command::RecordListing { toolset: "srv".to_owned(), result: Ok(listing(&tools)) });
    let offered: Vec<_> = script.state.offered().iter().map(|tool| tool.name.clone()).collect();
    assert_eq!(offered, ["add", "look", "srv__add"], "a name that a function has gets its toolset's before it");
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })));
    assert_eq!(script.state.context_epoch, script.state.sequence);
}

#[test]
fn a_list_that_does_not_come_is_tried_once_a_turn_and_fails_only_a_turn_that_needs_it() {
    let missing = || Command::RecordListing { toolset: "srv".to_owned(), result: Err("no route".to_owned()) };
    let mut script = Script::asked(serving(CallMode::Wait));
    script.give(missing());
    script.answer("well");
    script.give(say(crate::event::Delivery::Steer, "again"));
    assert_eq!(script.wanted(), Some(Wanted::ListTools { toolset: 0 }));

    let mut spec = serving(CallMode::Wait);
    let mut needed = toolset(mainstay_vocabulary::tool::ApprovalRule::ByPolicy);
    needed.required = true;
    spec.toolsets = std::sync::Arc::from([needed]);
    let mut script = Script::asked(spec);
    let events = script.give(missing());
    let Some(Event::TurnEnded(ended)) = events.last() else { panic!("{events:?}") };
    let TurnStatus::Failed(error) = &ended.status else { panic!("{ended:?}") };
    assert_eq!(error.code, ErrorCode::ToolsUnavailable);
    assert!(error.message.contains("no route"));
}

#[test]
fn a_list_that_is_too_long_or_names_a_tool_twice_is_refused() {
    let many: Vec<String> = (0..=MAX_TOOLS).map(|number| format!("t{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), EffectClass::Once)).collect();
    for tools in [&many[..], &[("a", EffectClass::Once), ("a", EffectClass::Once)][..]] {
        let mut script = Script::asked(serving(CallMode::Wait));
        script.give(Command::RecordListing { toolset: "srv".to_owned(), result: Ok(listing(tools)) });
        assert!(script.state.listed["srv"].error.is_some());
    }
}

#[test]
fn a_call_is_intended_made_and_answered_and_the_model_goes_on() {
    let (mut script, calls) = Script::calling(CallMode::Wait, EffectClass::Once, 2);
    assert_eq!(script.state.phase(), Phase::Acting);
    for _ in &calls {
        assert_eq!(names(&script.begin_call(allow())), ["call intended"]);
    }
    assert_eq!(script.wanted(), None, "both are under way at once");
    assert_eq!(names(&script.record_call(calls[1], None)), ["closed"]);
    assert_eq!(script.wanted(), None);
    script.record_call(calls[0], None);
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })));
    script.answer("done");
    assert!(script.state.effects.is_empty());
}

#[test]
fn arguments_that_are_no_object_are_refused_before_anything_is_sent() {
    let mut script = Script::asked(serving(CallMode::Wait));
    script.give(Command::RecordListing {
        toolset: "srv".to_owned(),
        result: Ok(listing(&[("look", EffectClass::Once)])),
    });
    script.give(begin(false));
    let served = Box::new(script.state.served_by("look").unwrap());
    let kind = mainstay_vocabulary::ItemKind::ServedCall { name: "look".to_owned(), provider_call_id: None, served };
    script.start(0, kind);
    script.text(0, "[1]");
    script.done(0);
    let events = script.finish(Stop::ToolCalls);
    assert!(matches!(closing(&events), Some(CallOutcome::Refused(why)) if why.contains("JSON object")), "{events:?}");
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })), "the model is told");
}

/// What a loss comes to, by class and by what is known of the effect.
#[test]
fn only_what_surely_did_nothing_or_may_be_repeated_is_made_again() {
    use CallFailed::{Lost, NotSent, Rejected};
    use EffectClass::{Idempotent, Once, ReadOnly};
    type Case = (EffectClass, fn(String) -> CallFailed, &'static [&'static str]);
    let cases: [Case; 9] = [
        (ReadOnly, NotSent, &["lost"]),
        (Idempotent, NotSent, &["lost"]),
        (Once, NotSent, &["lost"]),
        (ReadOnly, Rejected, &["closed"]),
        (Idempotent, Rejected, &["closed"]),
        (Once, Rejected, &["closed"]),
        (ReadOnly, Lost, &["lost"]),
        (Idempotent, Lost, &["lost"]),
        (Once, Lost, &["lost"]),
    ];
    for (class, failed, expected) in cases {
        let (mut script, call) = running(class);
        let failed = failed(why());
        let is_unknown = class == Once && matches!(failed, Lost(_));
        let is_again = !is_unknown && !matches!(failed, Rejected(_));
        assert_eq!(names(&script.record_call(call, Some(failed.clone()))), expected, "{class:?} {failed:?}");
        let wants = matches!(script.wanted(), Some(Wanted::Call { call: again, not_before: Some(_) }) if again == call);
        assert_eq!(wants, is_again, "{class:?} {failed:?}");
        let waits = script.state.phase() == Phase::WaitingForClient;
        assert_eq!(waits, is_unknown, "{class:?} {failed:?}");
    }
}

#[test]
fn attempts_end_with_an_honest_word() {
    let last = |class, failed: fn(String) -> CallFailed| {
        let (mut script, call) = running(class);
        for _ in 1..MAX_CALL_ATTEMPTS {
            script.record_call(call, Some(failed(why())));
            script.begin_call(allow());
        }
        let attempts = script.effect(call).attempts;
        assert_eq!(attempts, MAX_CALL_ATTEMPTS);
        script.record_call(call, Some(failed(why())));
        (script.state.effects.get(&call).map(|effect| effect.stage.clone()), script)
    };
    assert_eq!(last(EffectClass::Once, CallFailed::NotSent).0, None, "it surely did nothing: the model is told");
    assert_eq!(last(EffectClass::ReadOnly, CallFailed::Lost).0, None);
    assert!(matches!(last(EffectClass::Idempotent, CallFailed::Lost).0, Some(Stage::Unknown { .. })));
}

#[test]
fn a_new_incarnation_repeats_what_may_be_repeated_and_owns_up_to_the_rest() {
    for class in [EffectClass::ReadOnly, EffectClass::Idempotent, EffectClass::Once] {
        let (mut script, call) = running(class);
        let events = script.give(Command::Recover { epoch: Epoch(2), running: Vec::new() });
        assert_eq!(names(&events), ["recovered", "lost"]);
        let is_again = script.wanted() == Some(Wanted::Call { call, not_before: None });
        assert_eq!(is_again, class != EffectClass::Once);
        assert_eq!(matches!(script.effect(call).stage, Stage::Unknown { .. }), class == EffectClass::Once);
    }
    let (mut script, call) = running(EffectClass::Once);
    let Stage::Running { intent, .. } = script.effect(call).stage else { panic!() };
    let events = script.give(Command::Recover { epoch: Epoch(2), running: vec![intent] });
    assert_eq!(names(&events), [""; 0], "what is under way in this very process is not lost");
}

/// A session with a call whose outcome nobody knows.
fn unknown() -> (Script, Sequence) {
    let (mut script, call) = running(EffectClass::Once);
    script.record_call(call, Some(CallFailed::Lost(why())));
    (script, call)
}

#[test]
fn an_unknown_outcome_waits_for_somebodys_word_and_takes_it_once() {
    let happened = |script: &Script, call| Resolution::Happened(result_item(script.effect(call).call_id()));
    let resolve = |call, resolution| {
        Command::ResolveCall(Box::new(ResolveCall { call, resolution, reason: Some("I looked".to_owned()) }))
    };
    let (mut script, call) = unknown();
    script.rulings = vec![(call, allow())];
    let resolution = happened(&script, call);
    let events = script.give(resolve(call, resolution.clone()));
    assert!(matches!(closing(&events), Some(CallOutcome::Returned(_))));
    assert_eq!(script.refusal(resolve(call, resolution)), Refusal::NotUnknown(call));
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })));

    let (mut script, call) = unknown();
    let events = script.give(resolve(call, Resolution::DidNotHappen));
    assert!(matches!(closing(&events), Some(CallOutcome::Failed(_))));

    let (mut script, call) = unknown();
    let events = script.give(resolve(call, Resolution::Abandoned));
    assert!(matches!(closing(&events), Some(CallOutcome::Unknown(_))));
    assert!(script.state.effects.is_empty());

    let (mut script, call) = unknown();
    script.rulings = vec![(call, allow())];
    let events = script.give(resolve(call, Resolution::Again));
    assert_eq!(names(&events), ["resolved", "call intended"]);
    assert_eq!(script.effect(call).attempts, 2, "under the same key: the call's place");

    let (mut script, call) = unknown();
    script.rulings = vec![(call, ruling(Verdict::Deny, "v1", Terms::default()))];
    assert!(matches!(script.refusal(resolve(call, Resolution::Again)), Refusal::Invalid(_)));
    script.give(resolve(call, Resolution::Abandoned));
}

#[test]
fn a_result_of_another_call_does_not_resolve_it() {
    let (script, call) = unknown();
    let other = Resolution::Happened(result_item(&mainstay_vocabulary::CallId("another".to_owned())));
    let command = Command::ResolveCall(Box::new(ResolveCall { call, resolution: other, reason: None }));
    assert!(matches!(script.refusal(command), Refusal::Invalid(_)));
}

#[test]
fn an_agent_that_is_to_be_told_is_told_at_once() {
    let mut spec = serving(CallMode::Wait);
    let mut telling = toolset(mainstay_vocabulary::tool::ApprovalRule::ByPolicy);
    telling.rules.insert("look".to_owned(), ToolRule { tell_agent: true, ..ToolRule::default() });
    spec.toolsets = std::sync::Arc::from([telling]);
    let (mut script, calls) = Script::calling_with(spec, EffectClass::Once, 1);
    script.begin_call(allow());
    let events = script.record_call(calls[0], Some(CallFailed::Lost(why())));
    assert_eq!(names(&events), ["lost", "closed"]);
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })));
    let effect = script.effect(calls[0]);
    assert!(effect.is_left, "the ledger keeps it until somebody knows");
}

#[test]
fn a_cancelled_turn_leaves_in_the_ledger_what_may_have_happened() {
    for (class, stays) in [(EffectClass::ReadOnly, false), (EffectClass::Once, true)] {
        let (mut script, call) = running(class);
        let Stage::Running { intent, .. } = script.effect(call).stage else { panic!() };
        script.give(Command::Cancel { turn: None });
        assert_eq!(script.state.effects.contains_key(&call), stays, "{class:?}");
        assert_eq!(script.state.phase(), Phase::Idle);
        let record = Command::RecordCall(Box::new(crate::command::RecordCall {
            call,
            intent,
            result: Ok(result_item(&mainstay_vocabulary::CallId("late".to_owned()))),
        }));
        if stays {
            assert_eq!(names(&script.give(record)), ["late", "resolved"]);
            assert!(script.state.effects.is_empty());
        } else {
            assert_eq!(script.refusal(record), Refusal::Stale);
        }
    }
    let (mut script, _) = Script::calling(CallMode::Wait, EffectClass::Once, 1);
    script.give(Command::Cancel { turn: None });
    assert!(script.state.effects.is_empty(), "what was never sent is not in doubt");
}

#[test]
fn where_calls_end_the_turn_it_goes_on_after_the_runtimes_own() {
    let (mut script, calls) = Script::calling(CallMode::Yield, EffectClass::ReadOnly, 1);
    script.begin_call(allow());
    assert_eq!(names(&script.record_call(calls[0], None)), ["closed"]);
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })));
    script.give(begin(false));
    script.show_served(0, "look");
    script.show_call(1, "add");
    script.finish(Stop::ToolCalls);
    script.begin_call(allow());
    let call = *script.state.effects.keys().next().unwrap();
    let events = script.record_call(call, None);
    assert_eq!(names(&events), ["closed", "ended"], "the client's call ends the turn once the runtime's is over");
    assert_eq!(script.state.unanswered.len(), 1);
}

#[test]
fn a_denied_call_is_told_to_the_model_and_never_sent() {
    let (mut script, calls) = Script::calling(CallMode::Wait, EffectClass::Once, 1);
    let events = script.begin_call(ruling(Verdict::Deny, "v1", Terms::default()));
    assert!(matches!(closing(&events), Some(CallOutcome::Denied(why)) if why.contains("because")));
    assert!(!script.state.effects.contains_key(&calls[0]));
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })));
}

#[test]
fn a_policy_that_forbids_the_second_attempt_leaves_the_first_unknown() {
    let (mut script, call) = running(EffectClass::Idempotent);
    script.record_call(call, Some(CallFailed::Lost(why())));
    script.begin_call(ruling(Verdict::Deny, "v2", Terms::default()));
    assert!(matches!(script.effect(call).stage, Stage::Unknown { .. }));
}
