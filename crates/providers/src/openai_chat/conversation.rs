//! The items of a request as messages of Chat Completions, which holds less: one assistant message carries text
//! and calls together, images do not fit into tool results, and some templates want roles to take turns.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use mainstay_vocabulary::{
    CallId, Item, Object, Role,
    inference::Request,
    item::{self, ToolOutput},
};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{
    dialect::{Continuation, Rules},
    wire::{CalledFunction, Content, File, ImageUrl, Message, Part, ToolCall},
};

/// Between texts that become one.
const PARAGRAPH: &str = "\n\n";

/// Messages in the making.
pub(super) struct Conversation<'a> {
    rules: &'static Rules,
    messages: Vec<Message<'a>>,
    /// How each call is named upstream in this request.
    wire_ids: HashMap<&'a CallId, &'a str>,
    /// Names given so far; a provider that reuses its ids must not blur two calls.
    taken: HashSet<&'a str>,
    /// Reasoning that the next assistant message takes back.
    reasoning: String,
    /// Images of tool results, to be shown after the last of them.
    images: Vec<Part<'a>>,
}

impl<'a> Conversation<'a> {
    /// All messages of a request.
    pub(super) fn messages(request: &'a Request, rules: &'static Rules) -> Vec<Message<'a>> {
        let mut conversation = Self {
            rules,
            messages: Vec::with_capacity(request.input.len() + 2),
            wire_ids: HashMap::new(),
            taken: HashSet::new(),
            reasoning: String::new(),
            images: Vec::new(),
        };
        if let Some(instructions) = request.instructions.as_deref() {
            conversation.say(rules.operator_role, Content::Text(Cow::Borrowed(instructions)));
        }
        for item in &request.input {
            conversation.item(item);
        }
        conversation.show_images();
        if let Some(prefix) = &request.prefix {
            conversation.prefix(prefix);
        }
        conversation.messages
    }

    fn item(&mut self, item: &'a Item) {
        match item {
            Item::Message { role: Role::Assistant, content, .. } => self.assistant_text(content),
            Item::Message { role: Role::User, content, .. } => self.say("user", content_of(content)),
            Item::Message { role: Role::System | Role::Developer, content, .. } => {
                self.say(self.rules.operator_role, Content::Text(text_of(content)));
            }
            Item::Reasoning { content, .. } => self.reasoning.extend(content.iter().map(String::as_str)),
            Item::ToolCall { call_id, name, arguments, provider_call_id } => {
                let id = self.name_call(call_id, provider_call_id.as_deref());
                let function = CalledFunction { name, arguments: sound_arguments(arguments) };
                self.assistant().tool_calls.push(ToolCall { id, kind: "function", function });
            }
            Item::ToolResult { call_id, output, .. } => self.tool_result(call_id, output),
            Item::Compaction { text } => self.say("user", Content::Text(Cow::Borrowed(text))),
            Item::Other(_) => {}
        }
    }

    /// A message that is not the assistant's; joined to its neighbour where the dialect wants that.
    fn say(&mut self, role: &'static str, content: Content<'a>) {
        self.show_images();
        self.reasoning.clear();
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
        let index = self.messages.len() - 1;
        let message = &mut self.messages[index];
        if let (Some(field), false) = (self.rules.reasoning_back, reasoning.is_empty()) {
            let before = message.rest.get(field).and_then(Value::as_str).unwrap_or_default();
            let all = format!("{before}{reasoning}");
            message.rest.insert(field.to_owned(), all.into());
        }
        message
    }

    fn name_call(&mut self, call: &'a CallId, provider_call_id: Option<&'a str>) -> &'a str {
        let given = provider_call_id.filter(|id| !id.is_empty() && !self.taken.contains(id));
        let id = given.unwrap_or(&call.0);
        self.taken.insert(id);
        self.wire_ids.insert(call, id);
        id
    }

    fn tool_result(&mut self, call: &'a CallId, output: &'a ToolOutput) {
        self.reasoning.clear();
        let text = match output {
            ToolOutput::Text(text) => Cow::Borrowed(text.as_str()),
            ToolOutput::Content(parts) => {
                let attached =
                    parts.iter().filter(|part| !matches!(part, item::Content::Text(_) | item::Content::Refusal(_)));
                self.images.extend(attached.filter_map(part));
                text_of(parts)
            }
        };
        let mut message = message("tool", Some(Content::Text(text)));
        message.tool_call_id = Some(self.wire_ids.get(call).copied().unwrap_or(&call.0));
        self.messages.push(message);
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

/// A lone text as a string, which every server takes; anything else as parts.
fn content_of(content: &[item::Content]) -> Content<'_> {
    if content.iter().any(|part| matches!(part, item::Content::Image { .. } | item::Content::File { .. })) {
        Content::Parts(content.iter().filter_map(part).collect())
    } else {
        Content::Text(text_of(content))
    }
}

fn part(content: &item::Content) -> Option<Part<'_>> {
    match content {
        item::Content::Text(text) | item::Content::Refusal(text) => Some(Part::Text { text: Cow::Borrowed(text) }),
        item::Content::Image { url, detail } => {
            Some(Part::ImageUrl { image_url: ImageUrl { url, detail: detail.as_deref() } })
        }
        item::Content::File { url, name, .. } => {
            Some(Part::File { file: File { filename: name.as_deref(), file_data: url } })
        }
        item::Content::Other(_) => None,
    }
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

/// Arguments that every server can parse: a model may have written none, or broken JSON, and many servers refuse a
/// whole conversation for one such call.
fn sound_arguments(arguments: &str) -> Cow<'_, str> {
    if arguments.trim().is_empty() {
        Cow::Borrowed("{}")
    } else if serde_json::from_str::<IgnoredAny>(arguments).is_ok() {
        Cow::Borrowed(arguments)
    } else {
        Cow::Owned(json!({ "malformed_arguments": arguments }).to_string())
    }
}
