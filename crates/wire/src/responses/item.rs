//! Items as this wire shows them. Every item has an id with its type's prefix and a status.

use data_encoding::BASE64URL_NOPAD;
use mainstay_vocabulary::{
    Content, Item, ItemId, Role,
    item::{ItemStatus, Opaque, ToolOutput},
};
use serde_json::{Value, json};

/// What the address of a stored file begins with; its id follows.
pub(crate) const STORED: &str = "mainstay:";
/// What `encrypted_content` of a compaction that this server made begins with.
const DIGEST: &str = "mainstay-digest-1.";

/// What clients may ask to see or not to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// `include: reasoning.encrypted_content`.
    pub encrypted: bool,
    /// `include_obfuscation`: deltas carry padding that hides their length.
    pub obfuscated: bool,
}

/// The text of an item's id.
pub fn item_id(id: ItemId, item: &Item) -> String {
    let prefix = match item {
        Item::Message { .. } => "msg",
        Item::Reasoning { .. } => "rs",
        Item::ToolCall { served: Some(_), .. } => "mcp",
        Item::ToolCall { .. } => "fc",
        Item::ToolResult { .. } => "fco",
        Item::Compaction { .. } => "cmp",
        Item::Other(_) => "item",
    };
    format!("{prefix}_{id}")
}

/// The word for a status.
pub const fn status_text(status: ItemStatus) -> &'static str {
    match status {
        ItemStatus::InProgress => "in_progress",
        ItemStatus::Completed => "completed",
        ItemStatus::Incomplete => "incomplete",
    }
}

/// An item as JSON.
pub fn item_json(id: ItemId, item: &Item, status: ItemStatus, shape: Shape) -> Value {
    let (id, status) = (item_id(id, item), status_text(status));
    match item {
        Item::Message { role, content, phase } => {
            let content: Vec<_> = content.iter().map(|part| part_json(*role, part)).collect();
            let role = role_text(*role);
            let mut json = json!({ "id": id, "type": "message", "status": status, "role": role, "content": content });
            if let Some(phase) = phase {
                json["phase"] = json!(phase);
            }
            json
        }
        Item::Reasoning { content, summary, opaque } => {
            let part = |kind: &'static str| move |text: &String| json!({ "type": kind, "text": text });
            let content: Vec<_> = content.iter().map(part("reasoning_text")).collect();
            let summary: Vec<_> = summary.iter().map(part("summary_text")).collect();
            let mut json =
                json!({ "id": id, "type": "reasoning", "status": status, "summary": summary, "content": content });
            if let Some(opaque) = opaque.as_ref().filter(|_| shape.encrypted) {
                json["encrypted_content"] = json!(write_opaque(opaque));
            }
            json
        }
        Item::ToolCall { served: Some(by), arguments, .. } => json!({
            "id": id, "type": "mcp_call", "status": status, "server_label": by.toolset, "name": by.tool,
            "arguments": arguments, "approval_request_id": null, "output": null, "error": null,
        }),
        Item::ToolCall { call_id, name, arguments, .. } => json!({
            "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
            "arguments": arguments,
        }),
        Item::ToolResult { call_id, output, .. } => json!({
            "id": id, "type": "function_call_output", "status": status, "call_id": call_id,
            "output": output_json(output),
        }),
        Item::Compaction { text } => json!({
            "id": id, "type": "compaction", "status": status, "encrypted_content": write_digest(text),
        }),
        Item::Other(value) => {
            let mut object = value.as_object().cloned().unwrap_or_default();
            object.insert("id".to_owned(), json!(id));
            if object.get("status").is_none_or(Value::is_null) {
                object.insert("status".to_owned(), json!(status));
            }
            Value::Object(object)
        }
    }
}

const fn role_text(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::System => "system",
        Role::Developer => "developer",
    }
}

fn part_json(role: Role, part: &Content) -> Value {
    match part {
        Content::Text(text) if role == Role::Assistant => output_text(text, &[]),
        Content::Text(text) => json!({ "type": "input_text", "text": text }),
        Content::Refusal(text) => json!({ "type": "refusal", "refusal": text }),
        Content::Image { url, detail } => {
            let (key, value) = url.strip_prefix(STORED).map_or(("image_url", &**url), |id| ("file_id", id));
            json!({ "type": "input_image", key: value, "detail": detail.as_deref().unwrap_or("auto") })
        }
        Content::File { url, name, .. } => file_json(url, name.as_deref()),
        Content::Other(value) => value.clone(),
    }
}

fn file_json(url: &str, name: Option<&str>) -> Value {
    let (key, value) = match url.strip_prefix(STORED) {
        Some(id) => ("file_id", id),
        None if url.starts_with("data:") => ("file_data", url),
        None => ("file_url", url),
    };
    let mut json = json!({ "type": "input_file", key: value });
    if let Some(name) = name {
        json["filename"] = json!(name);
    }
    json
}

/// A part of an answer.
pub(crate) fn output_text(text: &str, logprobs: &[Value]) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": logprobs })
}

fn output_json(output: &ToolOutput) -> Value {
    match output {
        ToolOutput::Text(text) => json!(text),
        ToolOutput::Content(parts) => parts.iter().map(|part| part_json(Role::User, part)).collect(),
    }
}

/// `encrypted_content` of a compaction: the digest in the open, marked as made here. The client may read it, and may
/// change it, as it may change everything that it sends.
fn write_digest(text: &str) -> String {
    format!("{DIGEST}{}", BASE64URL_NOPAD.encode(text.as_bytes()))
}

/// The reverse; `None` for a compaction of another server.
pub(crate) fn read_digest(text: &str) -> Option<String> {
    let bytes = BASE64URL_NOPAD.decode(text.strip_prefix(DIGEST)?.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

/// `encrypted_content`: says which deployment the bytes may go back to.
pub(crate) fn write_opaque(opaque: &Opaque) -> String {
    format!("{}.{}", BASE64URL_NOPAD.encode(opaque.deployment.as_bytes()), opaque.bytes)
}

/// The reverse. Bytes of another server are kept, but belong to no deployment here.
pub(crate) fn read_opaque(text: &str) -> Opaque {
    let ours = text.split_once('.').and_then(|(deployment, bytes)| {
        let deployment = BASE64URL_NOPAD.decode(deployment.as_bytes()).ok()?;
        Some(Opaque { deployment: String::from_utf8(deployment).ok()?, bytes: bytes.to_owned() })
    });
    ours.unwrap_or_else(|| Opaque { deployment: String::new(), bytes: text.to_owned() })
}
