//! An item that the model writes, as it grows: its JSON, its one part, and the names of its events.

use std::sync::Arc;

use mainstay_vocabulary::{
    CallId, Content, Item, ItemId, ItemKind, Role,
    item::{ItemStatus, Opaque},
};
use serde_json::{Value, json};

use super::{
    item::{Shape, item_id, item_json, output_text},
    stream::At,
};

/// An item that the model writes.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) id: ItemId,
    pub(super) name: String,
    pub(super) kind: ItemKind,
    pub(super) text: String,
    pub(super) status: ItemStatus,
    pub(super) opaque: Option<Opaque>,
    /// Log probabilities of the text so far.
    pub(super) logprobs: Vec<Value>,
    /// An item that came whole.
    whole: Option<Arc<Item>>,
    /// An item of which only this wire knows the shape.
    raw: Option<Value>,
}

impl Output {
    pub(super) fn new(id: ItemId, kind: &ItemKind) -> Self {
        let (kind, status) = (kind.clone(), ItemStatus::InProgress);
        let (name, text) = (String::new(), String::new());
        let mut output =
            Self { id, name, kind, text, status, opaque: None, logprobs: Vec::new(), whole: None, raw: None };
        output.name = item_id(id, &output.item());
        output
    }

    /// An item that nobody saw being written.
    pub(super) fn whole(id: ItemId, item: Item) -> Self {
        let name = item_id(id, &item);
        Self { name, status: ItemStatus::Completed, whole: Some(Arc::new(item)), ..Self::new(id, &ItemKind::Message) }
    }

    /// An item of which only this wire knows the shape.
    pub(super) fn raw(id: ItemId, raw: Value) -> Self {
        let name = raw["id"].as_str().unwrap_or_default().to_owned();
        Self { name, raw: Some(raw), ..Self::new(id, &ItemKind::Message) }
    }

    /// Changes such an item, and says how it stands.
    pub(super) fn set_raw(&mut self, raw: Value, status: ItemStatus) {
        self.raw = Some(raw);
        self.status = status;
    }

    pub(super) const fn is_raw(&self) -> bool {
        self.raw.is_some()
    }

    pub(super) fn raw_mut(&mut self) -> Option<&mut Value> {
        self.raw.as_mut()
    }

    /// The item as far as it is written. Nothing of it is there before its first text, because its parts are added by
    /// events of their own.
    fn item(&self) -> Item {
        let text = self.text.clone();
        let is_empty = self.text.is_empty() && self.status == ItemStatus::InProgress;
        let parts = |part: String| if is_empty { Vec::new() } else { vec![part] };
        let said = |part| Item::Message {
            role: Role::Assistant,
            content: if is_empty { Vec::new() } else { vec![part] },
            phase: None,
        };
        match &self.kind {
            ItemKind::Message => said(Content::Text(text)),
            ItemKind::Refusal => said(Content::Refusal(text)),
            ItemKind::Reasoning => {
                Item::Reasoning { content: parts(text), summary: Vec::new(), opaque: self.opaque.clone() }
            }
            ItemKind::ReasoningSummary => {
                Item::Reasoning { content: Vec::new(), summary: parts(text), opaque: self.opaque.clone() }
            }
            ItemKind::ToolCall { name, .. } | ItemKind::ServedCall { name, .. } => Item::ToolCall {
                call_id: CallId::from(self.id),
                name: name.clone(),
                arguments: text,
                provider_call_id: None,
                served: None,
            },
        }
    }

    pub(super) fn json(&self, shape: Shape) -> Value {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        if let Some(item) = &self.whole {
            return item_json(self.id, item, self.status, shape);
        }
        let mut json = item_json(self.id, &self.item(), self.status, shape);
        if let Some(part) = json["content"].get_mut(0).filter(|_| !self.logprobs.is_empty()) {
            part["logprobs"] = json!(self.logprobs);
        }
        json
    }

    pub(super) const fn is_call(&self) -> bool {
        matches!(self.kind, ItemKind::ToolCall { .. } | ItemKind::ServedCall { .. })
    }

    pub(super) fn at(&self, output_index: usize) -> At<'_> {
        let is_summary = self.kind == ItemKind::ReasoningSummary;
        let content_index = (!is_summary && !self.is_call()).then_some(0);
        At { item_id: &self.name, output_index, content_index, summary_index: is_summary.then_some(0) }
    }

    /// The place of the item as such.
    pub(super) fn at_item(&self, output_index: usize) -> At<'_> {
        At { item_id: &self.name, output_index, content_index: None, summary_index: None }
    }

    pub(super) fn part(&self) -> Value {
        let text = &self.text;
        match self.kind {
            ItemKind::Refusal => json!({ "type": "refusal", "refusal": text }),
            ItemKind::Reasoning => json!({ "type": "reasoning_text", "text": text }),
            ItemKind::ReasoningSummary => json!({ "type": "summary_text", "text": text }),
            ItemKind::Message | ItemKind::ToolCall { .. } | ItemKind::ServedCall { .. } => {
                output_text(text, &self.logprobs)
            }
        }
    }

    /// The event that opens or closes the item's only part.
    pub(super) const fn part_event(&self, opens: bool) -> Option<&'static str> {
        match (&self.kind, opens) {
            (ItemKind::ToolCall { .. } | ItemKind::ServedCall { .. }, _) => None,
            (ItemKind::ReasoningSummary, true) => Some("response.reasoning_summary_part.added"),
            (ItemKind::ReasoningSummary, false) => Some("response.reasoning_summary_part.done"),
            (_, true) => Some("response.content_part.added"),
            (_, false) => Some("response.content_part.done"),
        }
    }

    /// The events of a text delta and of the whole text.
    pub(super) const fn events(&self) -> (&'static str, &'static str) {
        match self.kind {
            ItemKind::Message => ("response.output_text.delta", "response.output_text.done"),
            ItemKind::Refusal => ("response.refusal.delta", "response.refusal.done"),
            ItemKind::Reasoning => ("response.reasoning_text.delta", "response.reasoning_text.done"),
            ItemKind::ReasoningSummary => {
                ("response.reasoning_summary_text.delta", "response.reasoning_summary_text.done")
            }
            ItemKind::ServedCall { .. } => ("response.mcp_call_arguments.delta", "response.mcp_call_arguments.done"),
            ItemKind::ToolCall { .. } => {
                ("response.function_call_arguments.delta", "response.function_call_arguments.done")
            }
        }
    }

    /// The key of the whole text in its event.
    pub(super) const fn text_name(&self) -> &'static str {
        match self.kind {
            ItemKind::Refusal => "refusal",
            ItemKind::ToolCall { .. } | ItemKind::ServedCall { .. } => "arguments",
            ItemKind::Message | ItemKind::Reasoning | ItemKind::ReasoningSummary => "text",
        }
    }
}
