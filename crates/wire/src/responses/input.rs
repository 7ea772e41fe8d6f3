//! Input items, from the wire to ours. What this version does not interpret is kept verbatim and shown again.

use mainstay_session::{command::Respond, effect::Answer};
use mainstay_vocabulary::{
    CallId, Content, Item, ItemId, Role,
    item::{Opaque, ToolOutput},
};
use serde_json::Value;

use super::{
    item::{STORED, read_opaque},
    served,
};
use crate::fields::{Fields, Invalid};

/// Most items in one input: what a session takes at once.
pub const MAX_ITEMS: usize = mainstay_session::turn::MAX_ITEMS;
/// Most parts of one message; each costs memory beyond its text.
const MAX_PARTS: usize = 4_096;
/// Longest call id, bytes: it is held in the session's state while it waits.
const MAX_CALL_ID: usize = 512;

/// One element of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// An item.
    Item(Box<Item>),
    /// `item_reference`: an item of this server, to be looked up; the text is the parameter's path.
    Reference(ItemId, String),
}

/// Reads `input`: a text or a list of items.
///
/// # Errors
/// Names the element that is wrong.
pub fn read(value: Value, path: &str) -> Result<Vec<Element>, Invalid> {
    match value {
        Value::String(text) => Ok(vec![Element::Item(Box::new(message(Role::User, vec![Content::Text(text)])))]),
        Value::Array(list) => read_list(list, path),
        _ => Err(Invalid::kind(path, "a string or an array")),
    }
}

/// Reads a list of items.
///
/// # Errors
/// Names the element that is wrong.
pub fn read_list(list: Vec<Value>, path: &str) -> Result<Vec<Element>, Invalid> {
    if list.len() > MAX_ITEMS {
        return Err(Invalid::value(path, format!("'{path}' may have at most {MAX_ITEMS} elements.")));
    }
    let elements = list.into_iter().enumerate();
    elements.map(|(index, value)| element(value, format!("{path}[{index}]"))).collect()
}

fn element(value: Value, path: String) -> Result<Element, Invalid> {
    let mut fields = Fields::at(path, value)?;
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(_) => return Err(Invalid::kind(fields.path("type"), "a string")),
        None if fields.get("role").is_some() => "message".to_owned(),
        None if fields.get("id").is_some() => "item_reference".to_owned(),
        None => return Err(Invalid::missing(fields.path("type"))),
    };
    let item = match kind.as_str() {
        "message" => read_message(&mut fields)?,
        "function_call" => read_call(&mut fields)?,
        "function_call_output" => read_result(&mut fields)?,
        "reasoning" => read_reasoning(&mut fields)?,
        "item_reference" => return reference(&mut fields),
        "compaction" => read_digest(&mut fields)?,
        "compaction_trigger" => {
            let message = "A 'compaction_trigger' stands at the end of 'input', once.";
            return Err(Invalid::value(fields.path("type"), message));
        }
        _ => Item::Other(Value::Object(fields.all())),
    };
    Ok(Element::Item(Box::new(item)))
}

/// People's answers that stand in an input. The items themselves are kept for echo.
///
/// # Errors
/// Names the element that is wrong.
pub fn answers(input: Option<&Value>) -> Result<Vec<Respond>, Invalid> {
    let Some(Value::Array(elements)) = input else { return Ok(Vec::new()) };
    let mut answers = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        if element.get("type").is_none_or(|kind| kind != "mcp_approval_response") {
            continue;
        }
        let mut fields = Fields::at(format!("input[{index}]"), element.clone())?;
        let (id, path) = (fields.needed_text("approval_request_id")?, fields.path("approval_request_id"));
        let Some((session, approval)) = served::read_request_id(&id) else {
            let shown: String = id.chars().take(96).collect();
            let message = format!("Approval request with id '{shown}' not found.");
            return Err(Invalid { message, param: path, code: "approval_not_open" });
        };
        let path = fields.path("approve");
        let is_approved = fields.flag("approve")?.ok_or_else(|| Invalid::missing(path))?;
        let answer = if is_approved { Answer::Approve { arguments: None } } else { Answer::Deny };
        answers.push(Respond { session: Some(session), approval, answer, reason: fields.text("reason")? });
    }
    Ok(answers)
}

/// Whether an input ends with the wish for a compaction instead of an answer; takes it out.
pub fn take_trigger(input: &mut Value) -> bool {
    let Value::Array(items) = input else { return false };
    let is_trigger = items.last().and_then(|last| last.get("type")).is_some_and(|kind| kind == "compaction_trigger");
    if is_trigger {
        items.pop();
    }
    is_trigger
}

/// A digest that this server made. One of another server cannot be read, and leaving it out would be answering without
/// what it stands for.
fn read_digest(fields: &mut Fields) -> Result<Item, Invalid> {
    let (text, path) = (fields.needed_text("encrypted_content")?, fields.path("encrypted_content"));
    let text = super::item::read_digest(&text).ok_or_else(|| {
        Invalid::value(path, "The compaction was not made by this server, which cannot read what it stands for.")
    })?;
    Ok(Item::Compaction { text })
}

fn reference(fields: &mut Fields) -> Result<Element, Invalid> {
    let (id, path) = (fields.needed_text("id")?, fields.path("id"));
    match id.parse() {
        Ok(item) => Ok(Element::Reference(item, path)),
        Err(_) => Err(not_found(&id, path)),
    }
}

/// The item that an `item_reference` names is not there.
pub fn not_found(id: &str, path: impl Into<String>) -> Invalid {
    let shown: String = id.chars().take(96).collect();
    Invalid { message: format!("Item with id '{shown}' not found."), param: path.into(), code: "item_not_found" }
}

const fn message(role: Role, content: Vec<Content>) -> Item {
    Item::Message { role, content, phase: None }
}

fn read_message(fields: &mut Fields) -> Result<Item, Invalid> {
    let role = fields.choice("role", &["user", "assistant", "system", "developer"])?;
    let role = match role.as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        Some(_) => Role::Developer,
        None => return Err(Invalid::missing(fields.path("role"))),
    };
    let content = fields.take("content").ok_or_else(|| Invalid::missing(fields.path("content")))?;
    let content = read_content(content, &fields.path("content"))?;
    Ok(Item::Message { role, content, phase: fields.text("phase")? })
}

fn read_content(value: Value, path: &str) -> Result<Vec<Content>, Invalid> {
    match value {
        Value::String(text) => Ok(vec![Content::Text(text)]),
        Value::Array(parts) if parts.len() <= MAX_PARTS => {
            let parts = parts.into_iter().enumerate();
            parts.map(|(index, part)| read_part(part, format!("{path}[{index}]"))).collect()
        }
        Value::Array(_) => Err(Invalid::value(path, format!("'{path}' may have at most {MAX_PARTS} parts."))),
        _ => Err(Invalid::kind(path, "a string or an array")),
    }
}

fn read_part(value: Value, path: String) -> Result<Content, Invalid> {
    let mut fields = Fields::at(path, value)?;
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(_) => return Err(Invalid::kind(fields.path("type"), "a string")),
        None => return Err(Invalid::missing(fields.path("type"))),
    };
    match kind.as_str() {
        "input_text" | "output_text" | "text" => Ok(Content::Text(fields.needed_text("text")?)),
        "refusal" => Ok(Content::Refusal(fields.needed_text("refusal")?)),
        "input_image" => {
            let url = fields.text("image_url")?.or(fields.text("file_id")?.map(stored));
            let url = url.ok_or_else(|| Invalid::missing(fields.path("image_url")))?;
            Ok(Content::Image { url, detail: fields.text("detail")? })
        }
        "input_file" => read_file(&mut fields),
        _ => Ok(Content::Other(Value::Object(fields.all()))),
    }
}

/// The address of a stored file.
fn stored(id: String) -> String {
    format!("{STORED}{id}")
}

/// A document: in place, by address, or stored.
fn read_file(fields: &mut Fields) -> Result<Content, Invalid> {
    let name = fields.text("filename")?;
    let url = match (fields.text("file_data")?, fields.text("file_url")?, fields.text("file_id")?) {
        (Some(bytes), None, None) if bytes.starts_with("data:") => bytes,
        (Some(bytes), None, None) => format!("data:{};base64,{bytes}", media_type(name.as_deref())),
        (None, Some(url), None) => url,
        (None, None, Some(id)) => stored(id),
        (None, None, None) => return Err(Invalid::missing(fields.path("file_data"))),
        _ => {
            let message = "An input_file has one of 'file_data', 'file_url' and 'file_id'.";
            return Err(Invalid::value(fields.path("type"), message));
        }
    };
    Ok(Content::File { url, name, media_type: None })
}

/// What a document without a type most likely is, by its name.
fn media_type(name: Option<&str>) -> &'static str {
    match name.and_then(|name| name.rsplit_once('.')).map(|(_, end)| end.to_ascii_lowercase()).as_deref() {
        Some("txt" | "md" | "csv") => "text/plain",
        Some("json") => "application/json",
        _ => "application/pdf",
    }
}

fn read_call_id(fields: &mut Fields) -> Result<CallId, Invalid> {
    let (call_id, path) = (fields.needed_text("call_id")?, fields.path("call_id"));
    if call_id.is_empty() || call_id.len() > MAX_CALL_ID {
        return Err(Invalid::value(path, format!("A call_id must have 1 to {MAX_CALL_ID} bytes.")));
    }
    Ok(CallId(call_id))
}

fn read_call(fields: &mut Fields) -> Result<Item, Invalid> {
    Ok(Item::ToolCall {
        call_id: read_call_id(fields)?,
        name: fields.needed_text("name")?,
        arguments: fields.needed_text("arguments")?,
        provider_call_id: None,
        served: None,
    })
}

fn read_result(fields: &mut Fields) -> Result<Item, Invalid> {
    let call_id = read_call_id(fields)?;
    let path = fields.path("output");
    let output = match fields.take("output") {
        None => return Err(Invalid::missing(path)),
        Some(Value::String(text)) => ToolOutput::Text(text),
        Some(value) => ToolOutput::Content(read_content(value, &path)?),
    };
    Ok(Item::ToolResult { call_id, output, error: None })
}

fn read_reasoning(fields: &mut Fields) -> Result<Item, Invalid> {
    let summary = read_texts(fields, "summary")?;
    let content = read_texts(fields, "content")?;
    let opaque: Option<Opaque> = fields.text("encrypted_content")?.map(|text| read_opaque(&text));
    Ok(Item::Reasoning { content, summary, opaque })
}

fn read_texts(fields: &mut Fields, name: &str) -> Result<Vec<String>, Invalid> {
    let path = fields.path(name);
    let parts = fields.list(name, MAX_PARTS)?.unwrap_or_default().into_iter().enumerate();
    parts.map(|(index, part)| Fields::at(format!("{path}[{index}]"), part)?.needed_text("text")).collect()
}
