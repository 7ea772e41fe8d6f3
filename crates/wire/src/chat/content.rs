//! Messages, to ours. A part that only this format knows is kept as it is and noted.

use std::sync::Arc;

use mainstay_vocabulary::{CallId, Content, Item, Role, item::ToolOutput};
use serde_json::Value;

use super::request::Items;
use crate::{
    fields::{Fields, Invalid},
    stateless::{message, need},
};

/// Most parts of one message; each costs memory beyond its text.
const MAX_PARTS: usize = 4_096;
/// Most calls of one message.
const MAX_CALLS: usize = 1_024;

/// Reads `messages`.
pub(super) fn read(messages: Vec<Value>, needs: &mut Option<String>) -> Result<Items, Invalid> {
    let mut items = Vec::with_capacity(messages.len());
    for (index, value) in messages.into_iter().enumerate() {
        let mut fields = Fields::at(format!("messages[{index}]"), value)?;
        let role = fields.needed_text("role")?;
        match role.as_str() {
            "system" => items.push(said(&mut fields, Role::System, needs)?),
            "developer" => items.push(said(&mut fields, Role::Developer, needs)?),
            "user" => items.push(said(&mut fields, Role::User, needs)?),
            "assistant" => assistant(&mut fields, needs, &mut items)?,
            "tool" => items.push(result(&mut fields, needs)?),
            "function" => {
                need(needs, fields.path("role"));
                items.push(Item::Other(Value::Object(fields.all())));
            }
            _ => {
                let message = "Expected one of system, developer, user, assistant, tool.";
                return Err(Invalid::value(fields.path("role"), message));
            }
        }
    }
    Ok(items.into_iter().map(Arc::new).collect())
}

fn said(fields: &mut Fields, role: Role, needs: &mut Option<String>) -> Result<Item, Invalid> {
    let path = fields.path("content");
    let content = fields.take("content").ok_or_else(|| Invalid::missing(&path))?;
    Ok(message(role, parts(content, &path, needs)?))
}

/// An answer from before: thoughts, text, then calls.
fn assistant(fields: &mut Fields, needs: &mut Option<String>, items: &mut Vec<Item>) -> Result<(), Invalid> {
    // Not the vendor's own field, but what servers of open models send and want back.
    if let Some(thought) = fields.text("reasoning_content")? {
        items.push(Item::Reasoning { content: vec![thought], summary: Vec::new(), opaque: None });
    }
    let path = fields.path("content");
    let mut content = match fields.take("content") {
        Some(content) => parts(content, &path, needs)?,
        None => Vec::new(),
    };
    content.extend(fields.text("refusal")?.map(Content::Refusal));
    if !content.is_empty() {
        items.push(message(Role::Assistant, content));
    }
    let path = fields.path("tool_calls");
    for (index, call) in fields.list("tool_calls", MAX_CALLS)?.unwrap_or_default().into_iter().enumerate() {
        items.push(tool_call(call, format!("{path}[{index}]"), needs)?);
    }
    for name in ["function_call", "audio"] {
        if fields.take(name).is_some() {
            need(needs, fields.path(name));
        }
    }
    Ok(())
}

fn tool_call(value: Value, path: String, needs: &mut Option<String>) -> Result<Item, Invalid> {
    let mut fields = Fields::at(path, value)?;
    let call_id = CallId(fields.needed_text("id")?);
    if fields.text("type")?.is_some_and(|kind| kind != "function") {
        need(needs, fields.path("type"));
        return Ok(Item::Other(Value::Object(fields.all())));
    }
    let path = fields.path("function");
    let mut function = fields.fields("function")?.ok_or_else(|| Invalid::missing(path))?;
    let name = function.needed_text("name")?;
    let arguments = function.text("arguments")?.unwrap_or_default();
    Ok(Item::ToolCall { call_id, name, arguments, provider_call_id: None, served: None })
}

fn result(fields: &mut Fields, needs: &mut Option<String>) -> Result<Item, Invalid> {
    let call_id = CallId(fields.needed_text("tool_call_id")?);
    let path = fields.path("content");
    let output = match fields.take("content").ok_or_else(|| Invalid::missing(&path))? {
        Value::String(text) => ToolOutput::Text(text),
        content => ToolOutput::Content(parts(content, &path, needs)?),
    };
    Ok(Item::ToolResult { call_id, output, error: None })
}

fn parts(value: Value, path: &str, needs: &mut Option<String>) -> Result<Vec<Content>, Invalid> {
    match value {
        Value::String(text) => Ok(vec![Content::Text(text)]),
        Value::Array(parts) if parts.len() <= MAX_PARTS => {
            let parts = parts.into_iter().enumerate();
            parts.map(|(index, value)| part(value, format!("{path}[{index}]"), needs)).collect()
        }
        Value::Array(_) => Err(Invalid::value(path, format!("'{path}' may have at most {MAX_PARTS} parts."))),
        _ => Err(Invalid::kind(path, "a string or an array")),
    }
}

fn part(value: Value, path: String, needs: &mut Option<String>) -> Result<Content, Invalid> {
    let original = value.clone();
    let mut fields = Fields::at(path, value)?;
    let kind = fields.needed_text("type")?;
    let inner = |fields: &mut Fields, name: &str| -> Result<Fields, Invalid> {
        let path = fields.path(name);
        fields.fields(name)?.ok_or_else(|| Invalid::missing(path))
    };
    match kind.as_str() {
        "text" => Ok(Content::Text(fields.needed_text("text")?)),
        "refusal" => Ok(Content::Refusal(fields.needed_text("refusal")?)),
        "image_url" => {
            let mut image = inner(&mut fields, "image_url")?;
            Ok(Content::Image { url: image.needed_text("url")?, detail: image.text("detail")? })
        }
        "file" => {
            let mut file = inner(&mut fields, "file")?;
            match file.text("file_data")? {
                Some(url) => Ok(Content::File { url, name: file.text("filename")?, media_type: None }),
                None => {
                    let id = file.needed_text("file_id")?;
                    Ok(Content::File { url: format!("mainstay:{id}"), name: file.text("filename")?, media_type: None })
                }
            }
        }
        _ => {
            need(needs, fields.path("type"));
            Ok(Content::Other(original))
        }
    }
}
