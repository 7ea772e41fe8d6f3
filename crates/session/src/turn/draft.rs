//! A decision in the making: each fact is folded at once, so that what follows sees it.

use std::sync::Arc;

use mainstay_vocabulary::{CallId, Epoch, Principal, Sequence, Timestamp};

use crate::{
    assembly::{Assembly, Piece},
    command::{Decision, Envelope},
    effect::Ruling,
    event::{
        CallOutcome, Delivery, ErrorCode, Event, InferenceEnded, InferenceOutcome, Input, PROJECTOR, Purpose, Receipt,
        Shortfall, Task, TurnEnded, TurnError, TurnOptions, TurnStarted, TurnStatus,
    },
    state::{Compacting, OpenInference, State},
};

/// A decision in the making.
pub(super) struct Draft<'a> {
    /// The session with the facts so far.
    pub(super) state: State,
    /// Now, never before the last event.
    pub(super) at: Timestamp,
    /// What the open inference has shown.
    pub(super) shown: &'a Assembly,
    /// Who asks.
    pub(super) actor: &'a Principal,
    /// The lease of now.
    pub(super) epoch: Epoch,
    rulings: &'a [(Sequence, Ruling)],
    estimate: &'a Receipt,
    events: Vec<Event>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(state: &State, envelope: &Envelope<'a>) -> Self {
        let mut state = state.clone();
        state.session = envelope.session;
        let at = envelope.at.max(state.active_at);
        let Envelope { shown, estimate, actor, epoch, rulings, .. } = *envelope;
        Self { state, at, shown, actor, epoch, rulings, estimate, events: Vec::new() }
    }

    /// The policies' answer of now to a call that people answer.
    pub(super) fn ruling(&self, call: Sequence) -> Option<Ruling> {
        self.rulings.iter().find(|(known, _)| *known == call).map(|(_, ruling)| ruling.clone())
    }

    /// Adds a fact; returns its place.
    pub(super) fn push(&mut self, event: Event) -> Sequence {
        let sequence = self.state.sequence.next();
        self.state.apply(self.at, sequence, &event);
        self.events.push(event);
        sequence
    }

    pub(super) fn finish(self, before: &State) -> Decision {
        let (old, new) = (super::deadline(before), super::deadline(&self.state));
        Decision { events: self.events, deadline: (old != new).then_some(new), after: self.state }
    }

    /// Starts a turn with an accepted input and takes it, and whatever else steers, into the context.
    pub(super) fn start_turn(&mut self, input: Sequence, of: (Task, Vec<CallId>)) {
        self.begin_turn(input, of);
        self.incorporate();
    }

    /// Starts a turn with an accepted input, which goes into the context later.
    pub(super) fn begin_turn(&mut self, input: Sequence, (task, unanswered): (Task, Vec<CallId>)) {
        let deadline = self.at.plus_ms(self.state.spec.limits.wall_ms);
        self.push(Event::TurnStarted(TurnStarted {
            input,
            spec_at: self.state.spec_at,
            deadline,
            projector: PROJECTOR,
            task,
            unanswered,
        }));
    }

    /// Takes what starts and steers the turn into the context, unless calls wait for their results: a model is shown
    /// those first.
    pub(super) fn incorporate(&mut self) {
        if self.state.awaited().next().is_none() {
            let inputs = self.steering();
            self.push(Event::InputIncorporated { inputs });
        }
    }

    /// Waiting inputs that go into a running turn: its own first.
    pub(super) fn steering(&self) -> Vec<Sequence> {
        let own = self.state.turn.as_ref().map(|turn| turn.input).filter(|input| self.state.is_waiting(*input));
        let steers = self.state.queue.iter().filter(|queued| queued.steers).map(|queued| queued.input);
        own.into_iter().chain(steers.filter(|input| Some(*input) != own)).collect()
    }

    /// Journals what the open inference has shown and books it. Whole items stay whole, cut ones are interrupted;
    /// `continues` says whether the last cut one goes on in a later attempt.
    pub(super) fn close_inference(&mut self, end: End) {
        let Some(OpenInference { intent, intended }) = self.state.turn.as_ref().and_then(|turn| turn.inference.clone())
        else {
            return;
        };
        if intended.purpose == Purpose::Answer {
            self.write_pieces(&intended.route.deployment, end.continues);
        }
        let receipt = end.receipt.unwrap_or_else(|| self.estimate.clone());
        let End { outcome, kept, retry_at, .. } = end;
        self.push(Event::InferenceEnded(Box::new(InferenceEnded { intent, outcome, receipt, kept, retry_at })));
    }

    fn write_pieces(&mut self, deployment: &str, continues: bool) {
        for piece in &self.shown.pieces {
            let mut written = piece.written(deployment);
            written.continues = continues && !piece.is_done();
            let whole = piece.is_done();
            self.push(if whole { Event::ItemCompleted(written) } else { Event::ItemInterrupted(written) });
        }
    }

    /// Closes an item that was to go on in an attempt that will not be made.
    pub(super) fn close_continued(&mut self) {
        let continued = self.state.turn.as_ref().and_then(|turn| turn.continued.clone());
        if let Some(piece) = Assembly::resuming(continued.as_ref()).pieces.first() {
            self.push(Event::ItemInterrupted(piece.written("")));
        }
    }

    /// The whole calls that the open inference has asked for.
    pub(super) fn asked(&self) -> impl Iterator<Item = &'a Piece> + use<'a> {
        let is_digest = self.is_digest();
        self.shown.pieces.iter().filter(move |piece| !is_digest && piece.is_call() && piece.is_done())
    }

    /// Whether the inference under way writes a digest: nothing of it is said to anybody.
    pub(super) fn is_digest(&self) -> bool {
        let open = self.state.turn.as_ref().and_then(|turn| turn.inference.as_ref());
        open.is_some_and(|open| open.intended.purpose == Purpose::Compaction)
    }

    /// Closes calls that nobody will answer.
    pub(super) fn cancel_calls(&mut self, calls: Vec<CallId>) {
        for call_id in calls {
            self.push(Event::CallClosed { call_id, outcome: CallOutcome::Cancelled });
        }
    }

    /// Ends the running turn and starts the next where an input waits.
    pub(super) fn end_turn(&mut self, status: TurnStatus) {
        let is_asked = self.state.turn.as_ref().is_some_and(|turn| turn.compacting == Compacting::Asked);
        let compacts = is_asked && status == TurnStatus::Completed;
        self.close_turn(status);
        let Some(waiting) = self.state.queue.first().copied() else {
            if compacts {
                self.start_compaction();
            }
            return;
        };
        // The input was accepted before the calls were made, so it cannot answer them.
        self.cancel_calls(self.state.unanswered.clone());
        self.start_turn(waiting.input, (Task::Answer, Vec::new()));
        if compacts {
            self.push(Event::CompactionAsked);
        }
    }

    /// Starts a turn for a compaction that was asked for too late for the turn before.
    fn start_compaction(&mut self) {
        let options = TurnOptions { task: Task::Compact, ..TurnOptions::default() };
        let input = Input { items: Vec::new(), delivery: Delivery::Reject, options };
        let sequence = self.push(Event::InputAccepted(input));
        self.start_turn(sequence, (Task::Compact, self.state.unanswered.clone()));
    }

    /// Ends the running turn; what waits goes on waiting.
    pub(super) fn close_turn(&mut self, status: TurnStatus) {
        let Some(turn) = &self.state.turn else { return };
        let (id, usage) = (turn.id, turn.usage);
        self.push(Event::TurnEnded(Box::new(TurnEnded { turn: id, status, usage })));
    }

    /// Ends the running turn as failed.
    pub(super) fn fail_turn(&mut self, code: ErrorCode, message: impl Into<String>) {
        self.close_continued();
        self.end_turn(TurnStatus::Failed(TurnError { code, message: message.into() }));
    }

    /// Ends the running turn as incomplete.
    pub(super) fn cut_turn(&mut self, why: Shortfall) {
        self.end_turn(TurnStatus::Incomplete(why));
    }
}

/// How `close_inference` closes one.
pub(super) struct End {
    pub(super) outcome: InferenceOutcome,
    /// `None` books the estimate.
    pub(super) receipt: Option<Receipt>,
    pub(super) kept: bool,
    pub(super) continues: bool,
    pub(super) retry_at: Option<Timestamp>,
}

impl End {
    /// Kept, booked by the estimate, nothing follows.
    pub(super) const fn kept(outcome: InferenceOutcome) -> Self {
        Self { outcome, receipt: None, kept: true, continues: false, retry_at: None }
    }
}

/// The items as shared pointers, as events hold them.
pub(super) type Items = Vec<Arc<mainstay_vocabulary::Item>>;
