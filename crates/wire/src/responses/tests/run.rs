//! A session driven by hand: what followers saw live beside what the journal holds.

use std::sync::Arc;

use mainstay_session::{
    Command, Event, Spec, State,
    assembly::Assembly,
    command::{Begin, Create, Envelope, RecordCompaction, RecordInference},
    compaction::Stays,
    effect::Ruling,
    event::{Created, Delivery, Input, Kind, Receipt, Route, TurnOptions},
    feed::{Cursor, Moment, Recorded, Shown, What},
    spec::{CallMode, Interruption},
    turn::decide,
};
use mainstay_vocabulary::{
    Content, Epoch, Item, ItemKind, Object, Principal, Role, Sequence, SessionId, Shard, Timestamp, TurnId, Usage,
    inference::{Delta, Failure, FailureKind, Finished, Stop},
    usage::Booking,
};
use serde_json::json;

use crate::responses::{Frame, Head, View, item::Shape};

/// A session with one turn.
pub(super) struct Run {
    pub(super) state: State,
    pub(super) live: Vec<Moment>,
    pub(super) journal: Vec<Recorded>,
    shown: Assembly,
    ordinal: u64,
    at: u64,
    continues_prefix: bool,
    options: TurnOptions,
    /// What policies answer to calls that people answer.
    pub(super) rulings: Vec<(Sequence, Ruling)>,
}

pub(super) const USAGE: Usage = Usage { input: 11, cached_input: 2, cache_write: 0, output: 7, reasoning: 3 };

impl Run {
    pub(super) fn new(background: bool, continues_prefix: bool) -> Self {
        let state = State::unborn(SessionId::new(Shard(0), [3; 16]));
        let mut echo = Object::new();
        if background {
            echo.insert("background".to_owned(), json!(true));
        }
        let options = TurnOptions { echo, ..TurnOptions::default() };
        let (live, journal, shown) = (Vec::new(), Vec::new(), Assembly::default());
        let mut run = Self {
            state,
            live,
            journal,
            shown,
            ordinal: 1,
            at: 1_700_000_000_000,
            continues_prefix,
            options,
            rulings: Vec::new(),
        };
        run.create();
        run
    }

    fn create(&mut self) {
        let spec = Spec { calls: CallMode::Yield, interruption: Interruption::End, ..Spec::plain("model") };
        let created = Created {
            kind: Kind::Response,
            spec: Arc::new(spec),
            parent: None,
            metadata: Object::new(),
            agent: None,
            echo: Object::new(),
            unanswered: Vec::new(),
        };
        let said = Item::Message { role: Role::User, content: vec![Content::Text("hi".to_owned())], phase: None };
        let input = Input { items: vec![Arc::new(said)], delivery: Delivery::Reject, options: self.options.clone() };
        self.send(Command::Create(Box::new(Create { created, items: Vec::new(), input: Some(input) })));
    }

    /// Decides and commits a command.
    pub(super) fn send(&mut self, command: Command) {
        self.at += 100;
        let estimate = receipt();
        let envelope = Envelope {
            command,
            at: Timestamp(self.at),
            session: self.state.session,
            shown: &self.shown,
            estimate: &estimate,
            actor: &Principal(Arc::from("tester")),
            epoch: Epoch(1),
            rulings: &self.rulings,
        };
        let decision = decide(&self.state, envelope).unwrap();
        for (sequence, event) in (self.state.sequence.0 + 1..).map(Sequence).zip(decision.events) {
            let (event, at) = (Arc::new(event), Timestamp(self.at));
            self.journal.push(Recorded { sequence, at, event: Arc::clone(&event) });
            let cursor = Cursor { sequence, ordinal: 0 };
            self.live.push(Moment { cursor, what: What::Event(event, at) });
        }
        self.state = decision.after;
    }

    pub(super) fn begin(&mut self) {
        let continued = self.state.turn.as_ref().and_then(|turn| turn.continued.clone());
        let route =
            Route { deployment: "big@acme".to_owned(), continues_prefix: self.continues_prefix, ..Route::default() };
        self.send(Command::Begin(Box::new(Begin { epoch: Epoch(1), route, prompt: "digest".to_owned() })));
        self.shown = Assembly::resuming(continued.as_ref());
    }

    /// Compacts what there is, by a digest that says `text`.
    pub(super) fn compact(&mut self, text: &str) {
        let stays = Stays::default();
        let route = Route { deployment: "big@acme".to_owned(), ..Route::default() };
        self.send(Command::BeginCompaction(Box::new(Begin { epoch: Epoch(1), route, prompt: "digest".to_owned() })));
        let intent = self.state.turn.as_ref().unwrap().inference.as_ref().unwrap().intent;
        for delta in
            [Delta::Started { index: 0, kind: ItemKind::Message }, Delta::Text { index: 0, text: text.to_owned() }]
        {
            self.shown.push(self.state.session, self.state.sequence, 0, &Shown { intent, delta });
        }
        let finished = Finished { stop: Stop::End, usage: Some(USAGE), model: None, reported: Object::new() };
        let record = RecordInference { intent, result: Ok(finished), receipt: receipt() };
        self.send(Command::RecordCompaction(Box::new(RecordCompaction { record, stays })));
        self.shown = Assembly::default();
    }

    /// Shows a delta of the open inference, or of the item that it continues.
    pub(super) fn show(&mut self, delta: Delta) {
        let open = self.state.turn.as_ref().unwrap().inference.as_ref().unwrap();
        let is_start = matches!(delta, Delta::Started { .. });
        let intent = match open.intended.continues {
            Some(item) if !is_start => item.sequence,
            _ => open.intent,
        };
        let shown = Shown { intent, delta };
        self.shown.push(self.state.session, self.state.sequence, self.ordinal, &shown);
        let cursor = Cursor { sequence: self.state.sequence, ordinal: self.ordinal };
        self.live.push(Moment { cursor, what: What::Shown(shown) });
        self.ordinal += 1;
    }

    pub(super) fn start(&mut self, index: u32, kind: ItemKind) {
        self.show(Delta::Started { index, kind });
    }

    pub(super) fn text(&mut self, index: u32, text: &str) {
        self.show(Delta::Text { index, text: text.to_owned() });
    }

    pub(super) fn done(&mut self, index: u32) {
        self.show(Delta::Done { index, opaque: None });
    }

    pub(super) fn finish(&mut self, stop: Stop) {
        let finished = Finished { stop, usage: Some(USAGE), model: None, reported: Object::new() };
        self.record(Ok(finished));
    }

    /// Comes to its end by a tier that the provider names.
    pub(super) fn finish_by(&mut self, tier: &str) {
        let finished = Finished { stop: Stop::End, usage: Some(USAGE), model: None, reported: Object::new() };
        let mut receipt = receipt();
        receipt.reported.insert("service_tier".to_owned(), json!(tier));
        self.record_with(Ok(finished), receipt);
    }

    pub(super) fn fail(&mut self, kind: FailureKind) {
        self.record(Err(Failure { kind, message: "the upstream is unwell".to_owned(), retry_after_ms: None }));
        self.at += 600_000;
    }

    fn record(&mut self, result: Result<Finished, Failure>) {
        self.record_with(result, receipt());
    }

    fn record_with(&mut self, result: Result<Finished, Failure>, receipt: Receipt) {
        let intent = self.state.turn.as_ref().unwrap().inference.as_ref().unwrap().intent;
        let record = RecordInference { intent, result, receipt };
        self.send(Command::RecordInference(Box::new(record)));
    }

    pub(super) fn head(&self) -> Head {
        let started = self.journal.iter().find(|recorded| matches!(*recorded.event, Event::TurnStarted(_))).unwrap();
        Head {
            turn: TurnId { session: self.state.session, sequence: started.sequence },
            created_at: started.at,
            spec: Arc::clone(&self.state.spec),
            options: self.options.clone(),
            conversation: None,
        }
    }

    /// Frames from `from` on, and the view that they leave.
    pub(super) fn project(&self, moments: &[Moment], shape: Shape, from: u64) -> (Vec<Frame>, View) {
        let mut view = View::new(self.head(), shape, from);
        let frames = moments.iter().flat_map(|moment| view.apply(moment)).collect();
        (frames, view)
    }
}

fn receipt() -> Receipt {
    Receipt { usage: USAGE, booking: Booking::Reported, cost: None, model: None, reported: Object::new() }
}
