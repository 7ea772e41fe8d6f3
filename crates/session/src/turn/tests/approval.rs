//! People's answers: one counts, the one that is committed first; what was agreed to is what is made, or everybody is
//! asked again.

use mainstay_vocabulary::{Sequence, tool::EffectClass};

use super::script::*;
use crate::{
    Command, Event, Refusal,
    command::Respond,
    effect::{Answer, Need, Ruling, Stage, Terms, Verdict},
    event::{CallOutcome, Delivery, Input, TurnOptions},
    spec::CallMode,
    state::Phase,
    turn::{Wanted, deadline},
};

fn needing(needs: &[(Option<&str>, u32)]) -> Terms {
    let need = |(role, quorum): &(Option<&str>, u32)| Need { role: role.map(str::to_owned), quorum: *quorum };
    Terms { needs: needs.iter().map(need).collect(), ..Terms::default() }
}

fn asks(version: &str, terms: Terms) -> Ruling {
    ruling(Verdict::Ask, version, terms)
}

/// A session that asks people about its one call.
fn asking(calls: CallMode, terms: Terms) -> (Script, Sequence, Sequence) {
    let (mut script, opened) = Script::calling(calls, EffectClass::Once, 1);
    script.begin_call(asks("v1", terms.clone()));
    script.rulings = vec![(opened[0], asks("v1", terms))];
    let approval = script.effect(opened[0]).approval().unwrap();
    (script, opened[0], approval)
}

fn respond(approval: Sequence, answer: Answer) -> Command {
    Command::Respond(Respond { session: None, approval, answer, reason: Some("so be it".to_owned()) })
}

fn approve(approval: Sequence) -> Command {
    respond(approval, Answer::Approve { arguments: None })
}

#[test]
fn a_grant_and_the_intent_are_one_batch_and_it_is_spent_once() {
    let (mut script, call, approval) = asking(CallMode::Wait, Terms::default());
    assert_eq!(script.state.phase(), Phase::WaitingForClient);
    assert_eq!(deadline(&script.state), None, "a question stands for as long as it takes");
    let events = script.give(approve(approval));
    assert_eq!(names(&events), ["answered", "call intended"]);
    let Event::CallIntended(intended) = &events[1] else { panic!() };
    assert_eq!((intended.call, intended.approval, &*intended.digest), (call, Some(approval), "call"));
    for again in [approve(approval), respond(approval, Answer::Deny)] {
        assert_eq!(script.refusal(again), Refusal::ApprovalNotOpen(approval));
    }
    script.record_call(call, None);
    assert_eq!(script.refusal(approve(approval)), Refusal::ApprovalNotOpen(approval));
}

#[test]
fn a_denial_is_told_to_the_model_with_its_reason() {
    let (mut script, _, approval) = asking(CallMode::Wait, Terms::default());
    let events = script.give(respond(approval, Answer::Deny));
    assert_eq!(names(&events), ["answered", "closed"]);
    let Event::CallClosed { outcome: CallOutcome::Denied(why), .. } = &events[1] else { panic!("{events:?}") };
    assert!(why.contains("so be it"));
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })));
}

#[test]
fn so_many_different_people_must_agree() {
    let terms = needing(&[(None, 2)]);
    let (mut script, call, approval) = asking(CallMode::Wait, terms);
    assert_eq!(names(&script.give(approve(approval))), ["answered"]);
    assert!(matches!(script.refusal(approve(approval)), Refusal::Invalid(why) if why.contains("another person")));
    script.actor = principal("bob");
    assert_eq!(names(&script.give(approve(approval))), ["answered", "call intended"]);
    assert!(matches!(script.effect(call).stage, Stage::Running { .. }));
}

#[test]
fn only_those_who_are_named_may_answer_or_hand_the_question_on() {
    let terms = needing(&[(Some("bob"), 1)]);
    let (mut script, _, approval) = asking(CallMode::Wait, terms);
    for answer in [Answer::Deny, Answer::Approve { arguments: None }, Answer::Delegate { to: vec!["ada".to_owned()] }] {
        assert_eq!(script.refusal(respond(approval, answer)), Refusal::NotApprover(vec!["bob".to_owned()]));
    }
    script.actor = principal("bob");
    script.give(respond(approval, Answer::Delegate { to: vec!["ada".to_owned()] }));
    script.actor = principal("ada");
    assert_eq!(names(&script.give(approve(approval))), ["answered", "call intended"]);
}

#[test]
fn a_policy_that_changed_asks_again_under_another_name() {
    let (mut script, call, approval) = asking(CallMode::Wait, Terms::default());
    script.rulings = vec![(call, asks("v2", Terms::default()))];
    assert_eq!(names(&script.give(approve(approval))), ["asked"]);
    assert_eq!(script.refusal(approve(approval)), Refusal::ApprovalNotOpen(approval));
    let again = script.effect(call).approval().unwrap();
    assert!(again > approval);
    assert_eq!(names(&script.give(approve(again))), ["answered", "call intended"]);
}

#[test]
fn a_policy_that_forbids_it_by_now_counts_more_than_the_grant() {
    let (mut script, call, approval) = asking(CallMode::Wait, Terms::default());
    script.rulings = vec![(call, ruling(Verdict::Deny, "v2", Terms::default()))];
    assert_eq!(names(&script.give(approve(approval))), ["answered", "closed"]);
    assert!(script.state.effects.is_empty());
}

#[test]
fn a_call_that_changed_under_the_question_is_asked_again() {
    let (mut script, call, approval) = asking(CallMode::Wait, Terms::default());
    let mut changed = asks("v1", Terms::default());
    changed.digest = "another call".to_owned();
    script.rulings = vec![(call, changed)];
    assert_eq!(names(&script.give(approve(approval))), ["asked"]);
}

#[test]
fn arguments_are_edited_where_the_policy_lets_them_and_then_they_are_what_is_sent() {
    let edited = || Answer::Approve { arguments: Some("{\"amount\":5}".to_owned()) };
    let (script, _, approval) = asking(CallMode::Wait, Terms::default());
    assert!(matches!(script.refusal(respond(approval, edited())), Refusal::Invalid(why) if why.contains("edited")));

    let terms = Terms { may_edit: true, ..Terms::default() };
    let (mut script, call, approval) = asking(CallMode::Wait, terms.clone());
    let broken = Answer::Approve { arguments: Some("[5]".to_owned()) };
    assert!(matches!(script.refusal(respond(approval, broken)), Refusal::Invalid(why) if why.contains("JSON object")));
    script.rulings[0].1.digest = "edited".to_owned();
    let events = script.give(respond(approval, edited()));
    let Some(Event::CallIntended(intended)) = events.last() else { panic!("{events:?}") };
    assert_eq!((intended.arguments.as_deref(), &*intended.digest), (Some("{\"amount\":5}"), "edited"));
    assert_eq!(script.effect(call).arguments(), "{\"amount\":5}");

    let (mut script, call, approval) = asking(CallMode::Wait, terms);
    script.rulings = vec![(call, ruling(Verdict::Deny, "v1", Terms::default()))];
    assert!(
        matches!(script.refusal(respond(approval, edited())), Refusal::Invalid(_)),
        "a denied edit changes nothing"
    );
    script.rulings = vec![(call, asks("v1", Terms { may_edit: true, ..Terms::default() }))];
    script.give(respond(approval, Answer::Deny));
}

#[test]
fn the_second_to_agree_agrees_to_the_same_call() {
    let terms = Terms { may_edit: true, ..needing(&[(None, 2)]) };
    let (mut script, _, approval) = asking(CallMode::Wait, terms);
    script.give(approve(approval));
    script.actor = principal("bob");
    let edited = Answer::Approve { arguments: Some("{\"amount\":5}".to_owned()) };
    assert!(matches!(script.refusal(respond(approval, edited)), Refusal::Invalid(why) if why.contains("as it is")));
    assert_eq!(names(&script.give(approve(approval))), ["answered", "call intended"]);
}

#[test]
fn a_question_is_withdrawn_when_its_time_is_up() {
    let terms = Terms { expires_ms: Some(5_000), ..Terms::default() };
    let (mut script, call, approval) = asking(CallMode::Wait, terms);
    let until = deadline(&script.state).unwrap();
    script.at = until;
    assert_eq!(script.refusal(approve(approval)), Refusal::ApprovalNotOpen(approval));
    let events = script.give(Command::CheckDeadline);
    assert!(matches!(&events[..], [Event::CallClosed { outcome: CallOutcome::Denied(_), .. }]), "{events:?}");
    assert!(!script.state.effects.contains_key(&call));
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })));
}

#[test]
fn an_approved_call_keeps_its_grant_for_its_attempts_until_the_policy_changes() {
    let (mut script, call, approval) = asking(CallMode::Wait, Terms::default());
    script.give(approve(approval));
    script.record_call(call, Some(crate::command::CallFailed::NotSent("no route".to_owned())));
    assert_eq!(names(&script.begin_call(asks("v1", Terms::default()))), ["call intended"]);
    script.record_call(call, Some(crate::command::CallFailed::NotSent("no route".to_owned())));
    assert_eq!(names(&script.begin_call(asks("v2", Terms::default()))), ["asked"]);
}

fn input_with(answers: Vec<Respond>) -> Command {
    let input = Input { items: Vec::new(), delivery: Delivery::Reject, options: TurnOptions::default() };
    Command::Accept(Box::new(crate::command::Accept { input, spec: None, head: None, answers }))
}

#[test]
fn where_calls_end_the_turn_the_answer_comes_with_the_next_input() {
    let (mut script, call, approval) = asking(CallMode::Yield, Terms::default());
    assert_eq!(script.state.phase(), Phase::Idle, "the turn is over with the question");
    let answer = Respond { session: None, approval, answer: Answer::Approve { arguments: None }, reason: None };
    let events = script.give(input_with(vec![answer]));
    assert_eq!(names(&events), ["accepted", "started", "answered", "call intended"]);
    let Some(Event::CallIntended(intended)) = events.last() else { panic!() };
    assert!(intended.of.is_some(), "the turn shows a call that an earlier one opened");
    assert_eq!(script.wanted(), None);
    script.record_call(call, None);
    assert_eq!(script.wanted(), Some(Wanted::Incorporate), "the result stands before the new input");
    script.give(Command::Incorporate);
    assert!(matches!(script.wanted(), Some(Wanted::Infer { .. })));
}

#[test]
fn what_the_next_input_does_not_answer_is_not_made() {
    let (mut script, call, approval) = asking(CallMode::Yield, Terms::default());
    let events = script.give(say(Delivery::Reject, "never mind"));
    assert_eq!(names(&events), ["accepted", "started", "closed", "incorporated"]);
    assert!(!script.state.effects.contains_key(&call));
    assert_eq!(script.refusal(approve(approval)), Refusal::ApprovalNotOpen(approval));
}

#[test]
fn a_grant_between_turns_makes_the_call_and_the_next_input_finds_its_result() {
    let (mut script, call, approval) = asking(CallMode::Yield, Terms::default());
    script.give(approve(approval));
    assert!(script.state.is_open(), "somebody must drive it on");
    let events = script.give(say(Delivery::Reject, "and?"));
    assert_eq!(names(&events), ["accepted", "started"]);
    script.record_call(call, None);
    assert_eq!(script.wanted(), Some(Wanted::Incorporate));
}

#[test]
fn an_unknown_outcome_can_be_answered_by_yes_and_no() {
    for (answer, expected) in [
        (Answer::Approve { arguments: None }, &["resolved", "call intended"][..]),
        (Answer::Deny, &["closed", "resolved"][..]),
    ] {
        let (mut script, call, approval) = asking(CallMode::Wait, Terms::default());
        script.give(approve(approval));
        script.record_call(call, Some(crate::command::CallFailed::Lost("it broke".to_owned())));
        let unknown = script.effect(call).approval().unwrap();
        assert_ne!(unknown, approval);
        assert_eq!(names(&script.give(respond(unknown, answer))), expected);
    }
}

#[test]
fn each_role_that_is_needed_must_agree() {
    let (mut script, call, approval) = asking(CallMode::Wait, needing(&[(Some("ada"), 1), (Some("bob"), 1)]));
    assert_eq!(names(&script.give(approve(approval))), ["answered"]);
    script.actor = principal("eve");
    assert!(matches!(script.refusal(approve(approval)), Refusal::NotApprover(roles) if roles == ["ada", "bob"]));
    script.actor = principal("bob");
    assert_eq!(names(&script.give(approve(approval))), ["answered", "call intended"]);
    assert!(matches!(script.effect(call).stage, Stage::Running { .. }));
}

#[test]
fn those_who_agree_after_an_edit_agree_to_the_edited_call() {
    let terms = Terms { may_edit: true, ..needing(&[(None, 2)]) };
    let (mut script, call, approval) = asking(CallMode::Wait, terms);
    script.rulings[0].1.digest = "edited".to_owned();
    let edited = Answer::Approve { arguments: Some("{\"amount\":5}".to_owned()) };
    assert_eq!(names(&script.give(respond(approval, edited))), ["answered"]);
    script.actor = principal("bob");
    let events = script.give(approve(approval));
    assert_eq!(names(&events), ["answered", "call intended"]);
    let Some(Event::CallIntended(intended)) = events.last() else { panic!("{events:?}") };
    assert_eq!((intended.arguments.as_deref(), &*intended.digest), (Some("{\"amount\":5}"), "edited"));
    assert_eq!(script.effect(call).arguments(), "{\"amount\":5}");
}
