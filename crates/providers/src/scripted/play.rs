//! A reply becomes the acts of one inference: pure, so that a script always plays the same.

use std::collections::VecDeque;

use mainstay_vocabulary::{
    Content, Item, ItemKind, Object, Role, Usage,
    inference::{Chunk, Delta, Failure, Finished, Request, Stop},
    item::ToolOutput,
};
use serde_json::{Value, json};

use super::script::{Pace, Reply, Said, Split, Step, Thought, When};

/// Bytes of a token, where a script gives no usage.
const BYTES_PER_TOKEN: u64 = 4;

/// Most alternatives to a token, as with OpenAI.
const MAX_ALTERNATIVES: u64 = 20;

/// One thing that happens in a stream.
#[derive(Debug, PartialEq)]
pub(super) enum Act {
    Emit(Chunk),
    /// Milliseconds.
    Wait(u64),
    Fail(Failure),
    Hang,
}

/// What a script can ask about a request.
pub(super) struct Scene<'a> {
    model: &'a str,
    instructions: &'a str,
    /// Texts that end the answer.
    stops: &'a [String],
    /// How many alternatives to each token are to be reported.
    top_logprobs: Option<u64>,
    last_user_text: String,
    turn: usize,
    is_after_tool: bool,
    input_bytes: u64,
}

impl<'a> Scene<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        let users = || request.input.iter().filter_map(|item| user_content(item));
        let instructions = request.instructions.as_deref().unwrap_or_default();
        let prefix = request.prefix.as_deref().map_or(0, str::len);
        let items: usize = request.input.iter().map(|item| item_bytes(item)).sum();
        Self {
            model: &request.upstream_model,
            instructions,
            stops: &request.sampling.stop,
            top_logprobs: request.sampling.top_logprobs,
            last_user_text: users().next_back().map(text_of).unwrap_or_default(),
            turn: users().count(),
            is_after_tool: matches!(last_shown(request), Some(Item::ToolResult { .. })),
            input_bytes: (instructions.len() + prefix + items) as u64,
        }
    }

    pub(super) fn matches(&self, when: &When) -> bool {
        when.contains.as_ref().is_none_or(|text| self.last_user_text.contains(text.as_str()))
            && when.turn.is_none_or(|turn| turn == self.turn)
            && when.after_tool.is_none_or(|after_tool| after_tool == self.is_after_tool)
            && when.model.as_ref().is_none_or(|model| model == self.model)
            && when.instructions.as_ref().is_none_or(|text| self.instructions.contains(text.as_str()))
    }

    /// Tokens of the prompt, as usage counts them.
    pub(super) const fn tokens(&self) -> u64 {
        self.input_bytes.div_ceil(BYTES_PER_TOKEN)
    }
}

fn user_content(item: &Item) -> Option<&[Content]> {
    match item {
        Item::Message { role: Role::User, content, .. } => Some(content),
        _ => None,
    }
}

fn texts(content: &[Content]) -> impl Iterator<Item = &str> {
    content.iter().filter_map(|part| match part {
        Content::Text(text) | Content::Refusal(text) => Some(text.as_str()),
        Content::Image { .. } | Content::File { .. } | Content::Other(_) => None,
    })
}

/// The last item that a model is shown.
fn last_shown(request: &Request) -> Option<&Item> {
    request.input.iter().rev().map(|item| &**item).find(|item| !matches!(item, Item::Other(_)))
}

fn text_of(content: &[Content]) -> String {
    texts(content).collect()
}

fn item_bytes(item: &Item) -> usize {
    match item {
        Item::Message { content, .. } | Item::ToolResult { output: ToolOutput::Content(content), .. } => {
            texts(content).map(str::len).sum()
        }
        Item::ToolResult { output: ToolOutput::Text(text), .. } => text.len(),
        Item::ToolCall { name, arguments, .. } => name.len() + arguments.len(),
        Item::Compaction { text } => text.len(),
        Item::Reasoning { .. } | Item::Other(_) => 0,
    }
}

/// All acts of a reply. With a prefix, what lies before its end in the script has happened already, a fault at that
/// very place included.
pub(super) fn acts(reply: &Reply, scene: &Scene<'_>, prefix: Option<&str>) -> VecDeque<Act> {
    let mut player = Player::new(scene, prefix);
    for step in &reply.steps {
        if player.is_stopped && !matches!(step, Step::Usage(_) | Step::Report(_)) {
            continue;
        }
        player.step(step);
    }
    player.end();
    player.acts
}

struct Player<'a> {
    scene: &'a Scene<'a>,
    acts: VecDeque<Act>,
    /// What of the prefix the script has not reached; `None` once something was played.
    before: Option<&'a str>,
    /// The open item of text.
    open: Option<(ItemKind, u32)>,
    started: u32,
    output_bytes: u64,
    reasoning_bytes: u64,
    usage: Option<Usage>,
    reported: Object,
    stop: Option<Stop>,
    has_called: bool,
    /// A text of `stops` was said: nothing more is.
    is_stopped: bool,
}

impl<'a> Player<'a> {
    fn new(scene: &'a Scene<'a>, prefix: Option<&'a str>) -> Self {
        Self {
            scene,
            acts: VecDeque::new(),
            before: prefix,
            open: None,
            started: 0,
            output_bytes: 0,
            reasoning_bytes: 0,
            usage: None,
            reported: Object::new(),
            stop: None,
            has_called: false,
            is_stopped: false,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Text { text, pace } => {
                let scene = self.scene;
                let text = match text {
                    Said::Canned(text) => text.as_str(),
                    Said::Echo => scene.last_user_text.as_str(),
                };
                let whole = self.after_prefix(text).to_owned();
                let (text, stop) = until_stop(&whole, scene.stops);
                self.text(ItemKind::Message, text, *pace);
                if let Some(stop) = stop {
                    (self.stop, self.is_stopped) = (Some(Stop::Sequence(stop.to_owned())), true);
                }
            }
            Step::Refusal { text, pace } if self.before.is_none() => self.text(ItemKind::Refusal, text, *pace),
            Step::Thought(thought) if self.before.is_none() => self.think(thought),
            Step::Wait(milliseconds) if self.before.is_none() => self.acts.push_back(Act::Wait(*milliseconds)),
            Step::Fail(failure) if self.before.is_none() => self.acts.push_back(Act::Fail(failure.clone())),
            Step::Hang if self.before.is_none() => self.acts.push_back(Act::Hang),
            Step::Refusal { .. } | Step::Thought(_) | Step::Wait(_) | Step::Fail(_) | Step::Hang => {}
            Step::ToolCall { name, arguments, id, pace } => self.call(name, arguments, id.as_deref(), *pace),
            Step::Usage(usage) => self.usage = Some(*usage),
            Step::Report(report) => self.reported.extend(report.clone()),
            Step::Stop(stop) => self.stop = Some(stop.clone()),
        }
    }

    /// What of a text comes after the prefix. A text that the prefix does not agree with is played whole.
    fn after_prefix<'t>(&mut self, text: &'t str) -> &'t str {
        let Some(before) = self.before else { return text };
        if let Some(rest) = before.strip_prefix(text) {
            self.before = Some(rest);
            return "";
        }
        self.before = None;
        text.strip_prefix(before).unwrap_or(text)
    }

    /// Reasoning is an item of its own where it ends with opaque bytes; else neighbours are one item, as in texts.
    fn think(&mut self, thought: &Thought) {
        self.reasoning_bytes += thought.text.len() as u64;
        if thought.opaque.is_none() {
            return self.text(thought.kind.clone(), &thought.text, thought.pace);
        }
        let index = self.start(thought.kind.clone());
        self.pieces(index, &thought.text, thought.pace);
        self.done(index, thought.opaque.clone());
    }

    fn text(&mut self, kind: ItemKind, text: &str, pace: Pace) {
        if text.is_empty() {
            return;
        }
        let index = match &self.open {
            Some((open, index)) if *open == kind => *index,
            _ => {
                let index = self.start(kind.clone());
                self.open = Some((kind, index));
                index
            }
        };
        self.pieces(index, text, pace);
    }

    fn call(&mut self, name: &str, arguments: &str, id: Option<&str>, pace: Pace) {
        self.before = None;
        self.has_called = true;
        self.output_bytes += name.len() as u64;
        let kind = ItemKind::ToolCall { name: name.to_owned(), provider_call_id: id.map(str::to_owned) };
        let index = self.start(kind);
        self.pieces(index, arguments, pace);
        self.done(index, None);
    }

    fn start(&mut self, kind: ItemKind) -> u32 {
        if let Some((_, index)) = self.open.take() {
            self.done(index, None);
        }
        let index = self.started;
        self.started += 1;
        self.acts.push_back(Act::Emit(Chunk::Delta(Delta::Started { index, kind })));
        index
    }

    fn pieces(&mut self, index: u32, text: &str, pace: Pace) {
        self.output_bytes += text.len() as u64;
        let is_message = matches!(self.open, Some((ItemKind::Message, _)));
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(first_piece(rest, pace.split));
            if pace.delay_ms > 0 && rest.len() < text.len() {
                self.acts.push_back(Act::Wait(pace.delay_ms));
            }
            if let (Some(top), true) = (self.scene.top_logprobs, is_message) {
                let logprobs = logprobs(piece, top);
                self.acts.push_back(Act::Emit(Chunk::Delta(Delta::Logprobs { index, logprobs })));
            }
            self.acts.push_back(Act::Emit(Chunk::Delta(Delta::Text { index, text: piece.to_owned() })));
            rest = after;
        }
    }

    fn done(&mut self, index: u32, opaque: Option<String>) {
        self.acts.push_back(Act::Emit(Chunk::Delta(Delta::Done { index, opaque })));
    }

    fn end(&mut self) {
        if let Some((_, index)) = self.open.take() {
            self.done(index, None);
        }
        let stop = if self.has_called { Stop::ToolCalls } else { Stop::End };
        let counted = Usage {
            input: self.scene.tokens(),
            output: self.output_bytes.div_ceil(BYTES_PER_TOKEN),
            reasoning: self.reasoning_bytes.div_ceil(BYTES_PER_TOKEN),
            ..Usage::default()
        };
        self.acts.push_back(Act::Emit(Chunk::Finished(Finished {
            stop: self.stop.take().unwrap_or(stop),
            usage: Some(self.usage.unwrap_or(counted)),
            model: Some(self.scene.model.to_owned()),
            reported: std::mem::take(&mut self.reported),
        })));
    }
}

/// What of a text comes before the first of the texts that end an answer, and which that is.
fn until_stop<'t>(text: &'t str, stops: &'t [String]) -> (&'t str, Option<&'t str>) {
    let found = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| Some((text.find(stop.as_str())?, stop)));
    match found.min_by_key(|(place, _)| *place) {
        Some((place, stop)) => (&text[..place], Some(stop)),
        None => (text, None),
    }
}

/// A delta as one token, with as many alternatives as were asked for, each less likely than the one before.
fn logprobs(piece: &str, top: u64) -> Value {
    let one = |token: &str, rank: u64| {
        let logprob = -0.5 * rank.saturating_add(1) as f64;
        json!({ "token": token, "logprob": logprob, "bytes": token.as_bytes() })
    };
    let mut token = one(piece, 0);
    let alternatives = (0..top.min(MAX_ALTERNATIVES)).map(|rank| match rank {
        0 => one(piece, 0),
        _ => one(&format!("{piece}~{rank}"), rank),
    });
    token["top_logprobs"] = alternatives.collect();
    json!([token])
}

/// Length of the next delta: never 0, never inside a character.
fn first_piece(text: &str, split: Split) -> usize {
    match split {
        Split::Whole => text.len(),
        // A word and the white space after it.
        Split::Word => {
            let word = text.find(char::is_whitespace).unwrap_or(text.len());
            text[word..].find(|c: char| !c.is_whitespace()).map_or(text.len(), |space| word + space)
        }
        Split::Bytes(bytes) => {
            let first_char = text.chars().next().map_or(0, char::len_utf8);
            text.floor_char_boundary(bytes.get()).max(first_char)
        }
    }
}
