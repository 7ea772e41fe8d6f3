//! The SDK's shapes to ours. Pure.

use mainstay_vocabulary::{Object, item::Content};
use rmcp::model::{CallToolResult, ServerResult, Tool};
use serde_json::Value;

use crate::{Annotations, Failure, FailureKind, ListedTool, Returned};

/// Bytes of a result: what a model can read of one call, many times over.
const MAX_RESULT_BYTES: usize = 8 * 1024 * 1024;
/// Parts of a result.
const MAX_PARTS: usize = 1024;

/// Cuts a text at a character's edge.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
    }
    text
}

pub(super) fn tool(tool: Tool) -> ListedTool {
    let mut rest = Object::new();
    let mut keep = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            rest.insert(name.to_owned(), value);
        }
    };
    keep("icons", tool.icons.and_then(|icons| serde_json::to_value(icons).ok()));
    keep("_meta", tool.meta.and_then(|meta| serde_json::to_value(meta).ok()));
    let told = tool.annotations.unwrap_or_default();
    let annotations = Annotations {
        read_only: told.read_only_hint,
        destructive: told.destructive_hint,
        idempotent: told.idempotent_hint,
        open_world: told.open_world_hint,
    };
    ListedTool {
        name: tool.name.into_owned(),
        title: tool.title.or(told.title),
        description: tool.description.map(std::borrow::Cow::into_owned),
        parameters: (*tool.input_schema).clone(),
        output_schema: tool.output_schema.map(|schema| (*schema).clone()),
        annotations,
        rest,
    }
}

/// What a call brought back; whatever is no result of a tool leaves the effect unknown.
pub(super) fn result(result: ServerResult) -> Result<Returned, Failure> {
    let unknown = |message: &str| Failure::new(FailureKind::Unknown, message);
    let result = match result {
        ServerResult::CallToolResult(result) => result,
        ServerResult::CreateTaskResult(_) => {
            return Err(unknown("the server goes on with the call as a task, which is not followed"));
        }
        // Servers leave `content` out; the SDK then takes the result for another one.
        ServerResult::EmptyResult(_) => CallToolResult::default(),
        other => serde_json::to_value(&other)
            .ok()
            .and_then(|value| serde_json::from_value::<CallToolResult>(value).ok())
            .ok_or_else(|| unknown("the answer is not the result of a tool"))?,
    };
    let is_error = result.is_error.unwrap_or(false);
    if result.content.len() > MAX_PARTS {
        return Err(unknown(&format!("the result has more than {MAX_PARTS} parts")));
    }
    let mut content = Vec::with_capacity(result.content.len());
    let mut bytes = 0;
    for block in result.content {
        let value = serde_json::to_value(block).map_err(|_| unknown("a part of the result cannot be read"))?;
        let part = part(value);
        bytes += size(&part);
        content.push(part);
    }
    let structured = result.structured_content;
    bytes += structured.as_ref().map_or(0, |value| value.to_string().len());
    if bytes > MAX_RESULT_BYTES {
        return Err(unknown(&format!("the result is longer than {MAX_RESULT_BYTES} bytes")));
    }
    Ok(Returned { content, structured, is_error })
}

fn size(part: &Content) -> usize {
    match part {
        Content::Text(text) | Content::Refusal(text) => text.len(),
        Content::Image { url, .. } | Content::File { url, .. } => url.len(),
        Content::Other(value) => value.to_string().len(),
    }
}

/// One content block, by its JSON: an unknown one is kept verbatim.
pub(super) fn part(value: Value) -> Content {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    match text("type") {
        Some("text") => Content::Text(text("text").unwrap_or_default().to_owned()),
        Some("image") => Content::Image { url: data(&value, "image/png"), detail: None },
        Some("audio") => {
            let media_type = text("mimeType").map(str::to_owned);
            Content::File { url: data(&value, "audio/wav"), name: None, media_type }
        }
        Some("resource_link") => Content::File {
            url: text("uri").unwrap_or_default().to_owned(),
            name: text("title").or(text("name")).map(str::to_owned),
            media_type: text("mimeType").map(str::to_owned),
        },
        Some("resource") => resource(value),
        _ => Content::Other(value),
    }
}

fn data(value: &Value, otherwise: &str) -> String {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    format!("data:{};base64,{}", text("mimeType").unwrap_or(otherwise), text("data").unwrap_or_default())
}

/// An embedded resource: its text for the model, or its bytes as a file.
fn resource(value: Value) -> Content {
    let Some(inner) = value.get("resource") else { return Content::Other(value) };
    let text = |name: &str| inner.get(name).and_then(Value::as_str);
    if let Some(words) = text("text") {
        return Content::Text(words.to_owned());
    }
    let Some(blob) = text("blob") else { return Content::Other(value) };
    let media_type = text("mimeType").map(str::to_owned);
    let url = format!("data:{};base64,{blob}", media_type.as_deref().unwrap_or("application/octet-stream"));
    Content::File { url, name: text("uri").map(str::to_owned), media_type }
}
