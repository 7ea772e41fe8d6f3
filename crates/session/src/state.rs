//! A session as it stands: the fold of its journal, bounded in size however long the journal is.

use std::{collections::BTreeSet, sync::Arc};

use mainstay_vocabulary::{CallId, Item, Object, PicoUsd, Sequence, SessionId, Timestamp, TurnId, Usage};
use serde::{Deserialize, Serialize};

use crate::{
    assembly::Continued,
    event::{
        AgentRef, CallOpened, Created, Event, Fork, InferenceEnded, InferenceOutcome, Intended, Kind, LateOutcome,
        Receipt, TurnEnded, TurnStarted, TurnStatus, Written,
    },
    registry::{Agent, Registry},
    spec::{CallMode, Spec},
};

/// The version of this fold; a snapshot of another one is upcast or folded anew.
pub const FOLD_VERSION: u32 = 1;

/// A session as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Which.
    pub session: SessionId,
    /// The last event folded; 0 before the first.
    pub sequence: Sequence,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its last event was decided.
    pub active_at: Timestamp,
    /// What it is for.
    pub kind: Kind,
    /// What it runs with.
    pub spec: Arc<Spec>,
    /// Where `spec` was set.
    pub spec_at: Sequence,
    /// Where the context epoch began.
    pub context_epoch: Sequence,
    /// Where it forked off.
    pub parent: Option<Fork>,
    /// The client's key-value pairs.
    pub metadata: Object,
    /// The saved agent.
    pub agent: Option<AgentRef>,
    /// Parameters of the wire for the session as a whole.
    pub echo: Object,
    /// The turn that runs.
    pub turn: Option<Turn>,
    /// The turn that ended last.
    pub last_turn: Option<LastTurn>,
    /// Accepted inputs that are not incorporated yet, oldest first.
    pub queue: Vec<Queued>,
    /// Calls that wait for the client's result, oldest first.
    pub calls: Vec<CallOpened>,
    /// Calls of an ended turn that the next input must answer.
    pub unanswered: Vec<CallId>,
    /// What was cut short last: what comes back of it later is journaled.
    pub cancelled: Cancelled,
    /// The ordinal that the next delta gets, as far as events tell.
    pub next_ordinal: u64,
    /// All its tokens.
    pub usage: Usage,
    /// All its cost, where prices are known.
    pub cost: PicoUsd,
    /// Whether it is gone for its clients.
    pub deleted: bool,
    /// Saved agents (registry journals only).
    pub registry: Registry,
}

/// The turn that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The sequence of its `TurnStarted`.
    pub id: Sequence,
    /// The input that started it.
    pub input: Sequence,
    /// When it started.
    pub started_at: Timestamp,
    /// When it must be over, unless it waits for the client.
    pub deadline: Timestamp,
    /// Since when it has waited for the client.
    pub waiting_since: Option<Timestamp>,
    /// Inferences whose items stay, however they ended.
    pub steps: u32,
    /// Attempts of the inference at hand, interrupted ones included.
    pub attempts: u32,
    /// Attempts of it that failed upstream.
    pub failures: u32,
    /// The inference under way.
    pub inference: Option<OpenInference>,
    /// When the next attempt may begin.
    pub retry_at: Option<Timestamp>,
    /// The item that the next attempt goes on with.
    pub continued: Option<Continued>,
    /// Its tokens so far.
    pub usage: Usage,
}

/// The inference under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenInference {
    /// The sequence of its intent.
    pub intent: Sequence,
    /// What was intended.
    pub intended: Intended,
}

/// The turn that ended last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastTurn {
    /// The sequence of its `TurnStarted`.
    pub id: Sequence,
    /// How it ended.
    pub status: TurnStatus,
    /// The sequence of its `TurnEnded`.
    pub ended: Sequence,
    /// Whether the context is still as it left it.
    pub is_head: bool,
}

/// What the last turn that was cut short had open; its late outcomes are taken, older ones are not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The sequence of its `TurnStarted`.
    pub turn: Sequence,
    /// Its calls whose results are still out.
    pub calls: BTreeSet<CallId>,
    /// The intent of its inference, with the estimate that was booked.
    pub inference: Option<(Sequence, Receipt)>,
}

/// An accepted input that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The sequence of its `InputAccepted`.
    pub input: Sequence,
    /// Whether the running turn takes it at its next step.
    pub steers: bool,
}

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing.
    Idle,
    /// An inference is wanted or under way.
    Inferring,
    /// Only the client can go on: calls wait for results.
    WaitingForClient,
}

impl State {
    /// A session before its first event.
    pub fn unborn(session: SessionId) -> Self {
        Self {
            session,
            sequence: Sequence(0),
            created_at: Timestamp(0),
            active_at: Timestamp(0),
            kind: Kind::Agent,
            spec: Arc::new(Spec::plain("")),
            spec_at: Sequence(0),
            context_epoch: Sequence(0),
            parent: None,
            metadata: Object::new(),
            agent: None,
            echo: Object::new(),
            turn: None,
            last_turn: None,
            queue: Vec::new(),
            calls: Vec::new(),
            unanswered: Vec::new(),
            cancelled: Cancelled::default(),
            next_ordinal: 1,
            usage: Usage::default(),
            cost: PicoUsd::default(),
            deleted: false,
            registry: Registry::default(),
        }
    }

    /// What the session is doing.
    pub fn phase(&self) -> Phase {
        match &self.turn {
            None => Phase::Idle,
            Some(_) if !self.calls.is_empty() => Phase::WaitingForClient,
            Some(_) => Phase::Inferring,
        }
    }

    /// Whether somebody must drive the session on without being asked.
    pub fn is_open(&self) -> bool {
        self.phase() == Phase::Inferring
    }

    /// The id of a turn of this session.
    pub const fn turn_id(&self, sequence: Sequence) -> TurnId {
        TurnId { session: self.session, sequence }
    }

    /// Takes the next event.
    pub fn apply(&mut self, at: Timestamp, sequence: Sequence, event: &Event) {
        self.sequence = sequence;
        self.active_at = at;
        match event {
            Event::SessionCreated(created) => self.create(at, sequence, created),
            Event::SpecChanged(spec) => {
                self.spec = Arc::clone(spec);
                self.spec_at = sequence;
                self.context_epoch = sequence;
            }
            Event::MetadataChanged(metadata) => self.metadata = metadata.clone(),
            Event::InputAccepted(input) => {
                let steers = input.delivery == crate::event::Delivery::Steer;
                self.queue.push(Queued { input: sequence, steers });
            }
            Event::TurnStarted(started) => self.start_turn(at, sequence, started),
            Event::InputIncorporated { inputs } => {
                self.queue.retain(|queued| !inputs.contains(&queued.input));
                self.unanswered.clear();
            }
            Event::InferenceIntended(intended) => self.begin_inference(sequence, intended),
            Event::ItemCompleted(written) | Event::ItemInterrupted(written) => self.take_written(written),
            Event::InferenceEnded(ended) => self.end_inference(ended),
            Event::CallOpened(call) => {
                self.calls.push(call.clone());
                if let Some(turn) = &mut self.turn {
                    turn.waiting_since.get_or_insert(at);
                }
            }
            Event::CallClosed { call_id, outcome } => self.close_call(at, call_id, outcome),
            Event::TurnEnded(ended) => self.end_turn(sequence, ended),
            Event::OutcomeAfterCancel(outcome) => self.correct(outcome),
            Event::ItemsAdded(items) => {
                self.moved_on();
                crate::context::follow_calls(&mut self.unanswered, items);
            }
            Event::ItemHidden { item } => {
                self.moved_on();
                self.context_epoch = sequence;
                let hidden = CallId::from(*item);
                self.unanswered.retain(|call_id| *call_id != hidden);
            }
            Event::SessionDeleted => self.deleted = true,
            Event::AgentSaved { agent, definition } => {
                let created_at = self.registry.agents.get(agent).map_or(at, |known| known.created_at);
                let definition = Arc::new((**definition).clone());
                let saved = Agent { definition, version: sequence, created_at, updated_at: at };
                self.registry.agents.insert(*agent, saved);
            }
            Event::AgentDeleted { agent } => {
                self.registry.agents.remove(agent);
            }
            Event::TurnHidden { .. } | Event::Recovered { .. } | Event::Withheld => {}
        }
    }

    fn create(&mut self, at: Timestamp, sequence: Sequence, created: &Created) {
        self.created_at = at;
        self.kind = created.kind;
        self.spec = Arc::clone(&created.spec);
        self.spec_at = sequence;
        self.context_epoch = sequence;
        self.parent = created.parent;
        self.metadata = created.metadata.clone();
        self.agent = created.agent.clone();
        self.echo = created.echo.clone();
        self.unanswered = created.unanswered.clone();
    }

    fn start_turn(&mut self, at: Timestamp, sequence: Sequence, started: &TurnStarted) {
        self.turn = Some(Turn {
            id: sequence,
            input: started.input,
            started_at: at,
            deadline: started.deadline,
            waiting_since: None,
            steps: 0,
            attempts: 0,
            failures: 0,
            inference: None,
            retry_at: None,
            continued: None,
            usage: Usage::default(),
        });
    }

    fn begin_inference(&mut self, sequence: Sequence, intended: &Intended) {
        let Some(turn) = &mut self.turn else { return };
        turn.attempts = intended.attempt;
        turn.retry_at = None;
        turn.inference = Some(OpenInference { intent: sequence, intended: intended.clone() });
    }

    fn take_written(&mut self, written: &Written) {
        let marks = &written.marks;
        let last = marks.done.or_else(|| marks.text_ordinals().last()).or(marks.started);
        self.next_ordinal = self.next_ordinal.max(last.map_or(0, |ordinal| ordinal.saturating_add(1)));
        if let (Item::ToolCall { call_id, .. }, CallMode::Yield) = (&*written.item, self.spec.calls)
            && marks.done.is_some()
        {
            self.unanswered.push(call_id.clone());
        }
        let Some(turn) = &mut self.turn else { return };
        if written.continues {
            let text = Arc::from(crate::assembly::text_of(&written.item));
            turn.continued = Some(Continued { id: written.id, kind: written.kind.clone(), text });
        } else if turn.continued.as_ref().is_some_and(|continued| continued.id == written.id) {
            turn.continued = None;
        }
    }

    fn end_inference(&mut self, ended: &InferenceEnded) {
        self.book(&ended.receipt);
        let Some(turn) = &mut self.turn else { return };
        turn.usage = turn.usage.plus(ended.receipt.usage);
        turn.inference = None;
        turn.retry_at = ended.retry_at;
        if ended.kept {
            turn.steps = turn.steps.saturating_add(1);
            turn.attempts = 0;
            turn.failures = 0;
        } else {
            self.unanswered.clear();
            let is_failure = matches!(ended.outcome, InferenceOutcome::Failed(_));
            turn.failures = turn.failures.saturating_add(u32::from(is_failure));
        }
        if ended.outcome == InferenceOutcome::Cancelled {
            self.cut_short().inference = Some((ended.intent, ended.receipt.clone()));
        }
    }

    /// What the turn at hand, or the one that ended last, leaves open. Forgets an older turn's.
    fn cut_short(&mut self) -> &mut Cancelled {
        let running = self.turn.as_ref().map(|turn| turn.id);
        let turn = running.or(self.last_turn.as_ref().map(|last| last.id)).unwrap_or_default();
        if self.cancelled.turn != turn {
            self.cancelled = Cancelled { turn, ..Cancelled::default() };
        }
        &mut self.cancelled
    }

    fn book(&mut self, receipt: &Receipt) {
        self.usage = self.usage.plus(receipt.usage);
        self.cost = self.cost.saturating_add(receipt.cost.unwrap_or_default());
    }

    fn close_call(&mut self, at: Timestamp, call_id: &CallId, outcome: &crate::event::CallOutcome) {
        self.calls.retain(|call| call.call_id != *call_id);
        self.unanswered.retain(|unanswered| unanswered != call_id);
        if *outcome == crate::event::CallOutcome::Cancelled {
            self.cut_short().calls.insert(call_id.clone());
        }
        let Some(turn) = &mut self.turn else { return };
        if self.calls.is_empty()
            && let Some(since) = turn.waiting_since.take()
        {
            turn.deadline = turn.deadline.plus_ms(at.0.saturating_sub(since.0));
        }
    }

    fn end_turn(&mut self, sequence: Sequence, ended: &TurnEnded) {
        self.turn = None;
        let status = ended.status.clone();
        self.last_turn = Some(LastTurn { id: ended.turn, status, ended: sequence, is_head: true });
    }

    fn moved_on(&mut self) {
        if let Some(last) = &mut self.last_turn {
            last.is_head = false;
        }
    }

    fn correct(&mut self, outcome: &LateOutcome) {
        match outcome {
            LateOutcome::Inference { intent, receipt } => {
                let booked = self.cancelled.inference.take_if(|(known, _)| known == intent);
                let Some((_, estimate)) = booked else { return };
                self.usage = self.usage.minus(estimate.usage);
                let back = PicoUsd(estimate.cost.unwrap_or_default().0.saturating_neg());
                self.cost = self.cost.saturating_add(back);
                self.book(receipt);
            }
            LateOutcome::Call(item) => {
                if let Item::ToolResult { call_id, .. } = &**item {
                    self.cancelled.calls.remove(call_id);
                }
            }
        }
    }
}
