//! Items as this wire shows them. Reasoning text is shown as a summary; a refusal is shown as text.

use mainstay_session::{
    assembly::text_of,
    event::{CallOpened, CallOutcome, Written},
};
use mainstay_vocabulary::{
    Content, Item, ItemId,
    item::{ItemKind, Role, ToolOutput},
};
use serde_json::{Value, json};

/// The text of an item's id.
pub fn id_of(id: ItemId, item: &Item) -> String {
    let prefix = match item {
        Item::Message { .. } => "msg",
        Item::Reasoning { .. } => "rs",
        Item::ToolCall { .. } => "fc",
        Item::ToolResult { .. } => "fco",
        Item::Compaction { .. } => "cmp",
        Item::Other(_) => "item",
    };
    format!("{prefix}_{id}")
}

/// The text of the id of an item that a model has begun; `None` for a call, which is shown when it is handed out.
pub fn id_of_kind(id: ItemId, kind: &ItemKind) -> Option<String> {
    match kind {
        ItemKind::Message | ItemKind::Refusal => Some(format!("msg_{id}")),
        ItemKind::Reasoning | ItemKind::ReasoningSummary => Some(format!("rs_{id}")),
        ItemKind::ToolCall { .. } | ItemKind::ServedCall { .. } => None,
    }
}

/// A message or reasoning of a model with the text that it has; `text` is `None` before anything was written.
pub fn written(id: &str, kind: &ItemKind, text: Option<&str>, status: &str, turn: &str) -> Value {
    let parts = |kind: &str| text.map(|text| json!({ "type": kind, "text": text })).into_iter().collect::<Vec<_>>();
    if matches!(kind, ItemKind::Reasoning | ItemKind::ReasoningSummary) {
        let summary = parts("summary_text");
        return json!({ "type": "reasoning", "id": id, "summary": summary, "status": status, "turn_id": turn });
    }
    json!({
        "type": "message", "id": id, "role": "assistant", "content": parts("output_text"), "phase": null,
        "status": status, "turn_id": turn,
    })
}

/// A journaled item of a model; `None` for a call, which is shown when it is handed out.
pub fn journaled(item: &Written, status: &str, turn: &str) -> Option<Value> {
    let id = id_of_kind(item.id, &item.kind)?;
    Some(written(&id, &item.kind, Some(text_of(&item.item)), status, turn))
}

/// An item that a client sent as input.
pub fn input(id: ItemId, item: &Item, turn: &str) -> Value {
    let id = id_of(id, item);
    match item {
        Item::Message { role, content, phase } => json!({
            "type": "message", "id": id, "role": role_of(*role), "content": parts(content, *role), "phase": phase,
            "status": "completed", "turn_id": turn,
        }),
        Item::ToolResult { call_id, output, error } => result(&id, &call_id.0, (output, error.as_deref()), turn),
        Item::ToolCall { call_id, name, arguments, .. } => json!({
            "type": "function_call", "id": id, "call_id": call_id.0, "name": name,
            "arguments": arguments_of(arguments), "status": "completed", "turn_id": turn,
        }),
        Item::Reasoning { content, summary, .. } => {
            let texts = if summary.is_empty() { content } else { summary };
            let summary: Vec<_> = texts.iter().map(|text| json!({ "type": "summary_text", "text": text })).collect();
            json!({ "type": "reasoning", "id": id, "summary": summary, "status": "completed", "turn_id": turn })
        }
        Item::Compaction { text } => json!({
            "type": "compaction", "id": id, "summary": text, "status": "completed", "turn_id": turn,
        }),
        Item::Other(value) => {
            let mut value = value.clone();
            if let Value::Object(object) = &mut value {
                object.insert("id".to_owned(), json!(id));
                object.insert("turn_id".to_owned(), json!(turn));
            }
            value
        }
    }
}

const fn role_of(role: Role) -> &'static str {
    match role {
        Role::Assistant => "assistant",
        Role::User | Role::System | Role::Developer => "user",
    }
}

pub(super) fn parts(content: &[Content], role: Role) -> Vec<Value> {
    let text_kind = if role == Role::Assistant { "output_text" } else { "input_text" };
    let part = |content: &Content| match content {
        Content::Text(text) | Content::Refusal(text) => json!({ "type": text_kind, "text": text }),
        Content::Image { url, .. } => json!({ "type": "input_image", "image_url": url }),
        Content::File { url, name, .. } => json!({ "type": "input_file", "file_url": url, "filename": name }),
        Content::Other(value) => value.clone(),
    };
    content.iter().map(part).collect()
}

/// A call that waits for the client.
pub fn call(call: &CallOpened, status: &str, turn: &str) -> Value {
    json!({
        "type": "function_call", "id": format!("fc_{}", call.item), "call_id": call.call_id.0, "name": call.name,
        "arguments": arguments_of(&call.arguments), "status": status, "turn_id": turn,
    })
}

/// The arguments as an object; text that is no JSON stays text, for the client to refuse.
pub fn arguments_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// The fate of a call that was handed out.
pub fn outcome(id: ItemId, call_id: &str, outcome: &CallOutcome, turn: &str) -> Value {
    let id = format!("fco_{id}");
    match outcome {
        CallOutcome::Returned(item) => match &**item {
            Item::ToolResult { output, error, .. } => result(&id, call_id, (output, error.as_deref()), turn),
            _ => closed(&id, call_id, "no result", turn),
        },
        CallOutcome::Cancelled => closed(&id, call_id, "The call was cancelled.", turn),
        CallOutcome::Refused(why) | CallOutcome::Failed(why) | CallOutcome::Denied(why) | CallOutcome::Unknown(why) => {
            closed(&id, call_id, why, turn)
        }
    }
}

fn closed(id: &str, call_id: &str, why: &str, turn: &str) -> Value {
    json!({
        "type": "function_call_output", "id": id, "call_id": call_id, "output": null, "error": why,
        "status": "incomplete", "turn_id": turn,
    })
}

fn result(id: &str, call_id: &str, (output, error): (&ToolOutput, Option<&str>), turn: &str) -> Value {
    let shown = match output {
        _ if error.is_some() => Value::Null,
        ToolOutput::Text(text) => json!(text),
        ToolOutput::Content(content) => Value::Array(parts(content, Role::User)),
    };
    let status = if error.is_some() { "failed" } else { "completed" };
    json!({
        "type": "function_call_output", "id": id, "call_id": call_id, "output": shown, "error": error,
        "status": status, "turn_id": turn,
    })
}
