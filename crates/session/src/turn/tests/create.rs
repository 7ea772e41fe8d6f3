//! A session begins.

use mainstay_vocabulary::{CallId, Sequence};

use super::script::*;
use crate::{
    Command, Event, Refusal,
    command::Create,
    event::{Created, Delivery, Fork},
    spec::{CallMode, Interruption},
    turn::{MAX_FORKS, MAX_ITEMS, MAX_UNANSWERED, Wanted},
};

fn plain() -> Created {
    created(spec(CallMode::Yield, Interruption::End))
}

fn command(created: Created, items: usize, input: Option<crate::event::Input>) -> Command {
    let items = (0..items).map(|number| message(&number.to_string())).collect();
    Command::Create(Box::new(Create { created, items, input }))
}

#[test]
fn with_and_without_items_and_input() {
    let hello = || Some(input(Delivery::Reject, vec![message("hello")]));
    let table = [
        (command(plain(), 0, None), vec!["created"], None),
        (command(plain(), 2, None), vec!["created", "added"], None),
        (command(plain(), 0, hello()), vec!["created", "accepted", "started", "incorporated"], Some(())),
        (command(plain(), 1, hello()), vec!["created", "added", "accepted", "started", "incorporated"], Some(())),
    ];
    for (command, events, wanted) in table {
        let mut script = Script::unborn();
        assert_eq!(names(&script.give(command)), events);
        assert_eq!(script.wanted(), wanted.map(|()| Wanted::Infer { not_before: None }));
        assert_eq!(script.state.created_at, script.at);
    }
}

#[test]
fn only_once_and_before_all_else() {
    let script = Script::unborn();
    for command in
        [say(Delivery::Steer, "hello"), Command::Delete, Command::CheckDeadline, Command::Cancel { turn: None }]
    {
        assert_eq!(script.refusal(command), Refusal::NotFound);
    }
    let script = Script::new(spec(CallMode::Wait, Interruption::End));
    assert_eq!(script.refusal(command(plain(), 0, None)), Refusal::Exists);
}

#[test]
fn forks_above_each_other_are_bounded() {
    let fork = |depth| Created {
        parent: Some(Fork { session: session(), sequence: Sequence(9), depth, tokens: 0 }),
        ..plain()
    };
    let mut script = Script::unborn();
    assert_eq!(
        script.refusal(command(fork(MAX_FORKS + 1), 0, None)),
        Refusal::TooMany("forks above each other".into())
    );
    script.give(command(fork(MAX_FORKS), 0, None));
    assert_eq!(script.state.parent.map(|fork| fork.depth), Some(MAX_FORKS));
}

#[test]
fn too_many_items_or_open_calls_are_refused() {
    let script = Script::unborn();
    assert_eq!(script.refusal(command(plain(), MAX_ITEMS + 1, None)), Refusal::TooMany("items in one request".into()));
    let items = (0..=MAX_UNANSWERED).map(|number| call_item(&number.to_string())).collect();
    let create = Create { created: plain(), items, input: None };
    assert_eq!(script.refusal(Command::Create(Box::new(create))), Refusal::TooMany("calls without a result".into()));
}

#[test]
fn inherited_calls_must_be_answered_by_the_first_input() {
    let open = CallId("call_of_parent".to_owned());
    let with = |items| Created { unanswered: vec![open.clone()], ..plain() }.into_create(items);
    let mut script = Script::unborn();
    assert_eq!(script.refusal(with(vec![message("hello")])), Refusal::CallsUnanswered(vec![open.clone()]));
    let events = script.give(with(vec![result_item(&open)]));
    assert!(matches!(events[0], Event::SessionCreated(_)));
    assert!(script.state.unanswered.is_empty());
}

impl Created {
    fn into_create(self, items: Vec<std::sync::Arc<mainstay_vocabulary::Item>>) -> Command {
        let input = Some(input(Delivery::Reject, items));
        Command::Create(Box::new(Create { created: self, items: Vec::new(), input }))
    }
}
