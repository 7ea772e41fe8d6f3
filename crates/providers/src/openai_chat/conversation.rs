//! The items of a request as messages of Chat Completions, which holds less: one assistant message carries text
//! and calls together, images do not fit into tool results, and some templates want roles to take turns.

use std::borrow::Cow;

use mainstay_vocabulary::{
    CallId, Item, Object, Role,
    inference::Request,
    item::{self, Opaque, ToolOutput},
};
use serde_json::Value;

use super::{
    dialect::{Continuation, Rules},
    wire::{CalledFunction, Content, File, ImageUrl, Message, Part, ToolCall},
};
use crate::{
    http::dropped::{Dropped, OTHER_DEPLOYMENT},
    openai::call::{CallNames, sound_arguments},
};

/// Between texts that become one.
const PARAGRAPH: &str = "\n\n";

/// What a file without a name is called; servers want one beside its content.
const NAMELESS_FILE: &str = "file";

/// Messages in the making.
pub(super) struct Conversation<'a> {
    rules: &'static Rules,
    deployment: &'a str,
    messages: Vec<Message<'a>>,
    names: CallNames<'a>,
    /// Reasoning that the next assistant message takes back, and of which items it is.
    reasoning: String,
    thoughts: Vec<usize>,
    /// Images of tool results, to be shown after the last of them.
    images: Vec<Part<'a>>,
    dropped: Dropped,
    /// Which item of the request is being written.
    place: usize,
}

impl<'a> Conversation<'a> {
    /// All messages of a request, and what was lost of its items.
    pub(super) fn messages(request: &'a Request, rules: &'static Rules) -> (Vec<Message<'a>>, Dropped) {
        let mut conversation = Self {
            rules,
            deployment: &request.deployment,
            messages: Vec::with_capacity(request.input.len() + 2),
            names: CallNames::default(),
            reasoning: String::new(),
            thoughts: Vec::new(),
            images: Vec::new(),
            dropped: Dropped::default(),
            place: 0,
        };
        if let Some(instructions) = request.instructions.as_deref() {
            conversation.say(rules.operator_role, Content::Text(Cow::Borrowed(instructions)));
        }
        for (place, item) in request.input.iter().enumerate() {
            conversation.place = place;
            conversation.item(item);
        }
        conversation.show_images();
        if let Some(prefix) = &request.prefix {
            conversation.prefix(prefix);
        }
        conversation.forget_reasoning();
        (conversation.messages, conversation.dropped)
    }

    fn item(&mut self, item: &'a Item) {
        match item {
            Item::Message { role: Role::Assistant, content, .. } => self.assistant_text(content),
            Item::Message { role: Role::User, content, .. } => {
                let content = self.content(content);
                self.say("user", content);
            }
            Item::Message { role: Role::System | Role::Developer, content, .. } => {
                self.say(self.rules.operator_role, Content::Text(text_of(content)));
            }
            Item::Reasoning { content, opaque, .. } => self.think(content, opaque.as_ref()),
            Item::ToolCall { call_id, name, arguments, provider_call_id, served: _ } => {
                let id = self.names.give(call_id, provider_call_id.as_deref());
                let function = CalledFunction { name, arguments: sound_arguments(arguments) };
                self.assistant().tool_calls.push(ToolCall { id, kind: "function", function });
            }
            Item::ToolResult { call_id, output, .. } => self.tool_result(call_id, output),
            Item::Compaction { text } => self.say("user", Content::Text(Cow::Borrowed(text))),
            Item::Other(_) => self.dropped.note(self.place, "an item that no model is shown"),
        }
    }

    /// A message that is not the assistant's; joined to its neighbour where the dialect wants that.
    fn say(&mut self, role: &'static str, content: Content<'a>) {
        self.show_images();
        self.forget_reasoning();
        self.say_now(role, content);
    }

    fn say_now(&mut self, role: &'static str, content: Content<'a>) {
        match self.messages.last_mut() {
            Some(last) if self.rules.joins_same_role && last.role == role => {
                let before = last.content.take();
                last.content = Some(joined(before, content));
            }
            _ => self.messages.push(message(role, Some(content))),
        }
    }

    fn show_images(&mut self) {
        if !self.images.is_empty() {
            let images = std::mem::take(&mut self.images);
            self.say_now("user", Content::Parts(images));
        }
    }

    fn assistant_text(&mut self, content: &'a [item::Content]) {
        let text = text_of(content);
        if text.is_empty() {
            return;
        }
        let message = self.assistant();
        let before = message.content.take();
        message.content = Some(joined(before, Content::Text(text)));
    }

    /// The assistant's message that is being written: the last one, or a fresh one; takes the waiting reasoning.
    fn assistant(&mut self) -> &mut Message<'a> {
        self.show_images();
        let is_open = self.messages.last().is_some_and(|last| last.role == "assistant");
        if !is_open {
            self.messages.push(message("assistant", None));
        }
        let reasoning = std::mem::take(&mut self.reasoning);
        self.thoughts.clear();
        let index = self.messages.len() - 1;
        let message = &mut self.messages[index];
        if let (Some(field), false) = (self.rules.reasoning_back, reasoning.is_empty()) {
            let before = message.rest.get(field).and_then(Value::as_str).unwrap_or_default();
            let all = format!("{before}{reasoning}");
            message.rest.insert(field.to_owned(), all.into());
        }
        message
    }

    /// Keeps reasoning for the next assistant message, where the server takes it back there.
    fn think(&mut self, content: &'a [String], opaque: Option<&'a Opaque>) {
        if self.rules.reasoning_back.is_none() {
            let is_own = opaque.is_none_or(|opaque| opaque.deployment == self.deployment);
            let reason = if is_own { "reasoning, which this server does not take back" } else { OTHER_DEPLOYMENT };
            return self.dropped.note(self.place, reason);
        }
        let before = self.reasoning.len();
        self.reasoning.extend(content.iter().map(String::as_str));
        if self.reasoning.len() == before {
            self.dropped.note(self.place, "reasoning that was not shown");
        } else {
            self.thoughts.push(self.place);
        }
    }

    /// Reasoning before anything but the assistant's own words was cut off.
    fn forget_reasoning(&mut self) {
        self.reasoning.clear();
        for place in self.thoughts.drain(..) {
            self.dropped.note(place, "reasoning that was cut off");
        }
    }

    fn tool_result(&mut self, call: &'a CallId, output: &'a ToolOutput) {
        self.forget_reasoning();
        let text = match output {
            ToolOutput::Text(text) => Cow::Borrowed(text.as_str()),
            ToolOutput::Content(parts) => {
                let attached = parts.iter().filter(|part| !is_text(part));
                let attached: Vec<_> = attached.filter_map(|part| self.part(part)).collect();
                self.images.extend(attached);
                text_of(parts)
            }
        };
        let mut message = message("tool", Some(Content::Text(text)));
        message.tool_call_id = Some(self.names.of(call));
        self.messages.push(message);
    }

    /// Texts alone as a string, which every server takes; anything else as parts.
    fn content(&mut self, content: &'a [item::Content]) -> Content<'a> {
        let parts: Vec<_> = content.iter().filter_map(|part| self.part(part)).collect();
        if parts.iter().all(|part| matches!(part, Part::Text { .. })) {
            return Content::Text(text_of(content));
        }
        Content::Parts(parts)
    }

    fn part(&mut self, content: &'a item::Content) -> Option<Part<'a>> {
        match content {
            item::Content::Text(text) | item::Content::Refusal(text) => Some(Part::Text { text: Cow::Borrowed(text) }),
            item::Content::Image { url, detail } => {
                Some(Part::ImageUrl { image_url: ImageUrl { url, detail: detail.as_deref() } })
            }
            item::Content::File { url, name, .. } if url.starts_with("data:") => {
                let filename = Some(name.as_deref().unwrap_or(NAMELESS_FILE));
                Some(Part::File { file: File { filename, file_data: url } })
            }
            item::Content::File { .. } => {
                self.dropped.note(self.place, "a file by address, which this format has no place for");
                None
            }
            item::Content::Other(_) => {
                self.dropped.note(self.place, "a part of an unknown type");
                None
            }
        }
    }

    /// The cut-off text, as the last thing the assistant said.
    fn prefix(&mut self, prefix: &'a str) {
        let after_calls = self.messages.last().is_some_and(|last| !last.tool_calls.is_empty());
        if after_calls {
            self.messages.push(message("assistant", None));
        }
        let with_flag = self.rules.continuation == Continuation::PrefixFlag;
        let message = self.assistant();
        let before = message.content.take();
        message.content = Some(joined(before, Content::Text(Cow::Borrowed(prefix))));
        if with_flag {
            message.rest.insert("prefix".to_owned(), Value::Bool(true));
        }
    }
}

fn message<'a>(role: &'static str, content: Option<Content<'a>>) -> Message<'a> {
    Message { role, content, tool_calls: Vec::new(), tool_call_id: None, rest: Object::new() }
}

/// Whether a part can be told in words.
const fn is_text(part: &item::Content) -> bool {
    matches!(part, item::Content::Text(_) | item::Content::Refusal(_))
}

/// The texts of a message, refusals included, as one.
fn text_of(content: &[item::Content]) -> Cow<'_, str> {
    let mut texts = content.iter().filter_map(|part| match part {
        item::Content::Text(text) | item::Content::Refusal(text) => Some(text.as_str()),
        item::Content::Image { .. } | item::Content::File { .. } | item::Content::Other(_) => None,
    });
    let first = texts.next().unwrap_or_default();
    texts.fold(Cow::Borrowed(first), |all, text| all + PARAGRAPH + text)
}

fn joined<'a>(before: Option<Content<'a>>, after: Content<'a>) -> Content<'a> {
    match (before, after) {
        (None, after) => after,
        (Some(Content::Text(before)), Content::Text(after)) => Content::Text(before + PARAGRAPH + after),
        (Some(before), after) => {
            let mut parts = parts_of(before);
            parts.extend(parts_of(after));
            Content::Parts(parts)
        }
    }
}

fn parts_of(content: Content<'_>) -> Vec<Part<'_>> {
    match content {
        Content::Text(text) => vec![Part::Text { text }],
        Content::Parts(parts) => parts,
    }
}
