//! A session begins; an input is taken.

use mainstay_vocabulary::{CallId, Item};

use super::{
    MAX_FORKS, MAX_ITEMS, MAX_QUEUE, approval, cancel,
    draft::{Draft, Items},
    edit, effect,
};
use crate::{
    command::{Accept, Create, Refusal, Respond},
    context::follow_calls,
    event::{Delivery, Event, Input, Task},
};

pub(super) fn create(draft: &mut Draft<'_>, create: Create) -> Result<(), Refusal> {
    if draft.state.sequence.0 > 0 {
        return Err(Refusal::Exists);
    }
    if create.created.parent.is_some_and(|fork| fork.depth > MAX_FORKS) {
        return Err(Refusal::TooMany("forks above each other".into()));
    }
    draft.push(Event::SessionCreated(Box::new(create.created)));
    edit::add_items(draft, create.items)?;
    match create.input {
        Some(input) => take_input(draft, input),
        None => Ok(()),
    }
}

pub(super) fn accept(draft: &mut Draft<'_>, accept: Accept) -> Result<(), Refusal> {
    if let Some(head) = accept.head {
        let is_head = head.session == draft.state.session
            && draft.state.turn.is_none()
            && draft.state.last_turn.as_ref().is_some_and(|last| last.is_head && last.id == head.sequence);
        if !is_head {
            return Err(Refusal::NotHead);
        }
    }
    if draft.state.turn.is_some() && accept.input.delivery == Delivery::Interrupt {
        cancel::interrupt(draft);
    }
    if let Some(spec) = accept.spec.filter(|spec| **spec != *draft.state.spec) {
        if draft.state.turn.is_some() {
            return Err(Refusal::Busy);
        }
        draft.push(Event::SpecChanged(spec));
    }
    take_answers(draft, accept.input, accept.answers)
}

pub(super) fn take_input(draft: &mut Draft<'_>, input: Input) -> Result<(), Refusal> {
    take_answers(draft, input, Vec::new())
}

/// Takes an input that brings people's answers to calls of the turn before. What it does not answer is not made.
fn take_answers(draft: &mut Draft<'_>, input: Input, answers: Vec<Respond>) -> Result<(), Refusal> {
    if input.items.len() > MAX_ITEMS {
        return Err(Refusal::TooMany("items in one input".into()));
    }
    let is_idle = draft.state.turn.is_none();
    let task = input.options.task;
    let mut unanswered = Vec::new();
    if is_idle {
        unanswered = check_calls(&draft.state.unanswered, &input.items)?;
        if task == Task::Answer && !unanswered.is_empty() {
            return Err(Refusal::CallsUnanswered(unanswered));
        }
    } else if input.delivery == Delivery::Reject || task == Task::Compact {
        return Err(Refusal::Busy);
    } else if draft.state.queue.len() >= MAX_QUEUE {
        return Err(Refusal::TooMany("inputs that wait".into()));
    } else if input.items.iter().any(|item| matches!(**item, Item::ToolResult { .. } | Item::ToolCall { .. })) {
        return Err(Refusal::Invalid("an input to a running turn may hold messages only".to_owned()));
    }
    let sequence = draft.push(Event::InputAccepted(input));
    if is_idle {
        draft.begin_turn(sequence, (task, unanswered));
    }
    for answer in answers {
        approval::respond(draft, answer)?;
    }
    if is_idle {
        effect::go_on(draft);
        draft.incorporate();
    }
    Ok(())
}

/// Every result has its call once the input is taken, and every call at most one; returns those that have none.
fn check_calls(unanswered: &[CallId], items: &Items) -> Result<Vec<CallId>, Refusal> {
    let mut open = unanswered.to_vec();
    for item in items {
        match &**item {
            Item::ToolResult { call_id, .. } if !open.contains(call_id) => {
                return Err(Refusal::CallNotOpen(call_id.clone()));
            }
            Item::ToolCall { call_id, .. } if open.contains(call_id) => {
                return Err(Refusal::Invalid(format!("call_id {} stands twice", call_id.0)));
            }
            _ => follow_calls(&mut open, std::slice::from_ref(item)),
        }
    }
    Ok(open)
}
