//! Automations: when they fire, what a pause and a downtime do to that, and how deliveries end.

use mainstay_vocabulary::{Object, Principal, Sequence, SessionId, Shard, Timestamp};

use super::script::*;
use crate::{
    Command, Event, Refusal,
    automation::{Automation, AutomationDefinition, InvocationOutcome, MAX_PENDING, PauseReason, Target},
    command::Create,
    event::{Created, InvocationBegun, Kind},
    schedule::Schedule,
    spec::{CallMode, Interruption},
    turn::{Wanted, deadline},
};

const MINUTE: u64 = 60_000;

fn definition(schedule: Schedule) -> AutomationDefinition {
    let target = Target::Session { session: SessionId::new(Shard(0), [3; 16]), instructions: "look".to_owned() };
    let principal = Principal(std::sync::Arc::from("p"));
    AutomationDefinition { name: "n".to_owned(), schedule, target, metadata: Object::new(), principal }
}

fn each_minute() -> Schedule {
    Schedule::Periodic { expression: "* * * * *".to_owned(), timezone: "UTC".to_owned() }
}

fn save(schedule: Schedule) -> Command {
    Command::SaveAutomation(Box::new(definition(schedule)))
}

/// An automation that was made at 10 seconds past a minute.
fn automation(schedule: Schedule) -> Script {
    let created = Created { kind: Kind::Automation, ..created(spec(CallMode::Wait, Interruption::Restart)) };
    let mut script = Script::unborn();
    script.at = Timestamp(10 * MINUTE + 10_000);
    let create = Command::Create(Box::new(Create { created, items: Vec::new(), input: None }));
    assert_eq!(script.refusal(Command::All(vec![save(schedule.clone()), create.clone()])), Refusal::NotFound);
    script.give(Command::All(vec![create, save(schedule)]));
    script
}

fn known(script: &Script) -> &Automation {
    script.state.automation.as_ref().unwrap()
}

fn fire(script: &mut Script) -> Vec<Event> {
    script.give(Command::CheckDeadline)
}

fn end(invocation: u64, outcome: InvocationOutcome) -> Command {
    Command::EndInvocation { invocation: Sequence(invocation), outcome }
}

fn delivered() -> InvocationOutcome {
    InvocationOutcome::Delivered(SessionId::new(Shard(0), [3; 16]))
}

#[test]
fn it_fires_when_its_time_comes_and_not_before() {
    let mut script = automation(each_minute());
    assert_eq!(deadline(&script.state), Some(Timestamp(11 * MINUTE)));
    script.at = Timestamp(11 * MINUTE - 1);
    assert_eq!(fire(&mut script), []);
    script.at = Timestamp(11 * MINUTE);
    let begun = InvocationBegun {
        scheduled_at: Some(Timestamp(11 * MINUTE)),
        next_at: Some(Timestamp(12 * MINUTE)),
        skipped: false,
    };
    assert_eq!(fire(&mut script), [Event::InvocationBegun(begun)]);
    assert_eq!(script.wanted(), Some(Wanted::Deliver { invocation: Sequence(3) }));
    assert!(script.state.is_open(), "a restart finds what it has to deliver");
    script.give(end(3, delivered()));
    assert_eq!((script.wanted(), script.state.is_open()), (None, false));
    assert_eq!(script.refusal(end(3, delivered())), Refusal::Stale, "a delivery ends once");
}

#[test]
fn what_was_missed_while_nobody_was_there_is_one() {
    let mut script = automation(each_minute());
    script.at = Timestamp(500 * MINUTE + 1);
    assert_eq!(fire(&mut script).len(), 1);
    assert_eq!(known(&script).pending[0].scheduled_at, Some(Timestamp(11 * MINUTE)));
    assert_eq!(deadline(&script.state), Some(Timestamp(501 * MINUTE)));
}

#[test]
fn an_occurrence_is_skipped_while_a_delivery_is_under_way() {
    let mut script = automation(each_minute());
    script.at = Timestamp(11 * MINUTE);
    fire(&mut script);
    script.at = Timestamp(12 * MINUTE);
    assert!(matches!(fire(&mut script)[..], [Event::InvocationBegun(InvocationBegun { skipped: true, .. })]));
    assert_eq!(known(&script).pending.len(), 1);
    assert_eq!(deadline(&script.state), Some(Timestamp(13 * MINUTE)));
}

#[test]
fn what_passes_during_a_pause_is_not_made_up_for() {
    let mut script = automation(each_minute());
    script.give(Command::PauseAutomation);
    assert_eq!(script.give(Command::PauseAutomation), [], "it is paused");
    assert_eq!(deadline(&script.state), None);
    script.give(Command::InvokeAutomation);
    assert_eq!(known(&script).next_at, None, "asking for a delivery does not resume it");
    script.at = Timestamp(30 * MINUTE + 5);
    script.give(Command::ResumeAutomation);
    assert_eq!(deadline(&script.state), Some(Timestamp(31 * MINUTE)));
    assert_eq!(script.give(Command::ResumeAutomation), []);
}

#[test]
fn one_time_comes_once_and_is_over() {
    let mut script = automation(Schedule::Once { run_at: Timestamp(20 * MINUTE) });
    script.give(save(Schedule::Once { run_at: Timestamp(15 * MINUTE) }));
    script.at = Timestamp(15 * MINUTE);
    fire(&mut script);
    assert!(known(&script).is_completed());
    assert_eq!(deadline(&script.state), None);
    let later = save(Schedule::Once { run_at: Timestamp(99 * MINUTE) });
    assert!(matches!(script.refusal(later), Refusal::Invalid(_)), "it has run");
    assert!(matches!(script.refusal(Command::PauseAutomation), Refusal::Invalid(_)));
}

#[test]
fn one_time_that_passed_during_a_pause_needs_another() {
    let mut script = automation(Schedule::Once { run_at: Timestamp(20 * MINUTE) });
    script.give(Command::PauseAutomation);
    script.at = Timestamp(21 * MINUTE);
    assert!(matches!(script.refusal(Command::ResumeAutomation), Refusal::Invalid(_)));
    script.give(save(Schedule::Once { run_at: Timestamp(25 * MINUTE) }));
    assert_eq!(deadline(&script.state), None, "it is paused still");
    script.give(Command::ResumeAutomation);
    assert_eq!(deadline(&script.state), Some(Timestamp(25 * MINUTE)));
}

#[test]
fn schedules_that_never_come_and_changes_of_type_are_refused() {
    let past = Schedule::Once { run_at: Timestamp(1) };
    let never = Schedule::Periodic { expression: "0 0 30 2 *".to_owned(), timezone: "UTC".to_owned() };
    let mut script = automation(each_minute());
    for schedule in [past, never, Schedule::Once { run_at: Timestamp(99 * MINUTE) }] {
        assert!(matches!(script.refusal(save(schedule)), Refusal::Invalid(_)));
    }
    assert_eq!(script.give(save(each_minute())), [], "nothing changed");
    let renamed = AutomationDefinition { name: "other".to_owned(), ..definition(each_minute()) };
    script.at = Timestamp(40 * MINUTE + 1);
    script.give(Command::SaveAutomation(Box::new(renamed)));
    assert_eq!(deadline(&script.state), Some(Timestamp(11 * MINUTE)), "a new name moves no occurrence");
}

#[test]
fn it_pauses_by_itself_when_its_session_takes_no_input_any_more() {
    let mut script = automation(each_minute());
    let failed = |pauses| {
        let (code, message) = ("c".to_owned(), "m".to_owned());
        InvocationOutcome::Failed { code, message, pauses }
    };
    script.give(Command::InvokeAutomation);
    script.give(end(3, failed(false)));
    assert!(!known(&script).is_paused);
    script.give(Command::InvokeAutomation);
    script.give(end(5, failed(true)));
    assert_eq!(known(&script).pause_reason, Some(PauseReason::TargetSessionFailed));
    assert_eq!(deadline(&script.state), None);
    script.give(Command::ResumeAutomation);
    assert_eq!(known(&script).pause_reason, None);
}

#[test]
fn deliveries_under_way_are_bounded_and_only_automations_have_them() {
    let mut script = automation(each_minute());
    (0..MAX_PENDING).for_each(|_| drop(script.give(Command::InvokeAutomation)));
    assert_eq!(script.refusal(Command::InvokeAutomation), Refusal::TooMany("deliveries under way".into()));
    script.give(Command::Delete);
    assert_eq!((deadline(&script.state), script.wanted(), script.state.is_open()), (None, None, false));
    let plain = Script::new(spec(CallMode::Wait, Interruption::Restart));
    let commands = [
        save(each_minute()),
        Command::PauseAutomation,
        Command::ResumeAutomation,
        Command::InvokeAutomation,
        end(1, delivered()),
        Command::SettleWebhooks(Vec::new()),
    ];
    for command in commands {
        assert_eq!(plain.refusal(command), Refusal::NotFound);
    }
}
