//! The conversation as a model sees it, folded from the journal. Grows by appending within a context epoch.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mainstay_vocabulary::{
    CallId, Item, ItemId, Sequence, SessionId,
    item::{ItemKind, ToolOutput},
};

use crate::{
    compaction::{Kept, Stays},
    event::{CallOutcome, Event, Replaced, Written},
};

/// What the model is told of a call whose turn was cancelled.
const CANCELLED: &str = "The call was cancelled before its result arrived; whether it ran is unknown.";

/// The items of a session's context, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// The items with their ids.
    pub items: Vec<(ItemId, Arc<Item>)>,
    accepted: BTreeMap<Sequence, Vec<Arc<Item>>>,
    written: Vec<(ItemId, Arc<Item>)>,
    /// Whether what was replaced or dropped stays: for people, not for models.
    keeps_replaced: bool,
}

impl Context {
    /// The conversation as people see it: a digest stands beside what it replaces for models.
    pub fn for_people() -> Self {
        Self { keeps_replaced: true, ..Self::default() }
    }

    /// Takes one event of `session` at `sequence`; events must come in order.
    pub fn apply(&mut self, session: SessionId, sequence: Sequence, event: &Event) {
        match event {
            Event::InputAccepted(input) => {
                self.accepted.insert(sequence, input.items.clone());
            }
            Event::InputIncorporated { inputs } => {
                self.items.append(&mut self.written);
                for &input in inputs {
                    let items = self.accepted.remove(&input).unwrap_or_default();
                    self.append(session, input, &items);
                }
            }
            Event::ItemsAdded(items) => self.append(session, sequence, items),
            Event::ItemCompleted(written) => self.written.push((written.id, Arc::clone(&written.item))),
            Event::ItemInterrupted(written) if is_said(written) => {
                self.written.push((written.id, Arc::clone(&written.item)));
            }
            Event::InferenceEnded(ended) => {
                let written = std::mem::take(&mut self.written);
                if ended.kept {
                    self.items.extend(written);
                }
            }
            Event::CallClosed { call_id, outcome } => {
                let id = ItemId { session, sequence, ordinal: 0 };
                self.items.push((id, result_of(call_id, outcome)));
            }
            Event::ItemHidden { item } => self.items.retain(|(id, _)| id != item),
            // An item that was to go on and is closed between attempts: the next attempt says it anew, the end of the
            // turn leaves it said.
            Event::InferenceIntended(_) => self.written.clear(),
            Event::TurnEnded(_) => self.items.append(&mut self.written),
            Event::ContextReplaced(replaced) => self.replace(replaced),
            Event::SessionCreated(_)
            | Event::SpecChanged(_)
            | Event::MetadataChanged(_)
            | Event::TurnStarted(_)
            | Event::ItemInterrupted(_)
            | Event::CallOpened(_)
            | Event::OutcomeAfterCancel(_)
            | Event::TurnHidden { .. }
            | Event::Recovered { .. }
            | Event::SessionDeleted
            | Event::AgentSaved { .. }
            | Event::AgentDeleted { .. }
            | Event::AgentArchived { .. }
            | Event::EchoChanged(_)
            | Event::SessionArchived
            | Event::GatewayBooked(_)
            | Event::FileBegun(_)
            | Event::FilePart(_)
            | Event::FileCompleted { .. }
            | Event::AutomationSaved(_)
            | Event::AutomationPaused { .. }
            | Event::AutomationResumed { .. }
            | Event::InvocationBegun(_)
            | Event::InvocationEnded { .. }
            | Event::WebhooksSettled(_)
            | Event::ToolsListed(_)
            | Event::CallIntended(_)
            | Event::CallLost(_)
            | Event::ApprovalAsked(_)
            | Event::ApprovalAnswered(_)
            | Event::CallResolved(_)
            | Event::CompactionAsked
            | Event::CompactionSkipped
            | Event::Withheld => {}
        }
    }

    fn replace(&mut self, replaced: &Replaced) {
        let digest = replaced.digest.iter().map(|digest| (digest.id, Arc::new(digest.item())));
        if self.keeps_replaced {
            self.items.extend(digest);
            return;
        }
        let pair = |kept: &Kept| (kept.id, Arc::clone(&kept.item));
        let Stays { before, after } = &replaced.stays;
        self.items = before.iter().map(pair).chain(digest).chain(after.iter().map(pair)).collect();
    }

    fn append(&mut self, session: SessionId, sequence: Sequence, items: &[Arc<Item>]) {
        let ids = (0..).map(|ordinal| ItemId { session, sequence, ordinal });
        self.items.extend(ids.zip(items.iter().cloned()));
    }

    /// The conversation to send, oldest first. A call whose result was hidden, or a result whose call was, is left
    /// out: providers refuse half a pair.
    pub fn render(&self) -> Vec<Arc<Item>> {
        whole_pairs(&self.items)
    }
}

/// The items without calls that lack a result and results that lack a call.
pub(crate) fn whole_pairs(items: &[(ItemId, Arc<Item>)]) -> Vec<Arc<Item>> {
    let mut calls = BTreeSet::new();
    let mut results = BTreeSet::new();
    for (_, item) in items {
        match &**item {
            Item::ToolCall { call_id, .. } => calls.insert(call_id),
            Item::ToolResult { call_id, .. } => results.insert(call_id),
            Item::Message { .. } | Item::Reasoning { .. } | Item::Compaction { .. } | Item::Other(_) => false,
        };
    }
    let is_whole = |item: &Item| match item {
        Item::ToolCall { call_id, .. } => results.contains(call_id),
        Item::ToolResult { call_id, .. } => calls.contains(call_id),
        Item::Message { .. } | Item::Reasoning { .. } | Item::Compaction { .. } | Item::Other(_) => true,
    };
    items.iter().map(|(_, item)| item).filter(|item| is_whole(item)).cloned().collect()
}

/// Only what was said to the user stays of an interrupted inference; half a call or half a thought does not.
const fn is_said(written: &Written) -> bool {
    !written.continues && matches!(written.kind, ItemKind::Message | ItemKind::Refusal)
}

/// The result item that a call's fate puts into the conversation.
pub fn result_of(call_id: &CallId, outcome: &CallOutcome) -> Arc<Item> {
    let told = |text: &str| {
        Arc::new(Item::ToolResult {
            call_id: call_id.clone(),
            output: ToolOutput::Text(text.to_owned()),
            error: Some(text.to_owned()),
        })
    };
    match outcome {
        CallOutcome::Returned(item) => Arc::clone(item),
        CallOutcome::Cancelled => told(CANCELLED),
        CallOutcome::Refused(why) | CallOutcome::Failed(why) | CallOutcome::Denied(why) | CallOutcome::Unknown(why) => {
            told(why)
        }
    }
}

/// Takes `items` into account: their calls become open, their results close calls. Nobody but the runtime answers a
/// call that it runs.
pub fn follow_calls(open: &mut Vec<CallId>, items: &[Arc<Item>]) {
    for item in items {
        match &**item {
            Item::ToolCall { call_id, served: None, .. } => open.push(call_id.clone()),
            Item::ToolResult { call_id, .. } => open.retain(|known| known != call_id),
            Item::ToolCall { .. }
            | Item::Message { .. }
            | Item::Reasoning { .. }
            | Item::Compaction { .. }
            | Item::Other(_) => {}
        }
    }
}
