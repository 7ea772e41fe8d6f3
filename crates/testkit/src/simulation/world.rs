//! All that outlives a simulated process: the store, what clients sent and saw, what providers were asked, and the true
//! state of each session, folded from the store's bytes as they are applied.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mainstay_runtime::{Caller, clock::Clock};
use mainstay_session::{
    Event, State,
    event::InferenceOutcome,
    feed::{Cursor, Moment, Recorded},
    spec::Retention,
};
use mainstay_store::seam::Batch;
use mainstay_vocabulary::{CallId, Item, Principal, Sequence, SessionId, Shard, Tenant, Timestamp};

use super::{
    ask::{Ask, Reply},
    coverage::{Coverage, effect},
    plan::Plan,
    reader::Reader,
};
use crate::store::{Memory, random::Random};

/// When simulated time begins.
const BEGINNING: Timestamp = Timestamp(1_790_000_000_000);
/// Of a hundred attempts to take the shard, those that fail where the store is away at times.
const REFUSED: u64 = 25;
/// Calls that were once open and are remembered for late and doubled results.
const OLD_CALLS: usize = 32;

/// The world, shared by everyone in it. Never locked across an await.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What keeps the store from working for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    Full,
    Away,
}

/// What befalls one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Full,
    Away,
    /// Applied, the answer is lost.
    LostAcknowledgement,
    /// Not applied, the answer is lost.
    LostWrite,
}

/// A follower and everything it was shown.
pub(super) struct Follower {
    pub(super) session: SessionId,
    /// The process that it is connected to.
    pub(super) process: u32,
    /// Everything after this was to be shown; `None` until the first moment says where it began.
    pub(super) begin: Option<Cursor>,
    pub(super) seen: Vec<Moment>,
    pub(super) is_connected: bool,
    /// Whether it went away and came back.
    pub(super) returned: bool,
}

/// A request that reached the provider.
pub(super) struct Asked {
    pub(super) session: SessionId,
    pub(super) intent: Sequence,
    pub(super) input: Vec<Arc<Item>>,
    pub(super) head: String,
}

/// What is known of one session.
pub(super) struct Shadow {
    pub(super) state: State,
    pub(super) is_volatile: bool,
    /// The process that wrote to it last.
    writer: u32,
    /// Calls that are not open any more.
    pub(super) old_calls: VecDeque<CallId>,
    /// Items that a client can name.
    pub(super) items: Vec<mainstay_vocabulary::ItemId>,
    /// Turns so far.
    pub(super) turns: Vec<Sequence>,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) store: Arc<Memory>,
    pub(super) reader: Arc<Reader>,
    /// Draws steps.
    pub(super) random: Random,
    /// Draws what the store does.
    pub(super) disk: Random,
    /// Draws what the provider does.
    pub(super) model: Random,
    pub(super) is_faulty: bool,
    outage: Option<(Outage, Timestamp)>,
    clock: Option<Arc<dyn Clock>>,
    now: Timestamp,
    /// The process that took the shard last; alone only.
    pub(super) owner: u32,
    /// Who took each shard last; clusters only.
    pub(super) holders: BTreeMap<Shard, u32>,
    /// Nodes that are dead: nothing that they still do reaches anybody.
    pub(super) dead: BTreeSet<u32>,
    /// Nodes that the store is out of reach for, and until when.
    pub(super) cut: BTreeMap<u32, Timestamp>,
    processes: u32,
    /// Steps taken.
    pub(super) step: u64,
    pub(super) sessions: BTreeMap<SessionId, Shadow>,
    pub(super) asks: Vec<Ask>,
    pub(super) followers: Vec<Follower>,
    pub(super) asked: Vec<Asked>,
    /// Calls that reached the toolbox, and how often each did something, by the place where it was opened.
    pub(super) sent: BTreeMap<(SessionId, Sequence), usize>,
    pub(super) done: BTreeMap<(SessionId, Sequence), usize>,
    /// Inferences whose end a process was handed.
    pub(super) finished: BTreeMap<(SessionId, Sequence), u32>,
    pub(super) coverage: Coverage,
    pub(super) violations: Vec<String>,
    pub(super) trace: Vec<String>,
    counter: u64,
}

impl World {
    pub(super) fn new(plan: Plan, store: Arc<Memory>, reader: Arc<Reader>) -> Self {
        let seed = plan.seed;
        Self {
            random: Random::new(seed),
            disk: Random::new(seed ^ 0xd15c),
            model: Random::new(seed ^ 0x30de1),
            plan,
            store,
            reader,
            is_faulty: true,
            outage: None,
            clock: None,
            now: BEGINNING,
            owner: 0,
            holders: BTreeMap::new(),
            dead: BTreeSet::new(),
            cut: BTreeMap::new(),
            processes: 0,
            step: 0,
            sessions: BTreeMap::new(),
            asks: Vec::new(),
            followers: Vec::new(),
            asked: Vec::new(),
            sent: BTreeMap::new(),
            done: BTreeMap::new(),
            finished: BTreeMap::new(),
            coverage: Coverage::default(),
            violations: Vec::new(),
            trace: Vec::new(),
            counter: 0,
        }
    }

    /// The one tenant's client.
    pub(super) fn caller() -> Caller {
        Caller { tenant: Tenant("acme".into()), principal: Principal("client".into()) }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(self.now, |clock| clock.now())
    }

    /// The number of a process that starts.
    pub(super) const fn next_process(&mut self) -> u32 {
        self.processes += 1;
        self.processes
    }

    /// A clock that goes on where the last one stopped.
    pub(super) fn set_clock(&mut self, clock: Arc<dyn Clock>) {
        self.clock = Some(clock);
    }

    pub(super) fn stop_clock(&mut self) {
        self.now = self.now();
        self.clock = None;
    }

    pub(super) fn note(&mut self, line: impl std::fmt::Display) {
        let at = self.now().0 - BEGINNING.0;
        self.trace.push(format!("{at:>9} {line}"));
    }

    pub(super) fn violate(&mut self, what: impl std::fmt::Display) {
        self.note(format_args!("VIOLATION {what}"));
        self.violations.push(what.to_string());
    }

    /// A number that nobody had before.
    pub(super) const fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn begin_outage(&mut self, outage: Outage, for_ms: u64) {
        self.outage = Some((outage, self.now().plus_ms(for_ms)));
        self.note(format_args!("outage {outage:?} for {for_ms} ms"));
    }

    pub(super) fn end_faults(&mut self) {
        self.is_faulty = false;
        self.outage = None;
        self.cut.clear();
        self.note("no more faults");
    }

    pub(super) fn outage(&self) -> Option<Outage> {
        self.outage.filter(|(_, until)| self.is_faulty && *until > self.now()).map(|(outage, _)| outage)
    }

    /// Whether the shard cannot be taken just now.
    pub(super) fn draws_refusal(&mut self) -> bool {
        let by_chance = if self.is_faulty && self.plan.outage > 0 { REFUSED } else { 0 };
        self.outage() == Some(Outage::Away) || self.disk.percent(by_chance)
    }

    pub(super) const fn is_cluster(&self) -> bool {
        self.plan.nodes > 1
    }

    /// Whether a node cannot reach the store just now.
    pub(super) fn is_cut(&self, process: u32) -> bool {
        self.is_faulty && self.cut.get(&process).is_some_and(|until| *until > self.now())
    }

    /// What befalls a write of a process.
    pub(super) fn draw_fault(&mut self, process: u32, session: SessionId) -> Fault {
        if !self.is_faulty || !self.is_cluster() && process != self.owner {
            return Fault::None;
        }
        let (acknowledgement, write) = (self.plan.lost_acknowledgement, self.plan.lost_write);
        let fault = match self.outage() {
            Some(Outage::Full) => Fault::Full,
            Some(Outage::Away) => Fault::Away,
            None if self.disk.percent(acknowledgement) => Fault::LostAcknowledgement,
            None if self.disk.percent(write) => Fault::LostWrite,
            None => return Fault::None,
        };
        let name = match fault {
            Fault::Full => "disk full",
            Fault::Away => "outage",
            Fault::LostAcknowledgement => "lost acknowledgement",
            Fault::LostWrite | Fault::None => "lost write",
        };
        self.cover_fault(session, name);
        fault
    }

    /// Notes that a fault met what a session had open and the commands under way.
    fn cover_fault(&mut self, session: SessionId, name: &'static str) {
        if let Some(shadow) = self.sessions.get(&session) {
            self.coverage.note(effect(&shadow.state), name);
        }
        for ask in self.asks.iter().filter(|ask| ask.session == session && ask.is_under_way()) {
            self.coverage.note(ask.kind, name);
        }
    }

    /// Notes a fault that meets everyone.
    pub(super) fn cover_fault_of_all(&mut self, name: &'static str) {
        let sessions: Vec<_> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.cover_fault(session, name);
        }
        self.note(name);
    }

    /// The answer of a command came, or did not.
    pub(super) fn answer(&mut self, ask: usize, reply: Reply) {
        self.note(format_args!("#{ask} {reply:?}"));
        self.asks[ask].answers.push(reply);
    }

    /// A batch was applied.
    pub(super) fn applied(&mut self, process: u32, batch: &Batch) {
        let reader = Arc::clone(&self.reader);
        let mut names = String::new();
        self.check_recovery(process, batch);
        for bytes in &batch.events {
            match reader.event(batch.session, bytes) {
                Ok(entered) => {
                    let recorded = entered.recorded;
                    names.push_str(name(&recorded.event));
                    self.fold(process, batch.session, &recorded);
                }
                Err(error) => self.violate(format_args!("an event cannot be opened: {error}")),
            }
        }
        let hash = batch.chain[..4].iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        self.note(format_args!("p{process} {} {} {names} {hash:08x}", short(batch.session), batch.expected.0));
    }

    /// Nothing happens to a session whose inference an earlier process began before its recovery.
    fn check_recovery(&mut self, process: u32, batch: &Batch) {
        let Some(shadow) = self.sessions.get_mut(&batch.session) else { return };
        let is_open = shadow.state.turn.as_ref().is_some_and(|turn| turn.inference.is_some());
        let is_inherited = is_open && shadow.writer != process;
        shadow.writer = process;
        if !is_inherited {
            return;
        }
        let first = batch.events.first().and_then(|bytes| self.reader.event(batch.session, bytes).ok());
        if !first.is_some_and(|entered| matches!(&*entered.recorded.event, Event::Recovered { .. })) {
            self.violate(format_args!("{}: process {process} does not recover it first", short(batch.session)));
        }
    }

    fn fold(&mut self, process: u32, session: SessionId, recorded: &Recorded) {
        let shadow = self.sessions.entry(session).or_insert_with(|| Shadow {
            state: State::unborn(session),
            is_volatile: false,
            writer: process,
            old_calls: VecDeque::new(),
            items: Vec::new(),
            turns: Vec::new(),
        });
        shadow.take(recorded.at, recorded.sequence, &recorded.event);
        if let Event::InferenceEnded(ended) = &*recorded.event
            && ended.outcome == InferenceOutcome::Interrupted
            && self.finished.get(&(session, ended.intent)) == Some(&process)
            && !self.plan.blind
            // A node that lost its lease gives up what it was handed, and may be the one that takes the shard next.
            && !self.is_cluster()
            && !self.sessions[&session].is_volatile
        {
            let place = ended.intent.0;
            self.violate(format_args!("{}: the outcome of {place} was dropped", short(session)));
        }
    }
}

impl Shadow {
    fn take(&mut self, at: Timestamp, sequence: Sequence, event: &Event) {
        let session = self.state.session;
        self.state.apply(at, sequence, event);
        self.is_volatile |= self.state.spec.retention == Retention::ReceiptOnly;
        match event {
            Event::TurnStarted(_) => self.turns.push(sequence),
            Event::InputAccepted(_) | Event::ItemsAdded(_) => {
                self.items.push(mainstay_vocabulary::ItemId { session, sequence, ordinal: 0 });
            }
            Event::ItemCompleted(written) => self.items.push(written.id),
            Event::CallClosed { call_id, .. } => {
                self.old_calls.push_back(call_id.clone());
                if self.old_calls.len() > OLD_CALLS {
                    self.old_calls.pop_front();
                }
            }
            _ => {}
        }
    }
}

/// The end of a session's id: enough to tell sessions of one seed apart.
pub(super) fn short(session: SessionId) -> String {
    let text = session.to_string();
    format!("s{}", &text[text.len().saturating_sub(4)..])
}

const fn name(event: &Event) -> &'static str {
    match event {
        Event::SessionCreated(_) => "created ",
        Event::SpecChanged(_) => "spec ",
        Event::MetadataChanged(_) => "metadata ",
        Event::InputAccepted(_) => "input ",
        Event::TurnStarted(_) => "turn ",
        Event::InputIncorporated { .. } => "incorporated ",
        Event::InferenceIntended(_) => "intent ",
        Event::ItemCompleted(_) => "item ",
        Event::ItemInterrupted(_) => "cut ",
        Event::InferenceEnded(_) => "booked ",
        Event::CallOpened(_) => "call ",
        Event::CallClosed { .. } => "closed ",
        Event::TurnEnded(_) => "ended ",
        Event::OutcomeAfterCancel(_) => "late ",
        Event::ItemsAdded(_) => "added ",
        Event::ItemHidden { .. } => "hidden ",
        Event::TurnHidden { .. } => "turn-hidden ",
        Event::Recovered { .. } => "recovered ",
        Event::SessionDeleted => "deleted ",
        Event::AgentSaved { .. } => "agent ",
        Event::AgentDeleted { .. } => "agent-deleted ",
        Event::AgentArchived { .. } => "agent-archived ",
        Event::EchoChanged(_) => "echo ",
        Event::SessionArchived => "archived ",
        Event::CompactionAsked => "compaction-asked ",
        Event::ContextReplaced(_) => "replaced ",
        Event::CompactionSkipped => "compaction-skipped ",
        Event::Withheld => "withheld ",
        Event::GatewayBooked(_) => "gateway ",
        Event::FileBegun(_) | Event::FilePart(_) | Event::FileCompleted { .. } => "file ",
        Event::AutomationSaved(_) | Event::AutomationPaused { .. } | Event::AutomationResumed { .. } => "automation ",
        Event::InvocationBegun(_) | Event::InvocationEnded { .. } => "invocation ",
        Event::WebhooksSettled(_) => "webhooks ",
        Event::ToolsListed(_) => "tools ",
        Event::CallIntended(_) => "call-intent ",
        Event::CallLost(_) => "call-lost ",
        Event::ApprovalAsked(_) => "asked ",
        Event::ApprovalAnswered(_) => "answered ",
        Event::CallResolved(_) => "resolved ",
    }
}
