//! What a client says: messages and the results of function calls.

use std::sync::Arc;

use mainstay_session::event::{Delivery, Input, TurnOptions};
use mainstay_vocabulary::{CallId, Content, Item, Role, item::ToolOutput};
use serde_json::Value;

use crate::fields::{Fields, Invalid};

/// Most messages in one input, and most parts in one message or result.
const MAX_PARTS: usize = 1_024;

/// An input from a string (one message) or a list of messages.
///
/// # Errors
/// It is neither, or empty.
pub fn input(path: &str, value: Value) -> Result<Input, Invalid> {
    let items = match value {
        Value::String(text) if !text.is_empty() => vec![message_of(vec![Content::Text(text)])],
        Value::Array(list) if !list.is_empty() && list.len() <= MAX_PARTS => {
            let messages = list.into_iter().enumerate();
            messages.map(|(index, value)| message(&format!("{path}[{index}]"), value)).collect::<Result<_, _>>()?
        }
        Value::String(_) => return Err(Invalid::value(path, format!("'{path}' must not be empty."))),
        Value::Array(_) => {
            return Err(Invalid::value(path, format!("'{path}' must hold 1 to {MAX_PARTS} messages.")));
        }
        _ => return Err(Invalid::kind(path, "a string or an array of messages")),
    };
    Ok(Input { items, delivery: Delivery::Steer, options: TurnOptions::default() })
}

fn message_of(content: Vec<Content>) -> Arc<Item> {
    Arc::new(Item::Message { role: Role::User, content, phase: None })
}

fn message(path: &str, value: Value) -> Result<Arc<Item>, Invalid> {
    let mut fields = Fields::at(path, value)?;
    fields.choice("type", &["message"])?;
    fields.choice("role", &["user"])?.ok_or_else(|| Invalid::missing(fields.path("role")))?;
    let at = fields.path("content");
    let content = match fields.take("content") {
        Some(Value::String(text)) => vec![Content::Text(text)],
        Some(Value::Array(list)) if !list.is_empty() => parts(&at, list)?,
        Some(Value::Array(_)) => return Err(Invalid::value(&at, format!("'{at}' must not be empty."))),
        Some(_) => return Err(Invalid::kind(at, "an array of parts")),
        None => return Err(Invalid::missing(at)),
    };
    Ok(message_of(content))
}

/// Parts of a message or a result.
fn parts(path: &str, list: Vec<Value>) -> Result<Vec<Content>, Invalid> {
    if list.len() > MAX_PARTS {
        return Err(Invalid::value(path, format!("'{path}' may have at most {MAX_PARTS} parts.")));
    }
    let parts = list.into_iter().enumerate();
    parts.map(|(index, value)| part(format!("{path}[{index}]"), value)).collect()
}

fn part(path: String, value: Value) -> Result<Content, Invalid> {
    let mut fields = Fields::at(path, value)?;
    let kind = fields.needed_text("type")?;
    match kind.as_str() {
        "input_text" => Ok(Content::Text(fields.needed_text("text")?)),
        "input_image" => {
            let url = fields.needed_text("image_url")?;
            if !["https://", "http://", "data:"].iter().any(|scheme| url.starts_with(scheme)) {
                let at = fields.path("image_url");
                return Err(Invalid::value(&at, format!("'{at}' must be an http, https or data URL.")));
            }
            Ok(Content::Image { url, detail: fields.choice("detail", &["auto", "low", "high"])? })
        }
        _ => {
            let at = fields.path("type");
            Err(Invalid::value(&at, format!("Invalid value for '{at}': expected input_text or input_image.")))
        }
    }
}

/// The result of a function call, from an `agent.session.input.tool_result`.
///
/// # Errors
/// A field is missing or wrong.
pub fn tool_result(fields: &mut Fields) -> Result<Arc<Item>, Invalid> {
    let call_id = CallId(fields.needed_text("call_id")?);
    let success = fields.flag("success")?.ok_or_else(|| Invalid::missing(fields.path("success")))?;
    let error = fields.text("error")?;
    let at = fields.path("output");
    let output = match fields.take("output") {
        None => ToolOutput::Text(String::new()),
        Some(Value::String(text)) => ToolOutput::Text(text),
        Some(Value::Array(list)) => ToolOutput::Content(parts(&at, list)?),
        Some(_) => return Err(Invalid::kind(at, "a string or an array of parts")),
    };
    if success {
        return Ok(Arc::new(Item::ToolResult { call_id, output, error: None }));
    }
    let error = error.unwrap_or_else(|| "The tool failed.".to_owned());
    Ok(Arc::new(Item::ToolResult { call_id, output: ToolOutput::Text(error.clone()), error: Some(error) }))
}
