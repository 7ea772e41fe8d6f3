//! Items and turns out of a window of the journal. A window must begin where a turn starts, or at the journal's
//! beginning; `Turns` says whether it reaches far enough.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_session::{
    Event, State,
    event::{CallOpened, CallOutcome, TurnEnded},
    feed::Recorded,
    state::Phase,
};
use mainstay_vocabulary::{CallId, Item, ItemId, Sequence, Timestamp};
use serde_json::Value;

use super::{
    agent_id, item, served, turn_id,
    types::{self, Progress, Turn},
};

/// The items and turns of a window.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// The items that became visible in it, in order, with the turn each is of.
    pub items: Vec<(Sequence, ItemId, Value)>,
    /// The turns that started in it, in order.
    pub turns: Vec<Span>,
    /// Inputs that it names and does not hold, in order: to be read apart and given with the events.
    pub missing: Vec<Sequence>,
}

/// A turn from its start to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The sequence of its `TurnStarted`.
    pub id: Sequence,
    /// When it started.
    pub started_at: Timestamp,
    /// When and how it ended, where the window holds that.
    pub ended: Option<(Timestamp, Box<TurnEnded>)>,
}

/// What the fold over a window keeps.
struct Fold<'a> {
    state: &'a State,
    accepted: BTreeMap<Sequence, Vec<Arc<Item>>>,
    turn: Option<Sequence>,
    calls: Vec<CallId>,
    /// Calls that the runtime runs.
    served: Vec<CallOpened>,
    out: Turns,
}

impl Turns {
    /// Reads a window. `inputs` are `InputAccepted` events from before it.
    pub fn read(state: &State, inputs: &[Recorded], events: &[Recorded]) -> Self {
        let mut fold = Fold {
            state,
            accepted: BTreeMap::new(),
            turn: None,
            calls: Vec::new(),
            served: Vec::new(),
            out: Self::default(),
        };
        for recorded in inputs {
            if let Event::InputAccepted(input) = &*recorded.event {
                fold.accepted.insert(recorded.sequence, input.items.clone());
            }
        }
        for recorded in events {
            fold.take(recorded);
        }
        fold.out
    }
}

impl Fold<'_> {
    fn take(&mut self, recorded: &Recorded) {
        let (sequence, session) = (recorded.sequence, self.state.session);
        let turn = self.turn.map(|turn| turn_id(session, turn)).unwrap_or_default();
        match &*recorded.event {
            Event::InputAccepted(input) => {
                self.accepted.insert(sequence, input.items.clone());
            }
            Event::TurnStarted(_) => {
                self.turn = Some(sequence);
                self.calls.clear();
                self.out.turns.push(Span { id: sequence, started_at: recorded.at, ended: None });
            }
            Event::InputIncorporated { inputs } => self.take_inputs(inputs, &turn),
            Event::ItemCompleted(written) => {
                self.push(written.id, item::journaled(written, "completed", &turn));
            }
            Event::ItemInterrupted(written) if !written.continues => {
                self.push(written.id, item::journaled(written, "incomplete", &turn));
            }
            Event::CallOpened(call) if call.served.is_some() => {
                self.served.push(call.clone());
                self.push(call.item, Some(served::call(call, None, &turn)));
            }
            Event::CallOpened(call) => {
                self.calls.push(call.call_id.clone());
                self.push(call.item, Some(item::call(call, "completed", &turn)));
            }
            Event::CallClosed { call_id, outcome } => self.take_outcome(sequence, (call_id, outcome), &turn),
            Event::TurnEnded(ended) => {
                self.turn = None;
                if let Some(last) = self.out.turns.last_mut().filter(|span| span.id == ended.turn) {
                    last.ended = Some((recorded.at, ended.clone()));
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, id: ItemId, value: Option<Value>) {
        if let (Some(value), Some(turn)) = (value, self.turn) {
            self.out.items.push((turn, id, value));
        }
    }

    fn take_inputs(&mut self, inputs: &[Sequence], turn: &str) {
        for &sequence in inputs {
            let Some(items) = self.accepted.remove(&sequence) else {
                self.out.missing.push(sequence);
                continue;
            };
            for (ordinal, item) in (0..).zip(&items) {
                let id = ItemId { session: self.state.session, sequence, ordinal };
                self.push(id, Some(item::input(id, item, turn)));
            }
        }
    }

    fn take_outcome(&mut self, sequence: Sequence, (call_id, outcome): (&CallId, &CallOutcome), turn: &str) {
        if let Some(call) = self.served.iter().find(|call| call.call_id == *call_id) {
            let shown = served::call(call, Some(outcome), turn);
            if let Some((_, _, value)) = self.out.items.iter_mut().rev().find(|(_, id, _)| *id == call.item) {
                *value = shown;
            }
        } else if self.calls.contains(call_id) {
            let id = ItemId { session: self.state.session, sequence, ordinal: 0 };
            self.push(id, Some(item::outcome(id, &call_id.0, outcome, turn)));
        }
    }
}

/// The object of a turn of a window.
pub fn turn_object(state: &State, span: &Span) -> Value {
    let progress = match &span.ended {
        Some((at, ended)) => Progress::Ended(*at, ended.clone()),
        None if state.phase() == Phase::WaitingForClient => Progress::Waiting,
        None => Progress::Running,
    };
    let (id, started_at) = (span.id, span.started_at);
    types::turn(&Turn { session: state.session, agent: agent_id(state), id, started_at, progress })
}
