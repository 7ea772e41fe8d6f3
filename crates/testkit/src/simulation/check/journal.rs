//! One journal: every fact in its place, every effect with one fate, every token counted once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mainstay_session::{
    Event, State,
    event::{Delivery, LateOutcome, Purpose},
};
use mainstay_vocabulary::{CallId, Sequence, SessionId, Timestamp, Usage};

use crate::simulation::{compose::MARK, provider::TOKEN, reader::Entered};

/// What was read so far.
#[derive(Default)]
struct Reading {
    at: Timestamp,
    epoch: u64,
    turn: Option<Sequence>,
    open: Option<Sequence>,
    ended: BTreeSet<Sequence>,
    booked: BTreeMap<Sequence, Usage>,
    opened: BTreeSet<CallId>,
    closed: BTreeSet<CallId>,
    /// Accepted and not incorporated.
    waiting: BTreeMap<Sequence, Delivery>,
    /// The last incorporated input of each delivery: one that steers or interrupts may overtake one that waits.
    last: HashMap<Delivery, Sequence>,
    /// Context epoch of each intent.
    epochs: Vec<(Sequence, Sequence)>,
}

/// Checks a journal; returns the context epoch of each intent.
pub(super) fn check(
    session: SessionId,
    journal: &[Entered],
    is_at_rest: bool,
    note: &mut dyn FnMut(String),
) -> Vec<(Sequence, Sequence)> {
    let mut reading = Reading::default();
    let mut state = State::unborn(session);
    for (place, entered) in (1..).zip(journal) {
        let recorded = &entered.recorded;
        if recorded.sequence.0 != place {
            note(format!("event {} stands at {place}", recorded.sequence.0));
        }
        if recorded.at < reading.at {
            note(format!("event {place} is older than the one before"));
        }
        reading.at = recorded.at;
        state.apply(recorded.at, recorded.sequence, &recorded.event);
        reading.take(&state, recorded.sequence, &recorded.event, note);
    }
    let booked = reading.booked.values().fold(Usage::default(), |sum, usage| sum.plus(*usage));
    if booked != state.usage {
        note(format!("its receipts add up to {booked:?}, not {:?}", state.usage));
    }
    if is_at_rest {
        if reading.open.is_some() || state.is_open() {
            note("it does not come to rest".to_owned());
        }
        let waits = state.turn.is_some() || state.deleted;
        if !waits && !reading.waiting.is_empty() {
            note(format!("inputs {:?} have no fate", reading.waiting.keys()));
        }
    }
    reading.epochs
}

impl Reading {
    fn take(&mut self, state: &State, sequence: Sequence, event: &Event, note: &mut dyn FnMut(String)) {
        match event {
            Event::TurnStarted(_) => {
                let is_alone = self.turn.replace(sequence).is_none();
                require(is_alone, note, || format!("turn {} starts inside another", sequence.0));
            }
            Event::TurnEnded(ended) => {
                let is_due = self.turn.take() == Some(ended.turn) && self.open.is_none();
                require(is_due, note, || format!("turn {} ends at {} out of order", ended.turn.0, sequence.0));
            }
            Event::InputAccepted(input) => {
                self.waiting.insert(sequence, input.delivery);
            }
            Event::InputIncorporated { inputs } => inputs.iter().for_each(|input| self.incorporate(*input, note)),
            Event::InferenceIntended(intended) => {
                if self.open.replace(sequence).is_some() {
                    note(format!("inference {} begins beside another", sequence.0));
                }
                if intended.epoch.0 < self.epoch {
                    note(format!("inference {} is made under an old lease", sequence.0));
                }
                self.epoch = intended.epoch.0;
                // A digest is asked for with another prompt.
                if intended.purpose == Purpose::Answer {
                    self.epochs.push((sequence, state.context_epoch));
                }
            }
            Event::InferenceEnded(ended) => {
                if !self.ended.insert(ended.intent) || self.open.take() != Some(ended.intent) {
                    note(format!("inference {} ends twice", ended.intent.0));
                }
                let booked = self.booked.entry(ended.intent).or_default();
                *booked = booked.plus(ended.receipt.usage);
            }
            Event::OutcomeAfterCancel(LateOutcome::Inference { intent, receipt }) => {
                self.booked.insert(*intent, receipt.usage);
            }
            Event::CallOpened(call) => {
                let is_fresh = self.opened.insert(call.call_id.clone()) && !self.closed.contains(&call.call_id);
                require(is_fresh, note, || format!("{:?} is handed out twice", call.call_id));
            }
            Event::CallClosed { call_id, .. } => {
                let is_open = self.closed.insert(call_id.clone());
                require(is_open, note, || format!("{call_id:?} is closed twice"));
            }
            _ => {}
        }
    }

    fn incorporate(&mut self, input: Sequence, note: &mut dyn FnMut(String)) {
        let Some(delivery) = self.waiting.remove(&input) else {
            return note(format!("input {} is incorporated twice or was never accepted", input.0));
        };
        let last = self.last.entry(delivery).or_default();
        if *last > input {
            note(format!("input {} is incorporated after {}", input.0, last.0));
        }
        *last = input;
    }
}

fn require(holds: bool, note: &mut dyn FnMut(String), what: impl FnOnce() -> String) {
    if !holds {
        note(what());
    }
}

/// A session that keeps receipts only holds no content.
pub(super) fn check_withheld(journal: &[Entered], note: &mut dyn FnMut(String)) {
    for entered in journal {
        let json = serde_json::to_string(&*entered.recorded.event).unwrap_or_default();
        if json.contains(MARK) || json.contains(TOKEN) {
            note(format!("event {} holds content", entered.recorded.sequence.0));
        }
    }
}
