//! The items of a request as messages: neighbours of one role are one message, results come first in the message
//! right after their calls, thoughts go back only to who thought them.

use std::collections::HashSet;

use mainstay_vocabulary::{
    CallId, Item, Object, Role,
    inference::Request,
    item::{Content, Opaque, ToolOutput},
};
use serde_json::{Value, json};

use super::{
    attachment,
    model::Rules,
    wire::{Block, Message},
};
use crate::{
    http::dropped::{Dropped, OTHER_DEPLOYMENT},
    openai::call::CallNames,
};

/// Stands before the bytes of a thought that only the vendor can read; a signature never has a colon.
pub(super) const REDACTED: &str = "redacted_thinking:";

/// Around instructions within a conversation, where they can only stand in a user's message.
const OPERATOR_OPEN: &str = "<operator_instructions>\n";
const OPERATOR_CLOSE: &str = "\n</operator_instructions>";

/// What a request's items become.
#[derive(Debug, Default)]
pub(super) struct Rendered<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) messages: Vec<Message<'a>>,
}

impl Rendered<'_> {
    /// Whether the turn under way has called tools without thinking first: such a turn cannot begin to think now. A
    /// turn goes from what the user says to what the user says; results are not that.
    pub(super) fn began_unthinking(&self) -> bool {
        let is_answer =
            |message: &&Message<'_>| message.content.iter().any(|block| matches!(block, Block::ToolResult { .. }));
        if !self.messages.iter().rev().find(|message| message.role == "user").is_some_and(|last| is_answer(&last)) {
            return false;
        }
        let turn = self.messages.iter().rev().take_while(|message| message.role != "user" || is_answer(message));
        let called = turn.filter(|message| message.role == "assistant").last();
        called.is_some_and(|called| !called.content.first().is_some_and(Block::is_thought))
    }
}

/// Messages in the making.
struct Conversation<'a, 'd> {
    request: &'a Request,
    rules: &'d Rules,
    rendered: Rendered<'a>,
    names: CallNames<'a>,
    /// Calls that have their result in the conversation, and so may be sent.
    answered: HashSet<&'a CallId>,
    /// Places of the thoughts at the end of the assistant's message.
    last_thoughts: Vec<usize>,
    dropped: &'d mut Dropped,
}

/// Renders all items of a request.
pub(super) fn render<'a>(request: &'a Request, rules: &Rules, dropped: &mut Dropped) -> Rendered<'a> {
    let answered = answered(request);
    let (rendered, names) = (Rendered::default(), CallNames::default());
    let mut conversation =
        Conversation { request, rules, rendered, names, answered, last_thoughts: Vec::new(), dropped };
    if let Some(instructions) = request.instructions.as_deref() {
        conversation.rendered.system.extend(text(instructions));
    }
    for (place, item) in request.input.iter().enumerate() {
        conversation.item(place, item);
    }
    conversation.end_assistant();
    conversation.rendered
}

/// Calls whose result follows: the vendor refuses one without the other.
fn answered(request: &Request) -> HashSet<&CallId> {
    let (mut called, mut answered) = (HashSet::new(), HashSet::new());
    for item in &request.input {
        match &**item {
            Item::ToolCall { call_id, .. } => drop(called.insert(call_id)),
            Item::ToolResult { call_id, .. } if called.contains(call_id) => drop(answered.insert(call_id)),
            _ => {}
        }
    }
    answered
}

impl<'a> Conversation<'a, '_> {
    fn item(&mut self, place: usize, item: &'a Item) {
        match item {
            Item::Message { role: Role::Assistant, content, .. } => {
                let blocks: Vec<_> = texts(content).filter_map(text).collect();
                self.say("assistant", blocks);
            }
            Item::Message { role: Role::User, content, .. } => {
                let blocks = self.parts(place, content);
                self.say("user", blocks);
            }
            Item::Message { role: Role::System | Role::Developer, content, .. } => self.operator(place, content),
            Item::Reasoning { content, summary, opaque } => {
                let thought = if content.is_empty() { summary } else { content };
                self.thought(place, thought, opaque.as_ref());
            }
            Item::ToolCall { call_id, name, arguments, provider_call_id, served: _ } => {
                if self.answered.contains(call_id) {
                    let id = self.names.give(call_id, provider_call_id.as_deref());
                    let input = sound_input(arguments);
                    self.say("assistant", vec![Block::ToolUse { id, name, input, cache_control: None }]);
                } else {
                    self.dropped.note(place, "a call without a result");
                }
            }
            Item::ToolResult { call_id, output, error } => self.result(place, call_id, output, error.is_some()),
            Item::Compaction { text: digest } => self.say("user", text(digest).into_iter().collect()),
            Item::Other(_) => {}
        }
    }

    /// Adds blocks to the last message, or to a new one where another role spoke last.
    fn say(&mut self, role: &'static str, blocks: Vec<Block<'a>>) {
        if blocks.is_empty() {
            return;
        }
        if role != "assistant" {
            self.end_assistant();
        }
        self.last_thoughts.clear();
        match self.rendered.messages.last_mut() {
            Some(last) if last.role == role => last.content.extend(blocks),
            _ => self.rendered.messages.push(Message { role, content: blocks }),
        }
    }

    /// A thought may not be the end of a message: one that led to nothing is left out.
    fn end_assistant(&mut self) {
        let Some(last) = self.rendered.messages.last_mut().filter(|last| last.role == "assistant") else { return };
        for place in self.last_thoughts.drain(..) {
            last.content.pop();
            self.dropped.note(place, "reasoning that led to nothing");
        }
        if last.content.is_empty() {
            self.rendered.messages.pop();
        }
    }

    /// Instructions: at the beginning part of the system prompt; later where they stand, so that what came before
    /// stays in the vendor's cache. A `system` message must follow the user and be followed by the assistant.
    fn operator(&mut self, place: usize, content: &'a [Content]) {
        if self.rendered.messages.is_empty() {
            self.rendered.system.extend(texts(content).filter_map(text));
            return;
        }
        let is_after_user = self.rendered.messages.last().is_some_and(|last| last.role != "assistant");
        let next = self.request.input[place + 1..].iter().find(|item| !is_operator(item));
        if self.rules.takes_system_messages && is_after_user && next.is_none_or(|next| is_assistant(next)) {
            self.say("system", texts(content).filter_map(text).collect());
        } else {
            let wrapped = |text: &str| Block::text(format!("{OPERATOR_OPEN}{text}{OPERATOR_CLOSE}"));
            self.say("user", texts(content).filter(|text| !text.trim().is_empty()).map(wrapped).collect());
        }
    }

    fn thought(&mut self, place: usize, thought: &'a [String], opaque: Option<&'a Opaque>) {
        let block = match opaque {
            None => return self.dropped.note(place, "reasoning without a signature"),
            Some(opaque) if opaque.deployment != self.request.deployment => {
                return self.dropped.note(place, OTHER_DEPLOYMENT);
            }
            Some(opaque) => match opaque.bytes.strip_prefix(REDACTED) {
                Some(data) => Block::RedactedThinking { data },
                None => Block::Thinking { thinking: thought.concat().into(), signature: &opaque.bytes },
            },
        };
        let mut thoughts = std::mem::take(&mut self.last_thoughts);
        self.say("assistant", vec![block]);
        thoughts.push(place);
        self.last_thoughts = thoughts;
    }

    fn result(&mut self, place: usize, call: &'a CallId, output: &'a ToolOutput, is_error: bool) {
        if !self.answered.contains(call) {
            return self.dropped.note(place, "a result without its call");
        }
        let content = match output {
            ToolOutput::Text(output) => text(output).into_iter().collect(),
            ToolOutput::Content(parts) => self.parts(place, parts),
        };
        let tool_use_id = self.names.of(call);
        let block = Block::ToolResult { tool_use_id, content, is_error, cache_control: None };
        self.end_assistant();
        match self.rendered.messages.last_mut() {
            Some(last) if last.role == "user" => {
                let first_other = |block: &Block<'_>| !matches!(block, Block::ToolResult { .. });
                let place = last.content.iter().position(first_other).unwrap_or(last.content.len());
                last.content.insert(place, block);
            }
            _ => self.rendered.messages.push(Message { role: "user", content: vec![block] }),
        }
    }

    /// The parts of a user's message or of a result.
    fn parts(&mut self, place: usize, content: &'a [Content]) -> Vec<Block<'a>> {
        let mut blocks = Vec::with_capacity(content.len());
        for part in content {
            match (part, attachment::block(part)) {
                (_, Some(Ok(block))) => blocks.push(block),
                (_, Some(Err(reason))) => self.dropped.note(place, reason),
                (Content::Text(part) | Content::Refusal(part), None) => blocks.extend(text(part)),
                (_, None) => {}
            }
        }
        blocks
    }
}

/// A block of text; the vendor refuses one that says nothing.
fn text(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then(|| Block::text(text))
}

fn texts(content: &[Content]) -> impl Iterator<Item = &str> {
    content.iter().filter_map(|part| match part {
        Content::Text(text) | Content::Refusal(text) => Some(text.as_str()),
        Content::Image { .. } | Content::File { .. } | Content::Other(_) => None,
    })
}

const fn is_operator(item: &Item) -> bool {
    matches!(item, Item::Message { role: Role::System | Role::Developer, .. })
}

const fn is_assistant(item: &Item) -> bool {
    matches!(item, Item::Message { role: Role::Assistant, .. } | Item::Reasoning { .. } | Item::ToolCall { .. })
}

/// Arguments as the object that the vendor wants: a model may have written none, or broken JSON.
fn sound_input(arguments: &str) -> Object {
    if arguments.trim().is_empty() {
        return Object::new();
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(input)) => input,
        Ok(_) | Err(_) => match json!({ "malformed_arguments": arguments }) {
            Value::Object(input) => input,
            _ => Object::new(),
        },
    }
}
