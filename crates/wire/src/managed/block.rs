//! Content blocks of messages and results, in both directions.

use data_encoding::BASE64;
use mainstay_vocabulary::{Content, item::ToolOutput};
use serde_json::{Value, json};

use crate::fields::{Fields, Invalid};

/// Most blocks in one message or result.
const MAX_BLOCKS: usize = 1_024;

/// Where a stored file is named inside content.
const STORED: &str = "mainstay:";

/// The blocks of `name`.
///
/// # Errors
/// The field that is wrong or not served.
pub fn read(fields: &mut Fields, name: &str) -> Result<Option<Vec<Content>>, Invalid> {
    let path = fields.path(name);
    let Some(list) = fields.list(name, MAX_BLOCKS)? else { return Ok(None) };
    let blocks = list.into_iter().enumerate();
    blocks
        .map(|(index, value)| block(Fields::at(format!("{path}[{index}]"), value)?))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn block(mut fields: Fields) -> Result<Content, Invalid> {
    match fields.needed_text("type")?.as_str() {
        "text" => Ok(Content::Text(fields.needed_text("text")?)),
        "image" => {
            let (url, _) = source(&mut fields, &["base64", "url", "file"])?;
            Ok(Content::Image { url, detail: None })
        }
        "document" => {
            if fields.text("context")?.is_some() {
                return Err(Invalid::unserved(fields.path("context")));
            }
            let name = fields.text("title")?;
            let (url, media_type) = source(&mut fields, &["base64", "text", "url", "file"])?;
            Ok(Content::File { url, name, media_type })
        }
        "search_result" | "redacted" => Err(Invalid::unserved(fields.path("type"))),
        _ => {
            let at = fields.path("type");
            Err(Invalid::value(&at, format!("Invalid value for '{at}': expected text, image or document.")))
        }
    }
}

/// A block's source as a URL, and its media type where one is told.
fn source(block: &mut Fields, allowed: &[&str]) -> Result<(String, Option<String>), Invalid> {
    let missing = Invalid::missing(block.path("source"));
    let mut fields = block.fields("source")?.ok_or(missing)?;
    let kind = fields.choice("type", allowed)?.ok_or_else(|| Invalid::missing(fields.path("type")))?;
    match kind.as_str() {
        "base64" => {
            let (media_type, data) = (media_type(&mut fields)?, fields.needed_text("data")?);
            if BASE64.decode(data.as_bytes()).is_err() {
                let at = fields.path("data");
                return Err(Invalid::value(&at, format!("'{at}' is not base64.")));
            }
            Ok((format!("data:{media_type};base64,{data}"), Some(media_type)))
        }
        "text" => {
            let data = fields.needed_text("data")?;
            Ok((format!("data:text/plain;base64,{}", BASE64.encode(data.as_bytes())), Some("text/plain".to_owned())))
        }
        "url" => {
            let url = fields.needed_text("url")?;
            if !["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) {
                let at = fields.path("url");
                return Err(Invalid::value(&at, format!("'{at}' must be an http or https URL.")));
            }
            Ok((url, None))
        }
        _ => Ok((format!("{STORED}{}", fields.needed_text("file_id")?), None)),
    }
}

/// A media type that can stand in a `data:` URL.
fn media_type(fields: &mut Fields) -> Result<String, Invalid> {
    let text = fields.needed_text("media_type")?;
    let is_type = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'+' | b'-' | b'_');
    if text.len() > 128 || !text.contains('/') || !text.bytes().all(is_type) {
        let at = fields.path("media_type");
        return Err(Invalid::value(&at, format!("'{at}' is not a media type.")));
    }
    Ok(text)
}

/// Blocks that show content.
pub fn write(content: &[Content]) -> Vec<Value> {
    content.iter().map(shown).collect()
}

fn shown(content: &Content) -> Value {
    match content {
        Content::Text(text) | Content::Refusal(text) => json!({ "type": "text", "text": text }),
        Content::Image { url, .. } => json!({ "type": "image", "source": shown_source(url) }),
        Content::File { url, name, .. } => {
            json!({ "type": "document", "source": shown_source(url), "title": name, "context": null })
        }
        // This wire has no open type of block.
        Content::Other(value) => json!({ "type": "text", "text": value.to_string() }),
    }
}

fn shown_source(url: &str) -> Value {
    if let Some(file) = url.strip_prefix(STORED) {
        return json!({ "type": "file", "file_id": file });
    }
    match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((media_type, data)) => json!({ "type": "base64", "media_type": media_type, "data": data }),
        None => json!({ "type": "url", "url": url }),
    }
}

/// A result's content: one text alone stays a text, as the other wires' clients send it.
pub fn output(mut content: Vec<Content>) -> ToolOutput {
    match content.as_mut_slice() {
        [] => ToolOutput::Text(String::new()),
        [Content::Text(text)] => ToolOutput::Text(std::mem::take(text)),
        _ => ToolOutput::Content(content),
    }
}

/// Blocks that show a result.
pub fn write_output(output: &ToolOutput) -> Vec<Value> {
    match output {
        ToolOutput::Text(text) => vec![json!({ "type": "text", "text": text })],
        ToolOutput::Content(content) => write(content),
    }
}
