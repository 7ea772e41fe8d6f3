//! What must hold of a session in any state.

use std::{collections::BTreeSet, sync::Arc};

use mainstay_vocabulary::{Epoch, Item, PicoUsd, Role, Sequence, Usage, usage::Booking};

use super::{Script, receipt, session};
use crate::{
    Command, Envelope, Event, Spec, State,
    assembly::Assembly,
    context::Context,
    event::{Kind, LateOutcome, TurnStatus},
    feed::{Moment, expand},
    spec::Retention,
    state::Phase,
    turn::{deadline, decide, next},
};

impl Script {
    pub(super) fn note_fate(&mut self, sequence: Sequence, event: &Event) {
        match event {
            Event::InputAccepted(_) => assert!(self.accepted.insert(sequence)),
            Event::InputIncorporated { inputs } => {
                assert!(inputs.iter().all(|input| self.accepted.contains(input) && self.incorporated.insert(*input)));
            }
            Event::InferenceIntended(_) => self.check_prompt(),
            Event::InferenceEnded(ended) => {
                let before = self.booked.insert(ended.intent, ended.receipt.clone());
                assert_eq!(before, None, "booked twice");
            }
            Event::GatewayBooked(booked) => {
                for settled in &booked.settled {
                    // A gateway's journal has no intents of its own: a number stands for one.
                    let before = self.booked.insert(Sequence(settled.number), settled.receipt.clone());
                    assert_eq!(before, None, "booked twice");
                }
            }
            Event::OutcomeAfterCancel(LateOutcome::Inference { intent, receipt }) => {
                self.booked.insert(*intent, receipt.clone()).expect("corrects what was booked");
            }
            _ => {}
        }
    }

    /// The prompt has grown by appending, and holds every call with its result.
    fn check_prompt(&mut self) {
        let items = self.context.render();
        let bytes: Vec<u8> = items.iter().flat_map(|item| serde_json::to_vec(&**item).unwrap()).collect();
        let (epoch, before) = &self.rendered;
        if *epoch == self.state.context_epoch {
            assert!(bytes.starts_with(before), "the prompt was rewritten within an epoch");
        }
        self.rendered = (self.state.context_epoch, bytes);
        let mut open = BTreeSet::new();
        for item in &items {
            match &**item {
                Item::ToolCall { call_id, .. } => assert!(open.insert(call_id), "{call_id:?} stands twice"),
                Item::ToolResult { call_id, .. } => assert!(open.remove(call_id), "{call_id:?} was not open"),
                Item::Message { role: Role::User, .. } => assert!(open.is_empty(), "between a call and its result"),
                _ => {}
            }
        }
        assert!(open.is_empty(), "without a result: {open:?}");
    }

    pub(super) fn check(&self) {
        self.check_base();
        self.check_rest();
        self.check_money();
        self.check_loss();
        self.check_stream();
        let waiting: BTreeSet<_> = self.state.queue.iter().map(|queued| queued.input).collect();
        assert_eq!(waiting, self.accepted.difference(&self.incorporated).copied().collect());
    }

    /// Somebody is always named who goes on: the runtime, an inference, or the client.
    fn check_rest(&self) {
        // It has no turns; what it wants and when, its own tests say.
        if self.state.automation.is_some() {
            return;
        }
        let Some(turn) = &self.state.turn else {
            assert!(self.state.calls.is_empty() && self.state.queue.is_empty());
            // Files expire and automations fire by themselves.
            if matches!(self.state.kind, Kind::Agent | Kind::Response | Kind::Conversation) {
                let is_resting = self.state.awaited().next().is_none();
                assert!(!is_resting || (next(&self.state), deadline(&self.state)) == (None, None));
            }
            return;
        };
        let waits = self.state.phase() == Phase::WaitingForClient;
        assert_eq!(waits, turn.waiting_since.is_some());
        if self.state.effects.is_empty() {
            assert_eq!(deadline(&self.state), (!waits).then_some(turn.deadline));
        }
        let is_acting = self.state.running_effects() > 0;
        assert_eq!(next(&self.state).is_some() || is_acting, !waits && turn.inference.is_none());
        assert!(!waits || turn.inference.is_none() && turn.continued.is_none());
    }

    /// Read from where it began anew, the context is the same; people still see all of it.
    fn check_base(&self) {
        let from = self.state.context_base.map_or(Sequence(1), |base| base.from);
        let (mut read, mut whole) = (Context::default(), Context::for_people());
        for recorded in &self.journal {
            whole.apply(session(), recorded.sequence, &recorded.event);
            if recorded.sequence >= from {
                read.apply(session(), recorded.sequence, &recorded.event);
            }
        }
        assert_eq!(read, self.context, "read back from {from:?}");
        let shown: BTreeSet<_> = whole.items.iter().map(|(id, _)| id).collect();
        assert!(read.items.iter().all(|(id, _)| shown.contains(id)), "people see less than the model");
    }

    fn check_money(&self) {
        let usage = self.booked.values().fold(Usage::default(), |sum, receipt| sum.plus(receipt.usage));
        let cost = self.booked.values().filter_map(|receipt| receipt.cost).map(|cost| cost.0).sum();
        assert_eq!((self.state.usage, self.state.cost), (usage, PicoUsd(cost)));
    }

    /// What is at rest without content knows the same turn, inference and money, and lets recovery end it.
    fn check_loss(&self) {
        let lost = &self.redacted;
        let running = |state: &State| {
            let turn = state.turn.as_ref();
            turn.map(|turn| (turn.id, turn.inference.clone(), turn.steps, turn.attempts, turn.failures, turn.usage))
        };
        let ended = |state: &State| state.last_turn.as_ref().map(|last| (last.id, last.ended));
        assert_eq!(running(lost), running(&self.state));
        assert_eq!(ended(lost), ended(&self.state));
        let waiting =
            |state: &State| state.queue.iter().map(|queued| (queued.input, queued.steers)).collect::<Vec<_>>();
        assert_eq!((waiting(lost), lost.sequence), (waiting(&self.state), self.state.sequence));
        assert_eq!((lost.usage, lost.cost), (self.state.usage, self.state.cost));
        assert_eq!(lost.spec.retention, self.state.spec.retention);
        if lost.deleted || lost.sequence.0 == 0 {
            return;
        }
        let mut lost = lost.clone();
        lost.spec = Arc::new(Spec { retention: Retention::ReceiptOnly, ..(*lost.spec).clone() });
        let estimate = receipt(10, Booking::Estimated);
        let (command, shown) = (Command::Recover { epoch: Epoch(2), running: Vec::new() }, Assembly::default());
        let envelope = Envelope {
            command,
            at: self.at,
            session: session(),
            shown: &shown,
            estimate: &estimate,
            actor: &self.actor,
            epoch: self.epoch,
            rulings: &self.rulings,
        };
        let after = decide(&lost, envelope).unwrap().after;
        assert!(after.turn.is_none() && after.queue.is_empty() && after.calls.is_empty());
        let status = after.last_turn.map(|last| last.status);
        assert!(lost.turn.is_none() || matches!(status, Some(TurnStatus::Failed(_))));
    }

    fn check_stream(&self) {
        assert_same(&expand(&self.journal, &self.slices), &self.live);
        if self.state.turn.as_ref().is_none_or(|turn| turn.inference.is_none()) {
            assert_same(&expand(&self.journal, &[]), &self.live);
            assert_eq!(self.state.next_ordinal, self.next_ordinal, "ordinals would be used again");
        }
    }
}

/// The streams are the same; else shows where they part.
pub(crate) fn assert_same(replayed: &[Moment], live: &[Moment]) {
    let parts = replayed.iter().zip(live).position(|(replayed, live)| replayed != live);
    let parts = parts.or((replayed.len() != live.len()).then_some(replayed.len().min(live.len())));
    if let Some(at) = parts {
        panic!("moment {at}: replayed {:?}, was {:?}", replayed.get(at), live.get(at));
    }
}
