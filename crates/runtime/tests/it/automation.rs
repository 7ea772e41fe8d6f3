//! Automations under a virtual clock: they fire when they should, each delivery makes one session, and a stop in between
//! changes neither.

use std::{sync::Arc, time::Duration};

use mainstay_runtime::{Direction, Listing, automation::Invocation};
use mainstay_session::{
    Command, Spec,
    automation::{AutomationDefinition, InvocationOutcome, NewSession, PauseReason, Target},
    command::Create,
    event::{Created, Delivery, Kind},
    schedule::Schedule,
};
use mainstay_vocabulary::{Content, Item, Object, Role, SessionId, Timestamp};

use crate::house::{House, created};

const SCRIPT: &str = "[[reply]]\nrepeat = true\nsteps = [{ text = \"Yes.\" }]\n";
/// What the clock of a house shows when it is opened.
const OPENED: u64 = 1_800_000_000_000;

fn each_minute() -> Schedule {
    Schedule::Periodic { expression: "* * * * *".to_owned(), timezone: "UTC".to_owned() }
}

fn new_session() -> Target {
    let content = vec![Content::Text("Is it?".to_owned())];
    let items = vec![Arc::new(Item::Message { role: Role::User, content, phase: None })];
    let spec = Some(Arc::new(Spec::plain("m")));
    Target::NewSession(Box::new(NewSession { agent: None, spec, items, metadata: Object::new() }))
}

async fn automate(house: &House, schedule: Schedule, target: Target) -> SessionId {
    let created = Created { kind: Kind::Automation, ..created(Spec::plain("")) };
    let create = Command::Create(Box::new(Create { created, items: Vec::new(), input: None }));
    let (name, principal) = ("n".to_owned(), house.caller.principal.clone());
    let definition = AutomationDefinition { name, schedule, target, metadata: Object::new(), principal };
    let command = Command::All(vec![create, Command::SaveAutomation(Box::new(definition))]);
    let automation = house.engine.session_id(&house.caller, None, None);
    house.engine.submit(&house.caller, automation, command, None).await.unwrap();
    automation
}

async fn invocations(house: &House, automation: SessionId) -> Vec<Invocation> {
    house.engine.invocations(&house.caller, automation, (None, Direction::Ascending), 100).await.unwrap()
}

/// Waits until as many deliveries as that have come to their end.
async fn until_settled(house: &House, automation: SessionId, count: usize) -> Vec<Invocation> {
    loop {
        let found = invocations(house, automation).await;
        if found.iter().filter(|found| found.outcome.is_some() || found.skipped).count() >= count {
            return found;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn sessions(house: &House) -> Vec<SessionId> {
    let listing = Listing { kind: Kind::Agent, after: None, direction: Direction::Ascending, limit: 100 };
    house.engine.list(&house.caller, listing).await.unwrap().iter().map(|state| state.session).collect()
}

fn session_of(invocation: &Invocation) -> SessionId {
    match &invocation.outcome {
        Some(InvocationOutcome::Delivered(session)) => *session,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn it_fires_each_minute_and_each_time_begins_one_session() {
    let house = House::new(SCRIPT).await;
    let automation = automate(&house, each_minute(), new_session()).await;
    let found = until_settled(&house, automation, 5).await;
    let scheduled: Vec<_> = found.iter().take(5).map(|invocation| invocation.scheduled_at.unwrap()).collect();
    let minutes: Vec<_> = (1..=5).map(|minute| Timestamp(OPENED + minute * 60_000)).collect();
    assert_eq!(scheduled, minutes);
    assert!(found.iter().take(5).all(|invocation| invocation.begun_at.0 - invocation.scheduled_at.unwrap().0 < 1_000));
    let made: Vec<_> = found.iter().map(session_of).collect();
    assert_eq!(sessions(&house).await, made);
}

#[tokio::test(start_paused = true)]
async fn a_stop_between_firings_loses_and_doubles_none() {
    let mut house = House::new(SCRIPT).await;
    let automation = automate(&house, each_minute(), new_session()).await;
    for count in 1..=4 {
        until_settled(&house, automation, count).await;
        // The clock begins where it began: what is missed meanwhile is none, and what was done is not done again.
        house = house.restarted().await;
    }
    let found = until_settled(&house, automation, 5).await;
    let made: Vec<_> = found.iter().map(session_of).collect();
    assert_eq!(sessions(&house).await, made);
}

#[tokio::test(start_paused = true)]
async fn an_existing_session_is_told_until_it_takes_no_more() {
    let house = House::new(SCRIPT).await;
    let (session, _) = house.begin(Spec::plain("m"), "hello").await;
    let target = Target::Session { session, instructions: "Go on.".to_owned() };
    let automation = automate(&house, each_minute(), target).await;
    until_settled(&house, automation, 2).await;
    let context = house.engine.context(&house.caller, session).await.unwrap();
    let told = context.iter().filter(|(_, item)| format!("{item:?}").contains("Go on.")).count();
    assert!(told >= 2, "{told}");
    house.say(session, "and then", Delivery::Queue).await;
    house.engine.submit(&house.caller, session, Command::Delete, None).await.unwrap();
    let state = loop {
        let state = house.engine.state(&house.caller, automation).await.unwrap();
        if state.automation.as_ref().unwrap().is_paused {
            break state;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    };
    assert_eq!(state.automation.as_ref().unwrap().pause_reason, Some(PauseReason::TargetSessionFailed));
    let last = invocations(&house, automation).await.pop().unwrap();
    assert!(
        matches!(last.outcome, Some(InvocationOutcome::Failed { ref code, .. }) if code == "target_session_failed")
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_automation_leaves_nothing_and_fires_no_more() {
    let house = House::new(SCRIPT).await;
    let automation = automate(&house, Schedule::Once { run_at: Timestamp(OPENED + 60_000) }, new_session()).await;
    house.engine.submit(&house.caller, automation, Command::Delete, None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(sessions(&house).await, []);
    let listing = Listing { kind: Kind::Automation, after: None, direction: Direction::Ascending, limit: 100 };
    assert!(house.engine.list(&house.caller, listing).await.unwrap().is_empty());
    assert!(house.engine.invocations(&house.caller, automation, (None, Direction::Ascending), 1).await.is_err());
}
