//! Plays a session with the real `decide`, and keeps what a live follower sees beside what the journal holds.

use mainstay_session::{
    Command, Envelope, State,
    assembly::Assembly,
    command::{Begin, RecordInference},
    effect::Ruling,
    event::{Receipt, Route},
    feed::{self, Cursor, Moment, Recorded, Shown, Slice, What},
    turn::{Wanted, decide, next},
};
use mainstay_vocabulary::{
    Epoch, ItemKind, Object, Principal, Sequence, SessionId, Shard, Timestamp, Usage,
    inference::{Delta, Failure, FailureKind, Finished, Stop},
    usage::Booking,
};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::agents::{
    Frame, Place, View,
    command::{self, CreateSession},
};

pub(crate) fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

pub(crate) struct Play {
    pub(crate) session: SessionId,
    pub(crate) state: State,
    pub(crate) journal: Vec<Recorded>,
    pub(crate) moments: Vec<Moment>,
    /// The session after each command.
    pub(crate) states: Vec<State>,
    frames: Vec<Slice>,
    shown: Assembly,
    ordinal: u64,
    at: u64,
    continues_prefix: bool,
    /// What policies answer to calls that people answer.
    pub(crate) rulings: Vec<(Sequence, Ruling)>,
}

impl Play {
    pub(crate) fn begin(body: Value, continues_prefix: bool) -> Self {
        let session = SessionId::new(Shard(0), [3; 16]);
        let mut play = Self {
            session,
            state: State::unborn(session),
            journal: Vec::new(),
            moments: Vec::new(),
            states: Vec::new(),
            frames: Vec::new(),
            shown: Assembly::default(),
            ordinal: 1,
            at: 1_000_000,
            continues_prefix,
            rulings: Vec::new(),
        };
        let create =
            CreateSession::read(object(body)).unwrap().command(None, mainstay_session::spec::Limits::default());
        play.send(create.unwrap());
        play
    }

    pub(crate) fn send(&mut self, command: Command) {
        self.at += 1_500;
        let receipt = Receipt {
            usage: Usage { input: 7, output: 3, ..Usage::default() },
            booking: Booking::Estimated,
            cost: None,
            model: None,
            reported: Object::new(),
        };
        let envelope = Envelope {
            command,
            at: Timestamp(self.at),
            session: self.session,
            shown: &self.shown,
            estimate: &receipt,
            actor: &Principal(Arc::from("tester")),
            epoch: Epoch(1),
            rulings: &self.rulings,
        };
        let decision = decide(&self.state, envelope).unwrap();
        for event in decision.events {
            let sequence = self.state.sequence.next();
            let event = Arc::new(event);
            self.state.apply(Timestamp(self.at), sequence, &event);
            let what = What::Event(Arc::clone(&event), Timestamp(self.at));
            self.moments.push(Moment { cursor: Cursor { sequence, ordinal: 0 }, what });
            self.journal.push(Recorded { sequence, at: Timestamp(self.at), event });
        }
        self.states.push(self.state.clone());
        if self.state.turn.as_ref().is_none_or(|turn| turn.inference.is_none()) {
            self.shown = Assembly::resuming(self.state.turn.as_ref().and_then(|turn| turn.continued.as_ref()));
        }
    }

    pub(crate) fn events(&mut self, events: Value) {
        self.send(command::events(object(json!({ "events": events }))).unwrap());
    }

    /// Begins the wanted inference; returns its intent.
    pub(crate) fn infer(&mut self) -> Sequence {
        while next(&self.state) == Some(Wanted::Incorporate) {
            self.send(Command::Incorporate);
        }
        if let Some(Wanted::Infer { not_before: Some(at) }) = next(&self.state) {
            self.at = self.at.max(at.0);
        }
        let route = Route { deployment: "d".to_owned(), continues_prefix: self.continues_prefix, ..Route::default() };
        self.send(Command::Begin(Box::new(Begin { epoch: Epoch(1), route, prompt: String::new() })));
        self.intent()
    }

    fn intent(&self) -> Sequence {
        self.state.turn.as_ref().unwrap().inference.as_ref().unwrap().intent
    }

    pub(crate) fn show(&mut self, intent: Sequence, delta: Delta) {
        let shown = Shown { intent, delta };
        let cursor = Cursor { sequence: self.state.sequence, ordinal: self.ordinal };
        self.shown.push(self.session, cursor.sequence, self.ordinal, &shown);
        self.frames.push(Slice { after: cursor.sequence, first: self.ordinal, shown: vec![shown.clone()] });
        self.moments.push(Moment { cursor, what: What::Shown(shown) });
        self.ordinal += 1;
    }

    /// Shows a whole item.
    pub(crate) fn write(&mut self, intent: Sequence, (index, kind): (u32, ItemKind), texts: &[&str]) {
        self.show(intent, Delta::Started { index, kind });
        for text in texts {
            self.show(intent, Delta::Text { index, text: (*text).to_owned() });
        }
        self.show(intent, Delta::Done { index, opaque: None });
    }

    pub(crate) fn finish(&mut self, stop: Stop) {
        let usage = Usage { input: 20, cached_input: 5, output: 9, reasoning: 2, ..Usage::default() };
        let finished = Finished { stop, usage: Some(usage), model: None, reported: Object::new() };
        self.record(Ok(finished), usage);
    }

    pub(crate) fn break_off(&mut self) {
        self.fail(FailureKind::Broken, "it broke");
    }

    pub(crate) fn fail(&mut self, kind: FailureKind, message: &str) {
        let failure = Failure { kind, message: message.to_owned(), retry_after_ms: None };
        self.record(Err(failure), Usage::default());
    }

    fn record(&mut self, result: Result<Finished, Failure>, usage: Usage) {
        let receipt = Receipt { usage, booking: Booking::Reported, cost: None, model: None, reported: Object::new() };
        let intent = self.intent();
        self.send(Command::RecordInference(Box::new(RecordInference { intent, result, receipt })));
    }

    /// All moments as the journal alone gives them, deltas out of items; frames only of what is still open.
    pub(crate) fn feed(&self) -> Vec<Moment> {
        let is_open = self.state.turn.as_ref().is_some_and(|turn| turn.inference.is_some());
        let from = if is_open { self.intent() } else { Sequence(u64::MAX) };
        let slices: Vec<Slice> = self.frames.iter().filter(|slice| slice.after >= from).cloned().collect();
        feed::expand(&self.journal, &slices)
    }

    /// What a live follower saw.
    pub(crate) fn live(&self) -> Vec<Frame> {
        project(self.session, &self.moments, None)
    }

    /// What the journal alone gives, deltas out of items; frames only of what is still open.
    pub(crate) fn replayed(&self, after: Option<Place>) -> Vec<Frame> {
        project(self.session, &self.feed(), after)
    }

    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let short = |frame: &Frame| frame.kind.trim_start_matches("agent.session.");
        self.live().iter().map(short).collect()
    }
}

fn project(session: SessionId, moments: &[Moment], after: Option<Place>) -> Vec<Frame> {
    let mut view = View::new(State::unborn(session));
    moments.iter().flat_map(|moment| view.project(moment, after)).collect()
}
