//! A session's stream as events of this wire: `View` folds moments one by one, from the session's beginning or from the
//! start of any turn. The same moments give the same bytes, live and on replay. Whole events come from the journal
//! alone; only previews come from deltas. What a failed model request wrote is not part of the conversation and is
//! never shown as an event: its `span.model_request_end` closes the preview.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mainstay_session::{
    Event, Spec,
    assembly::text_of,
    event::{AgentRef, CallOpened, CallOutcome, InferenceEnded, InferenceOutcome, TurnEnded, TurnStatus, Written},
    feed::{Cursor, Moment, Recorded, Shown, What},
};
use mainstay_vocabulary::{
    CallId, Item, ItemId, Object, Sequence, SessionId, Timestamp, inference::Delta, item::ItemKind,
};
use serde_json::{Value, json};

use super::{
    event::{arguments, ending, error, failure_type, kind_of, pairs, said},
    frame::{Frame, Place},
    item_event_id, time,
    types::{self, TITLE},
};

/// What the stream depends on at one place of it. Bounded by a turn and the inputs that wait. At the start of a turn all
/// of it is empty: an agent's session takes every input into the turn that runs or the next, and a turn's calls end
/// with it.
#[derive(Clone, Debug)]
pub struct View {
    session: SessionId,
    agent: Option<AgentRef>,
    accepted: BTreeMap<Sequence, Vec<Arc<Item>>>,
    written: Vec<Written>,
    /// Messages that are previewed.
    messages: BTreeSet<ItemId>,
    /// A message that was cut off and goes on in the next request, with what was said of it.
    cut: Option<(ItemId, String)>,
    asked: BTreeSet<CallId>,
    calls: Vec<(CallId, ItemId)>,
    /// The id of the event that showed the start of the request under way.
    request: String,
    waits_to_retry: bool,
    is_over: bool,
}

/// The frames of one moment.
struct Frames {
    place: Place,
    at: Timestamp,
    after: Option<Place>,
    list: Vec<Frame>,
}

impl Frames {
    /// Adds an event that shows no item; returns its id.
    fn push<const COUNT: usize>(&mut self, kind: &'static str, pairs: [(&str, Value); COUNT]) -> String {
        let id = self.place.to_string();
        self.put(kind, &id, || pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        id
    }

    /// Adds the event that shows an item, unless the client has it: then its body is not even made.
    fn put(&mut self, kind: &'static str, id: &str, fields: impl FnOnce() -> Object) {
        let at = self.at;
        self.frame(kind, (id, None), || {
            let mut body = pairs([("id", json!(id))]);
            body.extend(fields());
            body.insert("processed_at".to_owned(), json!(time::write(at)));
            body
        });
    }

    fn frame(
        &mut self,
        kind: &'static str,
        (id, preview): (&str, Option<&'static str>),
        body: impl FnOnce() -> Object,
    ) {
        if self.after.is_none_or(|after| self.place > after) {
            let mut whole = pairs([("type", json!(kind))]);
            whole.extend(body());
            let (place, at, id) = (self.place, self.at, id.to_owned());
            self.list.push(Frame { place, at, id, kind, preview, body: whole });
        }
        self.place.part += 1;
    }
}

impl View {
    /// The view of a session at its beginning, where it is idle, or right before a turn starts. `agent` is what the
    /// session took over at its creation.
    pub const fn new(session: SessionId, agent: Option<AgentRef>) -> Self {
        Self {
            session,
            agent,
            accepted: BTreeMap::new(),
            written: Vec::new(),
            messages: BTreeSet::new(),
            cut: None,
            asked: BTreeSet::new(),
            calls: Vec::new(),
            request: String::new(),
            waits_to_retry: false,
            is_over: false,
        }
    }

    /// Whether the session was deleted, so that nothing follows.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Inputs that a moment names and that stand before what the view has seen: to be read apart and given to `learn`.
    pub fn missing(&self, moment: &Moment) -> Vec<Sequence> {
        let What::Event(event, _) = &moment.what else { return Vec::new() };
        let Event::InputIncorporated { inputs } = &**event else { return Vec::new() };
        inputs.iter().copied().filter(|input| !self.accepted.contains_key(input)).collect()
    }

    /// Takes an input from before what the view has seen.
    pub fn learn(&mut self, recorded: &Recorded) {
        if let Event::InputAccepted(input) = &*recorded.event {
            self.accepted.insert(recorded.sequence, input.items.clone());
        }
    }

    /// Takes the next moment and gives its frames, those up to `after` left out.
    pub fn project(&mut self, moment: &Moment, after: Option<Place>) -> Vec<Frame> {
        let place = Place { session: self.session, cursor: moment.cursor, part: 0 };
        let mut frames = Frames { place, at: Timestamp(0), after, list: Vec::new() };
        match &moment.what {
            What::Event(event, at) => {
                frames.at = *at;
                self.take_event(moment.cursor, event, &mut frames);
            }
            What::Shown(shown) => self.take_delta(shown, &mut frames),
        }
        frames.list
    }

    fn take_event(&mut self, cursor: Cursor, event: &Event, frames: &mut Frames) {
        match event {
            Event::InputAccepted(input) => {
                self.accepted.insert(cursor.sequence, input.items.clone());
            }
            Event::TurnStarted(_) => {
                self.forget_turn();
                frames.push("session.status_running", []);
            }
            Event::InputIncorporated { inputs } => self.add_inputs(inputs, frames),
            Event::InferenceIntended(_) => self.begin_request(frames),
            Event::ItemCompleted(written) | Event::ItemInterrupted(written) => self.note_written(written),
            Event::InferenceEnded(ended) => self.end_request(ended, frames),
            Event::CallOpened(call) => self.open_call(call, frames),
            Event::CallClosed { call_id, outcome } => {
                let result = ItemId { session: self.session, sequence: cursor.sequence, ordinal: 0 };
                self.close_call(result, (call_id, outcome), frames);
            }
            Event::TurnEnded(ended) => self.end_turn(ended, frames),
            Event::ContextReplaced(_) => drop(frames.push("agent.thread_context_compacted", [])),
            Event::MetadataChanged(metadata) => drop(frames.push("session.updated", [("metadata", json!(metadata))])),
            Event::EchoChanged(echo) => drop(frames.push("session.updated", [("title", json!(echo.get(TITLE)))])),
            Event::SpecChanged(spec) => drop(frames.push("session.updated", [("agent", self.shown_agent(spec))])),
            Event::SessionArchived => drop(frames.push("session.status_terminated", [])),
            Event::SessionDeleted => {
                self.is_over = true;
                frames.push("session.deleted", []);
            }
            _ => {}
        }
    }

    fn forget_turn(&mut self) {
        self.written.clear();
        self.messages.clear();
        self.cut = None;
        self.asked.clear();
        self.calls.clear();
        self.waits_to_retry = false;
    }

    fn shown_agent(&self, spec: &Arc<Spec>) -> Value {
        let mut state = mainstay_session::State::unborn(self.session);
        state.agent.clone_from(&self.agent);
        state.spec = Arc::clone(spec);
        Value::Object(types::session_agent(&state))
    }

    fn add_inputs(&mut self, inputs: &[Sequence], frames: &mut Frames) {
        for &sequence in inputs {
            let items = self.accepted.remove(&sequence).unwrap_or_default();
            for (ordinal, item) in (0..).zip(&items) {
                let id = ItemId { session: self.session, sequence, ordinal };
                if let Some(kind) = kind_of(item) {
                    frames.put(kind, &item_event_id(id), || said(item));
                }
            }
        }
    }

    fn begin_request(&mut self, frames: &mut Frames) {
        if std::mem::take(&mut self.waits_to_retry) {
            frames.push("session.status_running", []);
        }
        self.request = frames.push("span.model_request_start", []);
    }

    fn note_written(&mut self, written: &Written) {
        if written.continues {
            let is_message = matches!(written.kind, ItemKind::Message | ItemKind::Refusal);
            self.cut = is_message.then(|| (written.id, text_of(&written.item).to_owned()));
            return;
        }
        if let (Item::ToolCall { call_id, .. }, true) = (&*written.item, written.marks.done.is_some()) {
            self.asked.insert(call_id.clone());
        }
        self.written.push(written.clone());
    }

    /// The items that a request leaves in the conversation, then its end.
    fn end_request(&mut self, ended: &InferenceEnded, frames: &mut Frames) {
        for written in std::mem::take(&mut self.written).iter().filter(|_| ended.kept) {
            show_written(written, frames);
        }
        self.messages.clear();
        if !ended.kept {
            self.asked.clear();
        }
        let is_error = !matches!(ended.outcome, InferenceOutcome::Finished(_));
        frames.push(
            "span.model_request_end",
            [
                ("is_error", json!(is_error)),
                ("model_request_start_id", json!(self.request)),
                ("model_usage", types::span_usage(&ended.receipt.usage)),
            ],
        );
        if let (InferenceOutcome::Failed(failure), Some(_)) = (&ended.outcome, ended.retry_at) {
            let error = error(failure_type(failure.kind), &failure.message, "retrying");
            frames.push("session.error", [("error", error)]);
            frames.push("session.status_rescheduled", []);
            self.waits_to_retry = true;
        }
    }

    fn open_call(&mut self, call: &CallOpened, frames: &mut Frames) {
        frames.put("agent.custom_tool_use", &item_event_id(call.item), || {
            pairs([("name", json!(call.name)), ("input", arguments(&call.arguments))])
        });
        self.calls.push((call.call_id.clone(), call.item));
        self.settle_call(&call.call_id, frames);
    }

    /// Says once for all calls of a request that they wait: they are opened, or refused, in one batch.
    fn settle_call(&mut self, call_id: &CallId, frames: &mut Frames) {
        if self.asked.remove(call_id) && self.asked.is_empty() && !self.calls.is_empty() {
            self.require_action(frames);
        }
    }

    fn require_action(&self, frames: &mut Frames) {
        let ids: Vec<_> = self.calls.iter().map(|(_, item)| item_event_id(*item)).collect();
        idle(json!({ "type": "requires_action", "event_ids": ids }), Value::Null, frames);
    }

    fn close_call(&mut self, id: ItemId, (call_id, outcome): (&CallId, &CallOutcome), frames: &mut Frames) {
        let Some(index) = self.calls.iter().position(|(open, _)| open == call_id) else {
            // It was never handed out, so nobody sees it closed.
            return self.settle_call(call_id, frames);
        };
        self.calls.remove(index);
        let CallOutcome::Returned(item) = outcome else { return };
        frames.put("user.custom_tool_result", &item_event_id(id), || said(item));
        if self.calls.is_empty() {
            frames.push("session.status_running", []);
        } else {
            self.require_action(frames);
        }
    }

    fn end_turn(&mut self, ended: &TurnEnded, frames: &mut Frames) {
        self.forget_turn();
        if ended.status == TurnStatus::Cancelled {
            frames.push("user.interrupt", []);
        }
        let (failure, reason, details) = ending(&ended.status);
        if let Some(error) = failure {
            frames.push("session.error", [("error", error)]);
        }
        // Where an input waits, its turn starts in the same batch: the session is not idle.
        if self.accepted.is_empty() {
            idle(json!({ "type": reason }), details, frames);
        }
    }

    fn take_delta(&mut self, shown: &Shown, frames: &mut Frames) {
        let item = shown.item(self.session);
        match &shown.delta {
            Delta::Started { kind, .. } => {
                let kind = match kind {
                    ItemKind::Message | ItemKind::Refusal => "agent.message",
                    ItemKind::Reasoning | ItemKind::ReasoningSummary => "agent.thinking",
                    ItemKind::ToolCall { .. } | ItemKind::ServedCall { .. } => return,
                };
                if kind == "agent.message" {
                    self.messages.insert(item);
                }
                start_preview(item, kind, frames);
            }
            Delta::Text { text, .. } => {
                // The end of the request that was cut off closed the preview: it begins anew, with what was said.
                if let Some((_, said)) = self.cut.take_if(|(cut, _)| *cut == item) {
                    self.messages.insert(item);
                    start_preview(item, "agent.message", frames);
                    extend_preview(item, &said, frames);
                }
                if self.messages.contains(&item) {
                    extend_preview(item, text, frames);
                }
            }
            Delta::Logprobs { .. } | Delta::Done { .. } => {}
        }
    }
}

fn start_preview(item: ItemId, kind: &'static str, frames: &mut Frames) {
    let place = frames.place.to_string();
    frames.frame("event_start", (&place, Some(kind)), || {
        pairs([("event", json!({ "type": kind, "id": item_event_id(item) }))])
    });
}

fn extend_preview(item: ItemId, text: &str, frames: &mut Frames) {
    let place = frames.place.to_string();
    frames.frame("event_delta", (&place, Some("agent.message")), || {
        let content = json!({ "type": "text", "text": text });
        let delta = json!({ "type": "content_delta", "index": 0, "content": content });
        pairs([("event_id", json!(item_event_id(item))), ("delta", delta)])
    });
}

fn idle(reason: Value, details: Value, frames: &mut Frames) {
    frames.push("session.status_idle", [("stop_reason", reason), ("stop_details", details)]);
}

/// An item of a request that stays in the conversation. A call is shown when it is handed out.
fn show_written(written: &Written, frames: &mut Frames) {
    let is_cut = written.marks.done.is_none();
    let kind = match &*written.item {
        Item::Message { content, .. } if !(is_cut && content.is_empty()) => "agent.message",
        Item::Reasoning { .. } if !is_cut => "agent.thinking",
        _ => return,
    };
    frames.put(kind, &item_event_id(written.id), || said(&written.item));
}

/// The events that a client sent, out of the batch that took them, as far as `most` goes. They are not processed yet.
pub fn sent(session: SessionId, batch: &[Recorded], most: usize) -> Vec<Value> {
    let mut events = Vec::new();
    let mut push = |kind: &str, id: String, mut body: Object| {
        body.insert("id".to_owned(), json!(id));
        body.insert("type".to_owned(), json!(kind));
        body.insert("processed_at".to_owned(), Value::Null);
        events.push(Value::Object(body));
    };
    for recorded in batch {
        let of = |ordinal| ItemId { session, sequence: recorded.sequence, ordinal };
        match &*recorded.event {
            Event::InputAccepted(input) => {
                for (ordinal, item) in (0..).zip(&input.items) {
                    if let Some(kind) = kind_of(item) {
                        push(kind, item_event_id(of(ordinal)), said(item));
                    }
                }
            }
            Event::CallClosed { outcome: CallOutcome::Returned(item), .. } => {
                push("user.custom_tool_result", item_event_id(of(0)), said(item));
            }
            Event::TurnEnded(ended) if ended.status == TurnStatus::Cancelled => {
                let place = Place { session, cursor: Cursor { sequence: recorded.sequence, ordinal: 0 }, part: 0 };
                push("user.interrupt", place.to_string(), Object::new());
            }
            _ => {}
        }
    }
    events.truncate(most);
    events
}
