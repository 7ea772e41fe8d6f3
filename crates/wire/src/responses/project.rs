//! The fold of a Response's range: each moment changes the view and yields the frames that follow from it. Pure, so
//! that a replay gives the same bytes. Moments before the turn began or after it ended change nothing.

mod served;

use std::collections::BTreeMap;

use mainstay_session::{
    Event,
    assembly::text_of,
    event::{CallOpened, TurnEnded, TurnStatus, Written},
    feed::{Moment, Shown, What},
};
use mainstay_vocabulary::{
    Item, ItemId, ItemKind, Sequence, SessionId, Timestamp, Usage, inference,
    item::{ItemStatus, Opaque},
};
use serde_json::Value;

use super::{
    item::Shape,
    object::{Head, Standing, response_json},
    output::Output,
    project::served::is_served,
    stream::{Delta, Done, Lifecycle, OutputItem, Part, Sink, padding},
};
use crate::tier;

pub use super::stream::Frame;

/// The first projector that shows which tier served.
const SHOWS_TIER: u32 = 2;

/// A Response as it stands.
#[derive(Clone, Debug)]
pub struct View {
    head: Head,
    shape: Shape,
    standing: Standing,
    output: Vec<Output>,
    deployment: String,
    tier: Tier,
    sink: Sink,
    /// Calls that the runtime runs, by the places where they were opened.
    calls: BTreeMap<Sequence, CallOpened>,
    /// How many log probabilities came since the last text.
    fresh_logprobs: usize,
}

/// What is known of the service tier.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tier {
    /// Turns of the first projector said `default`, whatever served them.
    Unsaid,
    /// Nobody reported one yet.
    Open,
    /// As reported last.
    Served(String),
}

impl View {
    /// A Response of which nothing happened yet. Frames are made from number `from` on.
    pub fn new(head: Head, shape: Shape, from: u64) -> Self {
        let (output, deployment) = (Vec::new(), String::new());
        let (standing, sink) = (Standing::Queued, Sink::keeping(from));
        Self {
            head,
            shape,
            standing,
            output,
            deployment,
            tier: Tier::Open,
            sink,
            calls: BTreeMap::new(),
            fresh_logprobs: 0,
        }
    }

    /// The same for the object alone: no frames are made.
    pub fn without_frames(head: Head, shape: Shape) -> Self {
        Self::new(head, shape, u64::MAX)
    }

    /// All frames of a Response for which nothing is generated.
    pub fn idle(head: Head, shape: Shape) -> Vec<Frame> {
        let (turn, at) = (head.turn.sequence, head.created_at);
        let mut view = Self::new(head, shape, 0);
        view.begin();
        view.end(&TurnEnded { turn, status: TurnStatus::Completed, usage: Usage::default() }, at);
        view.sink.take()
    }

    /// What the Response is known by.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// How it stands.
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The object as it stands.
    pub fn object(&self) -> Value {
        let shown = self.output.iter().map(|output| output.json(self.shape)).collect();
        response_json(&self.head, &self.standing, self.tier(), shown)
    }

    /// The tier that is asked for; in the end the one that served.
    fn tier(&self) -> &str {
        match &self.tier {
            Tier::Served(tier) if self.standing.is_final() => tier,
            Tier::Unsaid => tier::DEFAULT,
            Tier::Open if self.standing.is_final() => tier::DEFAULT,
            Tier::Open | Tier::Served(_) => self.head.asked_tier(),
        }
    }

    /// Takes the next moment; gives the frames that are wanted.
    pub fn apply(&mut self, moment: &Moment) -> Vec<Frame> {
        let is_before = moment.cursor.sequence < self.head.turn.sequence;
        if !is_before && !self.standing.is_final() {
            match &moment.what {
                What::Event(event, at) => self.take_event(moment.cursor.sequence, event, *at),
                What::Shown(shown) => self.take_shown(shown),
            }
        }
        self.sink.take()
    }

    fn session(&self) -> SessionId {
        self.head.turn.session
    }

    fn take_event(&mut self, sequence: Sequence, event: &Event, at: Timestamp) {
        match event {
            Event::TurnStarted(started) => {
                if started.projector < SHOWS_TIER {
                    self.tier = Tier::Unsaid;
                }
                self.begin();
            }
            Event::InferenceIntended(intended) => {
                self.deployment.clone_from(&intended.route.deployment);
                if self.standing == Standing::Queued {
                    self.go_on();
                }
            }
            Event::ContextReplaced(replaced) => {
                let digest = replaced.digest.iter().map(|digest| Output::whole(digest.id, digest.item()));
                digest.for_each(|output| self.add(output));
            }
            Event::ItemCompleted(written) if is_served(&written.kind) => {}
            Event::ItemInterrupted(written) if is_served(&written.kind) => {}
            Event::ItemCompleted(written) => self.complete(written),
            Event::ItemInterrupted(written) if !written.continues => self.interrupt(written),
            Event::ToolsListed(_)
            | Event::CallOpened(_)
            | Event::CallIntended(_)
            | Event::CallLost(_)
            | Event::ApprovalAsked(_)
            | Event::CallClosed { .. } => self.take_served(sequence, event),
            Event::InferenceEnded(ended) if self.tier != Tier::Unsaid => {
                let served = tier::served(&ended.receipt.reported).map(|tier| Tier::Served(tier.to_owned()));
                self.tier = served.unwrap_or_else(|| self.tier.clone());
            }
            Event::TurnEnded(ended) if ended.turn == self.head.turn.sequence => self.end(ended, at),
            _ => {}
        }
    }

    fn begin(&mut self) {
        if !self.head.is_background() {
            self.standing = Standing::InProgress;
        }
        self.announce("response.created");
        if self.head.is_background() {
            self.announce("response.queued");
        } else {
            self.announce("response.in_progress");
        }
    }

    fn go_on(&mut self) {
        self.standing = Standing::InProgress;
        self.announce("response.in_progress");
    }

    fn announce(&mut self, event: &'static str) {
        let mut sink = std::mem::replace(&mut self.sink, Sink::keeping(0));
        sink.send(event, || Lifecycle { response: self.object() });
        self.sink = sink;
    }

    fn take_shown(&mut self, shown: &Shown) {
        let id = shown.item(self.session());
        match &shown.delta {
            inference::Delta::Started { kind, .. } if is_served(kind) => {}
            inference::Delta::Started { kind, .. } => self.start(id, kind),
            inference::Delta::Text { text, .. } => self.write(id, text),
            inference::Delta::Logprobs { logprobs, .. } => self.note_logprobs(id, logprobs),
            inference::Delta::Done { opaque, .. } => {
                let deployment = &self.deployment;
                let opaque = opaque.clone().map(|bytes| Opaque { deployment: deployment.clone(), bytes });
                if let Some(index) = self.open(id) {
                    self.output[index].opaque = opaque;
                    self.close(index, ItemStatus::Completed);
                }
            }
        }
    }

    /// Where an item stands that is still being written.
    fn open(&self, id: ItemId) -> Option<usize> {
        self.output.iter().rposition(|output| output.id == id && output.status == ItemStatus::InProgress)
    }

    fn start(&mut self, id: ItemId, kind: &ItemKind) {
        let index = self.output.len();
        self.output.push(Output::new(id, kind));
        let Self { output, sink, shape, .. } = self;
        let output = &output[index];
        sink.send("response.output_item.added", || OutputItem { output_index: index, item: output.json(*shape) });
        if let Some(event) = output.part_event(true) {
            sink.send(event, || Part { at: output.at(index), part: output.part() });
        }
    }

    /// They stand before the text that they belong to.
    fn note_logprobs(&mut self, id: ItemId, logprobs: &Value) {
        let (Some(index), Value::Array(logprobs)) = (self.open(id), logprobs) else { return };
        self.output[index].logprobs.extend(logprobs.iter().cloned());
        self.fresh_logprobs = logprobs.len();
    }

    /// An item came whole.
    fn add(&mut self, output: Output) {
        let index = self.output.len();
        self.output.push(output);
        let Self { output, sink, shape, .. } = self;
        for event in ["response.output_item.added", "response.output_item.done"] {
            sink.send(event, || OutputItem { output_index: index, item: output[index].json(*shape) });
        }
    }

    fn write(&mut self, id: ItemId, text: &str) {
        let Some(index) = self.open(id) else { return };
        self.output[index].text.push_str(text);
        let fresh = std::mem::take(&mut self.fresh_logprobs);
        let Self { output, sink, shape, .. } = self;
        let output = &output[index];
        let logprobs = &output.logprobs[output.logprobs.len().saturating_sub(fresh)..];
        let number = sink.next_number();
        sink.send(output.events().0, || Delta {
            at: output.at(index),
            delta: text,
            logprobs: (output.kind == ItemKind::Message).then_some(logprobs),
            obfuscation: shape.obfuscated.then(|| padding(&output.name, number, text.len())),
        });
    }

    /// No more will be written to the item.
    fn close(&mut self, index: usize, status: ItemStatus) {
        self.output[index].status = status;
        let Self { output, sink, shape, .. } = self;
        let output = &output[index];
        // Half a call's arguments are not announced as done: a client might run it.
        if !(output.is_call() && status == ItemStatus::Incomplete) {
            let (_, event) = output.events();
            let name = output.text_name();
            let logprobs = (output.kind == ItemKind::Message).then_some(&*output.logprobs);
            sink.send(event, || Done { at: output.at(index), name, text: &output.text, logprobs });
        }
        if let Some(event) = output.part_event(false) {
            sink.send(event, || Part { at: output.at(index), part: output.part() });
        }
        sink.send("response.output_item.done", || OutputItem { output_index: index, item: output.json(*shape) });
    }

    /// The whole item: what its deltas told, or all there is where only events are folded.
    fn complete(&mut self, written: &Written) {
        let index = self.settle(written);
        if let Item::Reasoning { opaque, .. } = &*written.item {
            self.output[index].opaque.clone_from(opaque);
        }
        if self.output[index].status == ItemStatus::InProgress {
            self.close(index, ItemStatus::Completed);
        }
    }

    fn interrupt(&mut self, written: &Written) {
        let index = self.settle(written);
        if self.output[index].status == ItemStatus::InProgress {
            self.close(index, ItemStatus::Incomplete);
        }
    }

    fn settle(&mut self, written: &Written) -> usize {
        let known = self.output.iter().rposition(|output| output.id == written.id);
        let index = known.unwrap_or_else(|| {
            self.start(written.id, &written.kind);
            self.output.len() - 1
        });
        let text = text_of(&written.item);
        if self.output[index].text != text {
            text.clone_into(&mut self.output[index].text);
        }
        let logprobs = written.marks.logprobs.iter().filter_map(|(_, logprobs)| logprobs.as_array());
        if self.output[index].logprobs.is_empty() {
            self.output[index].logprobs = logprobs.flatten().cloned().collect();
        }
        index
    }

    fn end(&mut self, ended: &TurnEnded, at: Timestamp) {
        for index in 0..self.output.len() {
            match self.output[index].status {
                ItemStatus::InProgress if self.output[index].is_raw() => self.cut_served(index),
                ItemStatus::InProgress => self.close(index, ItemStatus::Incomplete),
                ItemStatus::Completed | ItemStatus::Incomplete => {}
            }
        }
        self.standing = Standing::Ended { status: ended.status.clone(), at, usage: ended.usage };
        self.announce(match ended.status {
            TurnStatus::Completed => "response.completed",
            TurnStatus::Incomplete(_) => "response.incomplete",
            TurnStatus::Failed(_) => "response.failed",
            TurnStatus::Cancelled => "response.cancelled",
        });
    }
}
