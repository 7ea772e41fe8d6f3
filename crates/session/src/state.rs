//! A session as it stands: the fold of its journal, bounded in size however long the journal is.

mod compacting;
mod effects;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mainstay_vocabulary::{CallId, Item, Object, PicoUsd, Sequence, SessionId, Timestamp, TurnId, Usage};
use serde::{Deserialize, Serialize};

pub use self::compacting::Compacting;
pub(crate) use self::compacting::is_too_long;
use self::compacting::is_zero;
use crate::{
    assembly::Continued,
    automation::Automation,
    compaction,
    effect::{Effect, Listed},
    event::{
        AgentRef, Base, Booked, CallOpened, Created, Event, Fork, InferenceEnded, InferenceOutcome, Intended, Kind,
        LateOutcome, Outgoing, Purpose, Receipt, Task, TurnEnded, TurnStarted, TurnStatus, Written,
    },
    file::StoredFile,
    registry::Registry,
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
    /// Where the context begins, if not with the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_base: Option<Base>,
    /// About how many tokens the context has: as reported last, and what was added since.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub context_tokens: u64,
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
    /// Calls that the runtime runs and whose fate is open, by the sequence of their `CallOpened`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub effects: BTreeMap<Sequence, Effect>,
    /// What its toolsets offer, by label, as it was pinned.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub listed: BTreeMap<String, Arc<Listed>>,
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
    /// Since when it takes no input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    /// Saved agents (registry journals only).
    pub registry: Registry,
    /// Inferences under way (gateway journals only).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outgoing: BTreeMap<u64, Arc<Outgoing>>,
    /// The stored file (files' journals only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<StoredFile>,
    /// The automation (automations' journals only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automation: Option<Box<Automation>>,
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
    /// What it is for.
    #[serde(default, skip_serializing_if = "Task::is_answer")]
    pub task: Task,
    /// Whether the context is compacted before the next inference.
    #[serde(default, skip_serializing_if = "Compacting::is_as_needed")]
    pub compacting: Compacting,
    /// Calls that have no result although the turn's input is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<CallId>,
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
    /// What it adds to the context, bytes, roughly.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
}

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing.
    Idle,
    /// An inference is wanted or under way.
    Inferring,
    /// Calls that the runtime runs are wanted or under way.
    Acting,
    /// Only people or the client can go on: calls wait for results, approvals or a word on what became of them.
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
            context_base: None,
            context_tokens: 0,
            parent: None,
            metadata: Object::new(),
            agent: None,
            echo: Object::new(),
            turn: None,
            last_turn: None,
            queue: Vec::new(),
            calls: Vec::new(),
            effects: BTreeMap::new(),
            listed: BTreeMap::new(),
            unanswered: Vec::new(),
            cancelled: Cancelled::default(),
            next_ordinal: 1,
            usage: Usage::default(),
            cost: PicoUsd::default(),
            deleted: false,
            archived_at: None,
            registry: Registry::default(),
            outgoing: BTreeMap::new(),
            file: None,
            automation: None,
        }
    }

    /// What the session is doing.
    pub fn phase(&self) -> Phase {
        match &self.turn {
            None => Phase::Idle,
            Some(_) if self.awaited().any(|(_, effect)| effect.is_acting()) => Phase::Acting,
            Some(_) if !self.calls.is_empty() || self.awaited().next().is_some() => Phase::WaitingForClient,
            Some(_) => Phase::Inferring,
        }
    }

    /// Whether somebody must drive the session on without being asked.
    pub fn is_open(&self) -> bool {
        let delivers = self.automation.as_ref().is_some_and(|automation| !automation.pending.is_empty());
        let works = self.phase() == Phase::Inferring || self.is_acting() && !self.deleted;
        works || !self.outgoing.is_empty() || delivers && !self.deleted
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
                self.keep_listed(spec);
                self.spec = Arc::clone(spec);
                self.spec_at = sequence;
                self.context_epoch = sequence;
            }
            Event::MetadataChanged(metadata) => self.metadata = metadata.clone(),
            Event::InputAccepted(input) => {
                let steers = input.delivery == crate::event::Delivery::Steer;
                let bytes = input.items.iter().map(|item| compaction::size_of(item)).sum();
                self.queue.push(Queued { input: sequence, steers, bytes });
            }
            Event::TurnStarted(started) => self.start_turn(at, sequence, started),
            Event::InputIncorporated { inputs } => self.incorporate(inputs),
            Event::InferenceIntended(intended) => self.begin_inference(sequence, intended),
            Event::ItemCompleted(written) | Event::ItemInterrupted(written) => self.take_written(written),
            Event::InferenceEnded(ended) => self.end_inference(ended),
            Event::CallOpened(call) => self.open_call(at, sequence, call),
            Event::CallClosed { call_id, outcome } => self.close_call(sequence, call_id, outcome),
            Event::ToolsListed(_)
            | Event::CallIntended(_)
            | Event::CallLost(_)
            | Event::ApprovalAsked(_)
            | Event::ApprovalAnswered(_)
            | Event::CallResolved(_) => self.take_effect(at, sequence, event),
            Event::TurnEnded(ended) => self.end_turn(sequence, ended),
            Event::OutcomeAfterCancel(outcome) => self.correct(outcome),
            Event::ItemsAdded(items) => {
                self.moved_on();
                self.grow(items.iter().map(|item| compaction::size_of(item)).sum());
                crate::context::follow_calls(&mut self.unanswered, items);
            }
            Event::ItemHidden { item } => {
                self.moved_on();
                self.context_epoch = sequence;
                let hidden = CallId::from(*item);
                self.unanswered.retain(|call_id| *call_id != hidden);
            }
            Event::SessionDeleted => self.deleted = true,
            Event::SessionArchived => self.archived_at = Some(at),
            Event::EchoChanged(echo) => self.echo = echo.clone(),
            Event::AgentSaved { .. } | Event::AgentArchived { .. } | Event::AgentDeleted { .. } => {
                self.registry.apply(at, sequence, event);
            }
            Event::CompactionAsked => self.compacting(Compacting::Asked),
            Event::CompactionSkipped => self.compacting(Compacting::Tried),
            Event::ContextReplaced(replaced) => self.replace_context(sequence, replaced),
            Event::GatewayBooked(booked) => self.book_all(booked),
            Event::FileBegun(head) => self.file = Some(StoredFile::begun(head.clone())),
            Event::FilePart(part) => self.with_file(|file| file.parts.push((sequence, part.bytes))),
            Event::FileCompleted { parts } => self.with_file(|file| file.complete(parts)),
            Event::AutomationSaved(_)
            | Event::AutomationPaused { .. }
            | Event::AutomationResumed { .. }
            | Event::InvocationBegun(_)
            | Event::InvocationEnded { .. } => Automation::apply(&mut self.automation, (at, sequence), event),
            Event::TurnHidden { .. } | Event::Recovered { .. } | Event::WebhooksSettled(_) | Event::Withheld => {}
        }
        self.reckon_wait(at);
    }

    fn with_file(&mut self, change: impl FnOnce(&mut StoredFile)) {
        if let Some(file) = &mut self.file {
            change(file);
        }
    }

    /// The turn's clock stands still while only people or the client can go on.
    fn reckon_wait(&mut self, at: Timestamp) {
        let waits = self.phase() == Phase::WaitingForClient;
        let Some(turn) = &mut self.turn else { return };
        if waits {
            turn.waiting_since.get_or_insert(at);
        } else if let Some(since) = turn.waiting_since.take() {
            turn.deadline = turn.deadline.plus_ms(at.0.saturating_sub(since.0));
        }
    }

    fn create(&mut self, at: Timestamp, sequence: Sequence, created: &Created) {
        self.created_at = at;
        self.kind = created.kind;
        self.spec = Arc::clone(&created.spec);
        self.spec_at = sequence;
        self.context_epoch = sequence;
        self.parent = created.parent;
        self.context_tokens = created.parent.map_or(0, |fork| fork.tokens);
        self.metadata = created.metadata.clone();
        self.agent = created.agent.clone();
        self.echo = created.echo.clone();
        self.unanswered = created.unanswered.clone();
    }

    fn start_turn(&mut self, at: Timestamp, sequence: Sequence, started: &TurnStarted) {
        // What could not be listed is tried once in each turn.
        self.listed.retain(|_, listed| listed.error.is_none());
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
            task: started.task,
            compacting: Compacting::AsNeeded,
            unanswered: started.unanswered.clone(),
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
        if let (Item::ToolCall { call_id, served: None, .. }, CallMode::Yield) = (&*written.item, self.spec.calls)
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
        let spec = Arc::clone(&self.spec);
        let Some(turn) = &mut self.turn else { return };
        turn.usage = turn.usage.plus(ended.receipt.usage);
        let open = turn.inference.take();
        turn.retry_at = ended.retry_at;
        let is_failure = matches!(ended.outcome, InferenceOutcome::Failed(_));
        let is_digest = open.is_some_and(|open| open.intended.purpose == Purpose::Compaction);
        if is_digest {
            turn.end_digest(ended);
        } else if ended.kept {
            turn.steps = turn.steps.saturating_add(1);
            turn.attempts = 0;
            turn.failures = 0;
            if turn.compacting != Compacting::Asked {
                turn.compacting = Compacting::AsNeeded;
            }
            self.context_tokens = ended.receipt.usage.total();
        } else {
            self.unanswered.clear();
            turn.failures = turn.failures.saturating_add(u32::from(is_failure));
            if is_too_long(&ended.outcome) {
                turn.compacting = turn.compacting.after_overflow(&spec);
            }
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

    fn book_all(&mut self, booked: &Booked) {
        for outgoing in &booked.intended {
            self.outgoing.insert(outgoing.number, Arc::clone(outgoing));
        }
        for settled in &booked.settled {
            self.outgoing.remove(&settled.number);
            self.book(&settled.receipt);
        }
    }

    fn close_call(&mut self, sequence: Sequence, call_id: &CallId, outcome: &crate::event::CallOutcome) {
        self.calls.retain(|call| call.call_id != *call_id);
        self.grow(compaction::size_of(&crate::context::result_of(call_id, outcome)));
        self.unanswered.retain(|unanswered| unanswered != call_id);
        let is_clients = self.effect_of(call_id).is_none();
        if is_clients && *outcome == crate::event::CallOutcome::Cancelled {
            self.cut_short().calls.insert(call_id.clone());
        }
        self.close_effect(sequence, call_id, outcome);
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
