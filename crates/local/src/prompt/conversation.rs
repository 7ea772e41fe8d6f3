//! The items of a request as the messages that chat templates take.

use mainstay_vocabulary::{
    Item, Role,
    inference::Failure,
    item::{Content, ToolOutput},
};
use serde_json::{Value, json};

use super::{foreign::Foreign, invalid};
use crate::template::{CALL_MARKER, Template, to_python};

/// Between texts that become one.
const PARAGRAPH: &str = "\n\n";

/// Messages in the making. All texts in them are placeholders.
pub(super) struct Conversation<'a> {
    template: &'a Template,
    foreign: &'a mut Foreign,
    /// What the operator says before anybody speaks.
    system: String,
    messages: Vec<Value>,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(template: &'a Template, foreign: &'a mut Foreign) -> Self {
        Self { template, foreign, system: String::new(), messages: Vec::new() }
    }

    /// Adds to the operator's words at the start.
    pub(super) fn system(&mut self, text: &str) {
        let text = self.foreign.text(text);
        self.raw_system(&text);
    }

    /// The same for text that needs no placeholder.
    pub(super) fn raw_system(&mut self, text: &str) {
        if !self.system.is_empty() && !text.is_empty() {
            self.system.push_str(PARAGRAPH);
        }
        self.system.push_str(text);
    }

    pub(super) fn item(&mut self, item: &Item) -> Result<(), Failure> {
        match item {
            Item::Message { role, content, .. } => {
                let text = text_of(content)?;
                match role {
                    Role::System | Role::Developer if self.messages.is_empty() => self.system(&text),
                    Role::System | Role::Developer if self.template.has_system => self.say("system", &text),
                    Role::System | Role::Developer | Role::User => self.say("user", &text),
                    Role::Assistant => self.say("assistant", &text),
                }
            }
            Item::ToolCall { call_id, name, arguments, .. } => self.call(&call_id.0, name, arguments),
            Item::ToolResult { call_id, output, .. } => {
                let text = match output {
                    ToolOutput::Text(text) => text.clone(),
                    ToolOutput::Content(content) => text_of(content)?,
                };
                self.result(&call_id.0, &text);
            }
            Item::Compaction { text } => self.say("user", text),
            // Thoughts are not shown again; what this version does not interpret is never shown to a model.
            Item::Reasoning { .. } | Item::Other(_) => {}
        }
        Ok(())
    }

    fn say(&mut self, role: &str, text: &str) {
        if !text.is_empty() {
            let text = self.foreign.text(text);
            self.push(role, &text);
        }
    }

    fn push(&mut self, role: &str, text: &str) {
        if !self.template.repeats_roles
            && let Some(last) = self.messages.last_mut().filter(|last| last["role"] == role)
        {
            let before = last["content"].as_str().unwrap_or_default();
            let between = if before.is_empty() { "" } else { PARAGRAPH };
            last["content"] = format!("{before}{between}{text}").into();
            return;
        }
        self.messages.push(json!({ "role": role, "content": text }));
    }

    /// A call joins the assistant's message before it.
    fn call(&mut self, id: &str, name: &str, arguments: &str) {
        let arguments = serde_json::from_str(arguments).unwrap_or_else(|_| Value::from(arguments));
        let function = self.foreign.json(&json!({ "name": name, "arguments": arguments }));
        if !self.template.shows_tools {
            let text = format!("{CALL_MARKER}\n{}\n</tool_call>", to_python(&function));
            self.push("assistant", &text);
            return;
        }
        let id = self.foreign.text(id);
        let call = json!({ "id": id, "type": "function", "function": function });
        if self.messages.last().is_none_or(|last| last["role"] != "assistant") {
            self.messages.push(json!({ "role": "assistant", "content": "" }));
        }
        let last = self.messages.len() - 1;
        let message = &mut self.messages[last];
        match message.get_mut("tool_calls").and_then(Value::as_array_mut) {
            Some(calls) => calls.push(call),
            None => message["tool_calls"] = json!([call]),
        }
    }

    fn result(&mut self, id: &str, output: &str) {
        let text = self.foreign.text(output);
        if self.template.shows_tools {
            let id = self.foreign.text(id);
            self.messages.push(json!({ "role": "tool", "content": text, "tool_call_id": id }));
        } else {
            self.push("user", &format!("<tool_response>\n{text}\n</tool_response>"));
        }
    }

    /// All messages, the operator's first; where the template takes no system message, the first user's begins so.
    pub(super) fn messages(mut self) -> Vec<Value> {
        if self.system.is_empty() {
            return self.messages;
        }
        if self.template.has_system {
            self.messages.insert(0, json!({ "role": "system", "content": self.system }));
            return self.messages;
        }
        match self.messages.first_mut().filter(|first| first["role"] == "user") {
            Some(first) => {
                let said = first["content"].as_str().unwrap_or_default();
                first["content"] = format!("{}{PARAGRAPH}{said}", self.system).into();
            }
            None => self.messages.insert(0, json!({ "role": "user", "content": self.system })),
        }
        self.messages
    }
}

/// The text of a message. What this engine cannot show the model is refused, never dropped in silence.
fn text_of(content: &[Content]) -> Result<String, Failure> {
    let mut all = String::new();
    for part in content {
        match part {
            Content::Text(text) | Content::Refusal(text) => {
                if !all.is_empty() && !text.is_empty() {
                    all.push('\n');
                }
                all.push_str(text);
            }
            Content::Image { .. } => return Err(invalid("models of the embedded engine see no images")),
            Content::File { .. } => return Err(invalid("models of the embedded engine read no files")),
            Content::Other(_) => {}
        }
    }
    Ok(all)
}
