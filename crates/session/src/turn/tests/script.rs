//! A session driven by hand, as the runtime drives it. After every decision it checks what must hold in any state:
//! the fold is the decision, JSON loses nothing, the stream replays, nothing hangs, nothing is booked twice.

pub(crate) mod check;
mod serve;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mainstay_vocabulary::{
    CallId, Content, Epoch, Item, ItemId, ItemKind, Object, PicoUsd, Principal, Role, Sequence, SessionId, Shard,
    Timestamp, TurnId, Usage,
    inference::{Delta, Failure, FailureKind, Finished, Stop},
    item::ToolOutput,
    tool::FunctionTool,
    usage::Booking,
};

use crate::{
    Command, Envelope, Event, Refusal, Spec, State,
    assembly::Assembly,
    command::{Accept, Begin, Create, Decision, RecordCompaction, RecordInference},
    compaction::{Stays, cut},
    context::Context,
    effect::Ruling,
    event::{Created, Delivery, Input, Kind, Receipt, Route, TurnOptions, TurnStatus},
    feed::{Cursor, Moment, Recorded, Shown, Slice, What},
    spec::{CallMode, Interruption},
    turn::{Wanted, deadline, decide, next},
};

pub(crate) use self::serve::*;

/// A session driven by hand.
pub(crate) struct Script {
    pub(crate) state: State,
    pub(crate) journal: Vec<Recorded>,
    pub(crate) slices: Vec<Slice>,
    pub(crate) live: Vec<Moment>,
    pub(crate) context: Context,
    pub(crate) shown: Assembly,
    pub(crate) at: Timestamp,
    /// Who asks.
    pub(crate) actor: Principal,
    pub(crate) epoch: Epoch,
    pub(crate) rulings: Vec<(Sequence, Ruling)>,
    /// The fold of what is at rest where nothing may be kept.
    redacted: State,
    next_ordinal: u64,
    accepted: BTreeSet<Sequence>,
    incorporated: BTreeSet<Sequence>,
    booked: BTreeMap<Sequence, Receipt>,
    rendered: (Sequence, Vec<u8>),
}

pub(crate) fn session() -> SessionId {
    SessionId::new(Shard(3), [5; 16])
}

pub(crate) fn spec(calls: CallMode, interruption: Interruption) -> Spec {
    let tool =
        FunctionTool { name: "add".to_owned(), description: None, parameters: None, strict: None, rest: Object::new() };
    Spec { calls, interruption, tools: Arc::from([tool]), ..Spec::plain("big") }
}

pub(crate) fn created(spec: Spec) -> Created {
    Created {
        kind: Kind::Agent,
        spec: Arc::new(spec),
        parent: None,
        metadata: Object::new(),
        agent: None,
        echo: Object::new(),
        unanswered: Vec::new(),
    }
}

pub(crate) fn create(spec: Spec) -> Command {
    Command::Create(Box::new(Create { created: created(spec), items: Vec::new(), input: None }))
}

pub(crate) fn message(text: &str) -> Arc<Item> {
    Arc::new(Item::Message { role: Role::User, content: vec![Content::Text(text.to_owned())], phase: None })
}

pub(crate) fn call_item(call_id: &str) -> Arc<Item> {
    let (call_id, name) = (CallId(call_id.to_owned()), "add".to_owned());
    Arc::new(Item::ToolCall { call_id, name, arguments: "{}".to_owned(), provider_call_id: None, served: None })
}

pub(crate) fn result_item(call_id: &CallId) -> Arc<Item> {
    let output = ToolOutput::Text("4".to_owned());
    Arc::new(Item::ToolResult { call_id: call_id.clone(), output, error: None })
}

pub(crate) fn input(delivery: Delivery, items: Vec<Arc<Item>>) -> Input {
    Input { items, delivery, options: TurnOptions::default() }
}

pub(crate) fn accept(delivery: Delivery, items: Vec<Arc<Item>>) -> Command {
    Command::Accept(Box::new(Accept { input: input(delivery, items), spec: None, head: None, answers: Vec::new() }))
}

pub(crate) fn say(delivery: Delivery, text: &str) -> Command {
    accept(delivery, vec![message(text)])
}

pub(crate) fn begin(continues_prefix: bool) -> Command {
    let route = Route { deployment: "here".to_owned(), continues_prefix, ..Route::default() };
    Command::Begin(Box::new(Begin { epoch: Epoch(1), route, prompt: "ab".to_owned() }))
}

pub(crate) fn receipt(tokens: u64, booking: Booking) -> Receipt {
    let usage = Usage { input: tokens, output: tokens / 2, ..Usage::default() };
    let cost = Some(PicoUsd(i64::try_from(tokens).unwrap() * 3));
    Receipt { usage, booking, cost, model: None, reported: Object::new() }
}

pub(crate) fn failure(kind: FailureKind) -> Failure {
    Failure { kind, message: "upstream quotes the prompt".to_owned(), retry_after_ms: None }
}

impl Script {
    pub(crate) fn unborn() -> Self {
        Self {
            state: State::unborn(session()),
            journal: Vec::new(),
            slices: Vec::new(),
            live: Vec::new(),
            context: Context::default(),
            shown: Assembly::default(),
            at: Timestamp(1_000),
            actor: Principal(Arc::from("ada")),
            epoch: Epoch(1),
            rulings: Vec::new(),
            redacted: State::unborn(session()),
            next_ordinal: 1,
            accepted: BTreeSet::new(),
            incorporated: BTreeSet::new(),
            booked: BTreeMap::new(),
            rendered: (Sequence(0), Vec::new()),
        }
    }

    pub(crate) fn new(spec: Spec) -> Self {
        let mut script = Self::unborn();
        script.give(create(spec));
        script
    }

    /// A session whose first turn runs.
    pub(crate) fn asked(spec: Spec) -> Self {
        let mut script = Self::new(spec);
        script.give(say(Delivery::Steer, "hello"));
        script
    }

    /// A session whose first inference is under way.
    pub(crate) fn inferring(spec: Spec, continues_prefix: bool) -> Self {
        let mut script = Self::asked(spec);
        script.give(begin(continues_prefix));
        script
    }

    /// A session that waits for the results of so many calls.
    pub(crate) fn waiting(calls: u32) -> (Self, Vec<CallId>) {
        let mut script = Self::inferring(spec(CallMode::Wait, Interruption::Restart), false);
        let ids = (0..calls).map(|index| script.show_call(index, "add")).collect();
        script.finish(Stop::ToolCalls);
        (script, ids)
    }

    pub(crate) fn decide(&self, command: Command) -> Result<Decision, Refusal> {
        let estimate = receipt(10, Booking::Estimated);
        let envelope = Envelope {
            command,
            at: self.at,
            session: session(),
            shown: &self.shown,
            estimate: &estimate,
            actor: &self.actor,
            epoch: self.epoch,
            rulings: &self.rulings,
        };
        decide(&self.state, envelope)
    }

    pub(crate) fn refusal(&self, command: Command) -> Refusal {
        self.decide(command).expect_err("was to be refused")
    }

    /// Decides, commits and checks; returns the events.
    pub(crate) fn give(&mut self, command: Command) -> Vec<Event> {
        let decision = self.decide(command).unwrap_or_else(|refusal| panic!("refused: {refusal:?}"));
        let (old, new) = (deadline(&self.state), deadline(&decision.after));
        assert_eq!(decision.deadline, (old != new).then_some(new));
        let at = decision.after.active_at;
        let mut from_json = self.state.clone();
        for event in &decision.events {
            self.take(at, event);
            let json = serde_json::to_string(event).unwrap();
            from_json.apply(at, self.state.sequence, &serde_json::from_str(&json).unwrap());
        }
        assert_eq!(decision.after, self.state);
        assert_eq!(from_json, self.state);
        let snapshot = serde_json::to_vec(&self.state).unwrap();
        assert_eq!(serde_json::from_slice::<State>(&snapshot).unwrap(), self.state);
        self.follow_inference(&decision.events);
        self.check();
        decision.events
    }

    fn take(&mut self, at: Timestamp, event: &Event) {
        let sequence = self.state.sequence.next();
        self.state.apply(at, sequence, event);
        self.redacted.apply(at, sequence, &event.without_content());
        self.context.apply(session(), sequence, event);
        self.note_fate(sequence, event);
        let event = Arc::new(event.clone());
        self.journal.push(Recorded { sequence, at, event: Arc::clone(&event) });
        self.live.push(Moment { cursor: Cursor { sequence, ordinal: 0 }, what: What::Event(event, at) });
    }

    fn follow_inference(&mut self, events: &[Event]) {
        let turn = self.state.turn.as_ref();
        let open = turn.and_then(|turn| turn.inference.as_ref());
        match (open, events.last()) {
            (None, _) => self.shown = Assembly::default(),
            (Some(_), Some(Event::InferenceIntended(_))) => {
                self.shown = Assembly::resuming(turn.and_then(|turn| turn.continued.as_ref()));
            }
            (Some(_), _) => {}
        }
    }

    pub(crate) fn intent(&self) -> Sequence {
        let turn = self.state.turn.as_ref();
        turn.and_then(|turn| turn.inference.as_ref()).expect("an inference is under way").intent
    }

    /// Shows one delta of an item that `intent` began, in a frame of its own.
    pub(crate) fn show_of(&mut self, intent: Sequence, delta: Delta) {
        let (after, ordinal, shown) = (self.state.sequence, self.next_ordinal, Shown { intent, delta });
        self.next_ordinal += 1;
        self.shown.push(session(), after, ordinal, &shown);
        let what = What::Shown(shown.clone());
        self.live.push(Moment { cursor: Cursor { sequence: after, ordinal }, what });
        self.slices.push(Slice { after, first: ordinal, shown: vec![shown] });
    }

    pub(crate) fn show(&mut self, delta: Delta) {
        self.show_of(self.intent(), delta);
    }

    pub(crate) fn start(&mut self, index: u32, kind: ItemKind) {
        self.show(Delta::Started { index, kind });
    }

    pub(crate) fn text(&mut self, index: u32, text: &str) {
        self.show(Delta::Text { index, text: text.to_owned() });
    }

    pub(crate) fn done(&mut self, index: u32) {
        self.show(Delta::Done { index, opaque: None });
    }

    /// Shows a whole message, or one that breaks off.
    pub(crate) fn show_message(&mut self, index: u32, text: &str, is_whole: bool) {
        self.start(index, ItemKind::Message);
        self.text(index, text);
        if is_whole {
            self.done(index);
        }
    }

    /// Shows a whole call.
    pub(crate) fn show_call(&mut self, index: u32, name: &str) -> CallId {
        let call_id = self.show_half_call(index, name);
        self.done(index);
        call_id
    }

    pub(crate) fn show_half_call(&mut self, index: u32, name: &str) -> CallId {
        self.start(index, ItemKind::ToolCall { name: name.to_owned(), provider_call_id: None });
        self.text(index, "{\"a\":");
        ItemId { session: session(), sequence: self.intent(), ordinal: index }.into()
    }

    /// More of the item that goes on.
    pub(crate) fn show_continued(&mut self, text: Option<&str>) {
        let id = self.state.turn.as_ref().and_then(|turn| turn.continued.as_ref()).expect("an item goes on").id;
        let index = id.ordinal;
        let delta = match text {
            Some(text) => Delta::Text { index, text: text.to_owned() },
            None => Delta::Done { index, opaque: None },
        };
        self.show_of(id.sequence, delta);
    }

    pub(crate) fn finish(&mut self, stop: Stop) -> Vec<Event> {
        let finished = Finished { stop, usage: None, model: None, reported: Object::new() };
        self.record(Ok(finished))
    }

    /// Begins the wanted digest as the runtime does; `None` where there was nothing to replace.
    pub(crate) fn begin_digest(&mut self) -> Option<Stays> {
        let Some(cut) = cut(&self.state, &self.context) else {
            self.give(Command::SkipCompaction);
            return None;
        };
        let Command::Begin(begin) = begin(false) else { return None };
        self.give(Command::BeginCompaction(begin));
        Some(cut.stays)
    }

    /// More of a digest: nobody is shown it.
    pub(crate) fn write_digest(&mut self, kind: ItemKind, text: &str) {
        let (intent, after) = (self.intent(), self.state.sequence);
        for delta in [Delta::Started { index: 0, kind }, Delta::Text { index: 0, text: text.to_owned() }] {
            self.shown.push(session(), after, 0, &Shown { intent, delta });
        }
    }

    /// Makes the wanted digest.
    pub(crate) fn digest(&mut self, text: &str) -> Vec<Event> {
        let stays = self.begin_digest().expect("there is something to replace");
        self.write_digest(ItemKind::Message, text);
        self.end_digest(stays, Ok(Stop::End))
    }

    pub(crate) fn end_digest(&mut self, stays: Stays, result: Result<Stop, FailureKind>) -> Vec<Event> {
        let result = result.map(|stop| Finished { stop, usage: None, model: None, reported: Object::new() });
        let (intent, receipt) = (self.intent(), receipt(100, Booking::Reported));
        let record = RecordInference { intent, result: result.map_err(failure), receipt };
        self.give(Command::RecordCompaction(Box::new(RecordCompaction { record, stays })))
    }

    pub(crate) fn fail(&mut self, kind: FailureKind) -> Vec<Event> {
        self.record(Err(failure(kind)))
    }

    pub(crate) fn record(&mut self, result: Result<Finished, Failure>) -> Vec<Event> {
        let command = record_of(self.intent(), result);
        self.give(command)
    }

    /// Answers with a whole message.
    pub(crate) fn answer(&mut self, text: &str) -> Vec<Event> {
        self.give(begin(false));
        self.show_message(0, text, true);
        self.finish(Stop::End)
    }

    pub(crate) fn wanted(&self) -> Option<Wanted> {
        next(&self.state)
    }

    pub(crate) fn last_turn(&self) -> TurnId {
        self.state.turn_id(self.state.last_turn.as_ref().expect("a turn has ended").id)
    }

    pub(crate) fn last_status(&self) -> TurnStatus {
        self.state.last_turn.as_ref().expect("a turn has ended").status.clone()
    }

    /// What the model would be told, one line an item.
    pub(crate) fn told(&self) -> Vec<String> {
        let line = |item: &Arc<Item>| match &**item {
            Item::Message { role: Role::User, .. } => format!("user {}", crate::assembly::text_of(item)),
            Item::Message { .. } => format!("agent {}", crate::assembly::text_of(item)),
            Item::Reasoning { .. } => "thought".to_owned(),
            Item::ToolCall { .. } => "call".to_owned(),
            Item::ToolResult { error, .. } => if error.is_some() { "error" } else { "result" }.to_owned(),
            Item::Compaction { .. } => "digest".to_owned(),
            Item::Other(_) => "other".to_owned(),
        };
        self.context.render().iter().map(line).collect()
    }
}

pub(crate) fn record_of(intent: Sequence, result: Result<Finished, Failure>) -> Command {
    let receipt = receipt(100, Booking::Reported);
    Command::RecordInference(Box::new(RecordInference { intent, result, receipt }))
}

/// Names of events, for tables.
pub(crate) fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(name).collect()
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::SessionCreated(_) => "created",
        Event::SpecChanged(_) => "spec",
        Event::MetadataChanged(_) => "metadata",
        Event::InputAccepted(_) => "accepted",
        Event::TurnStarted(_) => "started",
        Event::InputIncorporated { .. } => "incorporated",
        Event::InferenceIntended(_) => "intended",
        Event::ItemCompleted(_) => "completed",
        Event::ItemInterrupted(_) => "interrupted",
        Event::InferenceEnded(_) => "inferred",
        Event::CallOpened(_) => "opened",
        Event::CallClosed { .. } => "closed",
        Event::TurnEnded(_) => "ended",
        Event::OutcomeAfterCancel(_) => "late",
        Event::ItemsAdded(_) => "added",
        Event::ItemHidden { .. } => "hidden",
        Event::TurnHidden { .. } => "turn hidden",
        Event::Recovered { .. } => "recovered",
        Event::SessionDeleted => "deleted",
        Event::AgentSaved { .. } => "agent",
        Event::AgentDeleted { .. } => "agent deleted",
        Event::AgentArchived { .. } => "agent archived",
        Event::EchoChanged(_) => "echo",
        Event::SessionArchived => "archived",
        Event::CompactionAsked => "compaction asked",
        Event::ContextReplaced(_) => "replaced",
        Event::CompactionSkipped => "skipped",
        Event::Withheld => "withheld",
        Event::GatewayBooked(_) => "booked",
        Event::AutomationSaved(_) => "automation",
        Event::AutomationPaused { .. } => "paused",
        Event::AutomationResumed { .. } => "resumed",
        Event::InvocationBegun(_) => "invoked",
        Event::InvocationEnded { .. } => "invocation over",
        Event::WebhooksSettled(_) => "webhooks",
        Event::FileBegun(_) => "file begun",
        Event::FilePart(_) => "part",
        Event::FileCompleted { .. } => "file",
        Event::ToolsListed(_) => "listed",
        Event::CallIntended(_) => "call intended",
        Event::CallLost(_) => "lost",
        Event::ApprovalAsked(_) => "asked",
        Event::ApprovalAnswered(_) => "answered",
        Event::CallResolved(_) => "resolved",
    }
}
