//! A session's stream as events of this wire: `View` folds moments one by one, from the session's beginning or from a
//! place where it is idle. The same moments give the same bytes, live and on replay.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mainstay_session::{
    Event, State,
    event::{CallOpened, CallOutcome, TurnEnded, Written},
    feed::{Cursor, Moment, Shown, What},
    state::Phase,
};
use mainstay_vocabulary::{CallId, Item, ItemId, Object, Sequence, Timestamp, inference::Delta, item::ItemKind};
use serde_json::{Value, json};

use super::{
    agent_id,
    frame::{Frame, Place},
    item, served, session_id, turn_id,
    types::{self, Progress, Turn},
};

/// What the stream depends on at one place of it. Bounded by the session's state and the items being written.
#[derive(Clone, Debug)]
pub struct View {
    state: State,
    accepted: BTreeMap<Sequence, Vec<Arc<Item>>>,
    open: Vec<Open>,
    outputs: u32,
    asked: BTreeSet<CallId>,
    /// Calls that the runtime runs, with their places in the output.
    served: Vec<(CallOpened, u32)>,
    exact: Option<Box<State>>,
}

/// An item that is being written.
#[derive(Clone, Debug)]
struct Open {
    item: ItemId,
    id: String,
    kind: ItemKind,
    output_index: u32,
    text: String,
}

/// The frames of one moment.
struct Frames {
    place: Place,
    after: Option<Place>,
    list: Vec<Frame>,
}

impl Frames {
    /// Adds the next frame, unless the client has it: then its body is not even made.
    fn push(&mut self, kind: &'static str, fields: impl FnOnce() -> Object) {
        if self.after.is_none_or(|after| self.place > after) {
            self.list.push(Frame { place: self.place, kind, fields: fields() });
        }
        self.place.part += 1;
    }
}

/// Fields of a frame from pairs.
fn fields<const COUNT: usize>(pairs: [(&str, Value); COUNT]) -> Object {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl View {
    /// The view of a session that is idle or not born.
    pub const fn new(state: State) -> Self {
        let accepted = BTreeMap::new();
        Self { state, accepted, open: Vec::new(), outputs: 0, asked: BTreeSet::new(), served: Vec::new(), exact: None }
    }

    /// The view of a session in mid-turn, to be given the moments of that turn from its `TurnStarted` on. Frames are
    /// right from after `state` on: what the turn's past tells is gathered up to there, the rest comes from `state`.
    pub fn in_turn(state: State) -> Self {
        Self { exact: Some(Box::new(state.clone())), ..Self::new(State::unborn(state.session)) }
    }

    /// The session as it stands.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Takes the next moment and gives its frames, those up to `after` left out.
    pub fn project(&mut self, moment: &Moment, after: Option<Place>) -> Vec<Frame> {
        let place = Place { session: self.state.session, cursor: moment.cursor, part: 0 };
        let mut frames = Frames { place, after, list: Vec::new() };
        match &moment.what {
            What::Event(event, at) => self.take_event((moment.cursor, *at), event, &mut frames),
            What::Shown(shown) => self.take_delta(shown, &mut frames),
        }
        if let Some(exact) = self.exact.take_if(|exact| self.state.sequence >= exact.sequence) {
            self.state = *exact;
        }
        frames.list
    }

    fn take_event(&mut self, (cursor, at): (Cursor, Timestamp), event: &Event, frames: &mut Frames) {
        let turn = self.state.turn.as_ref().map(|turn| turn.started_at);
        let was_open = |call_id: &CallId| self.state.calls.iter().any(|call| call.call_id == *call_id);
        let answers = matches!(event, Event::CallClosed { call_id, .. } if was_open(call_id));
        let waited = self.state.phase() == Phase::WaitingForClient;
        self.state.apply(at, cursor.sequence, event);
        match event {
            Event::SessionCreated(_) => self.session_event("agent.session.created", frames),
            Event::InputAccepted(input) => {
                self.accepted.insert(cursor.sequence, input.items.clone());
            }
            Event::TurnStarted(_) => self.start_turn(cursor.sequence, at, frames),
            Event::InputIncorporated { inputs } => self.add_inputs(inputs, frames),
            Event::ItemCompleted(written) => self.note_call(written),
            Event::ItemInterrupted(written) if !written.continues => self.close(written.id, "incomplete", frames),
            Event::CallOpened(call) if call.served.is_some() => self.begin_served(call, frames),
            Event::CallOpened(call) => self.open_call(call, frames),
            Event::ApprovalAsked(_) | Event::CallLost(_) if self.is_waiting() => {
                self.session_event("agent.session.requires_action", frames);
            }
            Event::CallIntended(_) if waited => self.session_event("agent.session.in_progress", frames),
            Event::CallClosed { call_id, outcome } if answers => {
                let id = ItemId { session: self.state.session, sequence: cursor.sequence, ordinal: 0 };
                self.close_call(id, (call_id, outcome), frames);
            }
            Event::CallClosed { call_id, outcome } if self.served.iter().any(|(call, _)| call.call_id == *call_id) => {
                self.end_served((call_id, outcome), waited, frames);
            }
            // It was never handed out, so nobody sees it closed.
            Event::CallClosed { call_id, .. } => self.settle_call(call_id, frames),
            Event::TurnEnded(ended) => self.end_turn(turn.unwrap_or(at), (at, ended), frames),
            Event::SpecChanged(_)
            | Event::MetadataChanged(_)
            | Event::InferenceIntended(_)
            | Event::ItemInterrupted(_)
            | Event::InferenceEnded(_)
            | Event::OutcomeAfterCancel(_)
            | Event::ItemsAdded(_)
            | Event::ItemHidden { .. }
            | Event::TurnHidden { .. }
            | Event::Recovered { .. }
            | Event::SessionDeleted
            | Event::AgentSaved { .. }
            | Event::AgentDeleted { .. }
            | Event::AgentArchived { .. }
            | Event::EchoChanged(_)
            | Event::SessionArchived
            | Event::GatewayBooked(_)
            | Event::FileBegun(_)
            | Event::FilePart(_)
            | Event::FileCompleted { .. }
            | Event::AutomationSaved(_)
            | Event::AutomationPaused { .. }
            | Event::AutomationResumed { .. }
            | Event::InvocationBegun(_)
            | Event::InvocationEnded { .. }
            | Event::WebhooksSettled(_)
            | Event::ToolsListed(_)
            | Event::CallIntended(_)
            | Event::CallLost(_)
            | Event::ApprovalAsked(_)
            | Event::ApprovalAnswered(_)
            | Event::CallResolved(_)
            | Event::CompactionAsked
            | Event::ContextReplaced(_)
            | Event::CompactionSkipped
            | Event::Withheld => {}
        }
    }

    fn session_event(&self, kind: &'static str, frames: &mut Frames) {
        frames.push(kind, || fields([("session", types::session(&self.state))]));
    }

    fn turn_event(&self, kind: &'static str, turn: &Turn, frames: &mut Frames) {
        frames.push(kind, || {
            let mut object = fields([
                ("session_id", json!(session_id(self.state.session))),
                ("turn_id", json!(turn_id(self.state.session, turn.id))),
                ("turn", types::turn(turn)),
            ]);
            if let Progress::Ended(_, ended) = &turn.progress {
                object.insert("usage".to_owned(), types::usage(&ended.usage));
            }
            object
        });
    }

    fn turn(&self, id: Sequence, started_at: Timestamp, progress: Progress) -> Turn {
        Turn { session: self.state.session, agent: agent_id(&self.state), id, started_at, progress }
    }

    /// The text of the id of the turn that runs.
    fn turn_id(&self) -> String {
        self.state.turn.as_ref().map_or_else(String::new, |turn| turn_id(self.state.session, turn.id))
    }

    fn start_turn(&mut self, id: Sequence, at: Timestamp, frames: &mut Frames) {
        self.outputs = 0;
        self.open.clear();
        self.asked.clear();
        self.served.clear();
        self.turn_event("agent.session.turn.created", &self.turn(id, at, Progress::Queued), frames);
        self.turn_event("agent.session.turn.in_progress", &self.turn(id, at, Progress::Running), frames);
        self.session_event("agent.session.in_progress", frames);
    }

    fn end_turn(&mut self, started_at: Timestamp, (at, ended): (Timestamp, &TurnEnded), frames: &mut Frames) {
        self.open.clear();
        self.asked.clear();
        let turn = self.turn(ended.turn, started_at, Progress::Ended(at, Box::new(ended.clone())));
        self.turn_event(types::ended_type(&ended.status), &turn, frames);
        // Where an input waits, its turn starts in the same batch: the session is not idle.
        if self.state.queue.is_empty() {
            self.session_event("agent.session.idle", frames);
        }
    }

    fn add_inputs(&mut self, inputs: &[Sequence], frames: &mut Frames) {
        let turn = self.turn_id();
        for &sequence in inputs {
            let items = self.accepted.remove(&sequence).unwrap_or_default();
            for (ordinal, item) in (0..).zip(&items) {
                let id = ItemId { session: self.state.session, sequence, ordinal };
                self.item_event("agent.session.turn.item.added", None, || item::input(id, item, &turn), frames);
            }
        }
    }

    fn item_event(
        &self,
        kind: &'static str,
        output_index: Option<u32>,
        item: impl FnOnce() -> Value,
        frames: &mut Frames,
    ) {
        frames.push(kind, || {
            fields([
                ("session_id", json!(session_id(self.state.session))),
                ("turn_id", json!(self.turn_id())),
                ("output_index", json!(output_index)),
                ("item", item()),
            ])
        });
    }

    fn take_delta(&mut self, shown: &Shown, frames: &mut Frames) {
        let id = shown.item(self.state.session);
        match &shown.delta {
            Delta::Started { kind, .. } => self.begin(id, kind, frames),
            Delta::Text { text, .. } => self.extend(id, text, frames),
            // This wire has no place for them.
            Delta::Logprobs { .. } => {}
            Delta::Done { .. } => self.close(id, "completed", frames),
        }
    }

    fn begin(&mut self, item: ItemId, kind: &ItemKind, frames: &mut Frames) {
        // A call is shown when it is handed out, never while its arguments are being written.
        let Some(id) = item::id_of_kind(item, kind) else { return };
        let output_index = self.next_output();
        let open = Open { item, id, kind: kind.clone(), output_index, text: String::new() };
        let turn = self.turn_id();
        let begun = || item::written(&open.id, kind, None, "in_progress", &turn);
        self.item_event("agent.session.turn.item.added", Some(output_index), begun, frames);
        let kind =
            open.pick("agent.session.turn.content_part.added", "agent.session.turn.reasoning_summary_part.added");
        self.part_event(kind, &open, || ("part", open.part()), frames);
        self.open.push(open);
    }

    fn extend(&mut self, item: ItemId, text: &str, frames: &mut Frames) {
        let Some(index) = self.open.iter().position(|open| open.item == item) else { return };
        self.open[index].text.push_str(text);
        let open = &self.open[index];
        let kind = open.pick("agent.session.turn.output_text.delta", "agent.session.turn.reasoning_summary_text.delta");
        self.part_event(kind, open, || ("delta", json!(text)), frames);
    }

    /// Ends an item that is being written.
    fn close(&mut self, item: ItemId, status: &'static str, frames: &mut Frames) {
        let Some(index) = self.open.iter().position(|open| open.item == item) else { return };
        let open = self.open.remove(index);
        let kind = open.pick("agent.session.turn.output_text.done", "agent.session.turn.reasoning_summary_text.done");
        self.part_event(kind, &open, || ("text", json!(open.text)), frames);
        let kind = open.pick("agent.session.turn.content_part.done", "agent.session.turn.reasoning_summary_part.done");
        self.part_event(kind, &open, || ("part", open.part()), frames);
        if open.is_reasoning() && status == "incomplete" {
            mark_incomplete(frames);
        }
        let turn = self.turn_id();
        let whole = || item::written(&open.id, &open.kind, Some(&open.text), status, &turn);
        self.item_event("agent.session.turn.item.done", Some(open.output_index), whole, frames);
    }

    fn part_event(
        &self,
        kind: &'static str,
        open: &Open,
        own: impl FnOnce() -> (&'static str, Value),
        frames: &mut Frames,
    ) {
        frames.push(kind, || {
            fields([
                ("session_id", json!(session_id(self.state.session))),
                ("turn_id", json!(self.turn_id())),
                ("item_id", json!(open.id)),
                ("output_index", json!(open.output_index)),
                (open.pick("content_index", "summary_index"), json!(0)),
                own(),
            ])
        });
    }

    fn note_call(&mut self, written: &Written) {
        if let Item::ToolCall { call_id, .. } = &*written.item {
            self.asked.insert(call_id.clone());
        }
    }

    fn open_call(&mut self, call: &CallOpened, frames: &mut Frames) {
        let (turn, output_index) = (self.turn_id(), self.next_output());
        let begun = || item::call(call, "in_progress", &turn);
        self.item_event("agent.session.turn.item.added", Some(output_index), begun, frames);
        let whole = || item::call(call, "completed", &turn);
        self.item_event("agent.session.turn.item.done", Some(output_index), whole, frames);
        self.settle_call(&call.call_id, frames);
    }

    /// A call that the runtime runs begins to be seen, and is seen until it has its outcome.
    fn begin_served(&mut self, call: &CallOpened, frames: &mut Frames) {
        let (turn, output_index) = (self.turn_id(), self.next_output());
        let begun = || served::call(call, None, &turn);
        self.item_event("agent.session.turn.item.added", Some(output_index), begun, frames);
        self.served.push((call.clone(), output_index));
        self.settle_call(&call.call_id, frames);
    }

    fn end_served(&mut self, (call_id, outcome): (&CallId, &CallOutcome), waited: bool, frames: &mut Frames) {
        let Some(index) = self.served.iter().position(|(call, _)| call.call_id == *call_id) else { return };
        let (call, output_index) = self.served.remove(index);
        let turn = self.turn_id();
        let whole = || served::call(&call, Some(outcome), &turn);
        self.item_event("agent.session.turn.item.done", Some(output_index), whole, frames);
        match (waited, self.is_waiting()) {
            (true, false) => self.session_event("agent.session.in_progress", frames),
            (false, true) => self.session_event("agent.session.requires_action", frames),
            (true, true) | (false, false) => {}
        }
    }

    fn is_waiting(&self) -> bool {
        self.state.phase() == Phase::WaitingForClient
    }

    /// Says once for all calls of an inference that they wait: they are opened, or refused, in one batch.
    fn settle_call(&mut self, call_id: &CallId, frames: &mut Frames) {
        if self.asked.remove(call_id) && self.asked.is_empty() && self.is_waiting() {
            self.session_event("agent.session.requires_action", frames);
        }
    }

    fn close_call(&self, id: ItemId, (call_id, outcome): (&CallId, &CallOutcome), frames: &mut Frames) {
        let turn = self.turn_id();
        let closed = || item::outcome(id, &call_id.0, outcome, &turn);
        self.item_event("agent.session.turn.item.added", None, closed, frames);
        if !self.is_waiting() && matches!(outcome, CallOutcome::Returned(_)) {
            self.session_event("agent.session.in_progress", frames);
        }
    }

    const fn next_output(&mut self) -> u32 {
        let index = self.outputs;
        self.outputs += 1;
        index
    }
}

impl Open {
    const fn is_reasoning(&self) -> bool {
        matches!(self.kind, ItemKind::Reasoning | ItemKind::ReasoningSummary)
    }

    const fn pick(&self, message: &'static str, reasoning: &'static str) -> &'static str {
        if self.is_reasoning() { reasoning } else { message }
    }

    fn part(&self) -> Value {
        json!({ "type": self.pick("output_text", "summary_text"), "text": self.text })
    }
}

/// Says of a summary part that it was cut off.
fn mark_incomplete(frames: &mut Frames) {
    if let Some(frame) = frames.list.last_mut().filter(|frame| frame.kind.ends_with("summary_part.done")) {
        frame.fields.insert("status".to_owned(), json!("incomplete"));
    }
}
