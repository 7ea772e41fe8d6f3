//! Messages and their blocks, to ours. A block that only this format knows is kept as it is and noted.

use std::sync::Arc;

use mainstay_vocabulary::{CallId, Content, Item, Role, item::ToolOutput};
use serde_json::Value;

use crate::{
    fields::{Fields, Invalid},
    responses::item::read_opaque,
    stateless::{message, need},
};

/// Most blocks of one message; each costs memory beyond its text.
const MAX_BLOCKS: usize = 4_096;

type Needs = Option<String>;

/// Reads `messages`.
pub(super) fn read_messages(list: Vec<Value>, needs: &mut Needs, items: &mut Vec<Arc<Item>>) -> Result<(), Invalid> {
    for (index, value) in list.into_iter().enumerate() {
        let mut fields = Fields::at(format!("messages[{index}]"), value)?;
        let role = match fields.needed_text("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => return Err(Invalid::value(fields.path("role"), "Expected one of user, assistant.")),
        };
        let path = fields.path("content");
        let blocks = match fields.take("content").ok_or_else(|| Invalid::missing(&path))? {
            Value::String(text) => {
                items.push(Arc::new(message(role, vec![Content::Text(text)])));
                continue;
            }
            Value::Array(blocks) => bounded(blocks, &path)?,
            _ => return Err(Invalid::kind(path, "a string or an array")),
        };
        read_blocks(Blocks { role, path, blocks }, needs, items)?;
    }
    Ok(())
}

struct Blocks {
    role: Role,
    path: String,
    blocks: Vec<Value>,
}

/// Blocks of one message become items: what is said in one, each call, result and thought in one of its own.
fn read_blocks(blocks: Blocks, needs: &mut Needs, items: &mut Vec<Arc<Item>>) -> Result<(), Invalid> {
    let Blocks { role, path, blocks } = blocks;
    let mut said: Vec<Content> = Vec::new();
    let say = |said: &mut Vec<Content>, items: &mut Vec<Arc<Item>>| {
        if !said.is_empty() {
            items.push(Arc::new(message(role, std::mem::take(said))));
        }
    };
    for (index, value) in blocks.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let mut fields = Fields::at(&path, value.clone())?;
        let item = match fields.needed_text("type")?.as_str() {
            "tool_use" => call(&mut fields)?,
            "tool_result" => result(&mut fields, needs)?,
            "thinking" => thinking(&mut fields)?,
            "redacted_thinking" => Item::Reasoning {
                content: Vec::new(),
                summary: Vec::new(),
                opaque: Some(read_opaque(&fields.needed_text("data")?)),
            },
            _ => {
                said.push(block(value, path, needs)?);
                continue;
            }
        };
        say(&mut said, items);
        items.push(Arc::new(item));
    }
    say(&mut said, items);
    Ok(())
}

/// A text or a list of blocks that say something.
pub(super) fn read_content(value: Value, path: &str, needs: &mut Needs) -> Result<Vec<Content>, Invalid> {
    match value {
        Value::String(text) => Ok(vec![Content::Text(text)]),
        Value::Array(blocks) => {
            let blocks = bounded(blocks, path)?.into_iter().enumerate();
            blocks.map(|(index, value)| block(value, format!("{path}[{index}]"), needs)).collect()
        }
        _ => Err(Invalid::kind(path, "a string or an array")),
    }
}

fn bounded(blocks: Vec<Value>, path: &str) -> Result<Vec<Value>, Invalid> {
    if blocks.len() > MAX_BLOCKS {
        return Err(Invalid::value(path, format!("'{path}' may have at most {MAX_BLOCKS} blocks.")));
    }
    Ok(blocks)
}

fn block(value: Value, path: String, needs: &mut Needs) -> Result<Content, Invalid> {
    let mut fields = Fields::at(path, value.clone())?;
    match fields.needed_text("type")?.as_str() {
        "text" => Ok(Content::Text(fields.needed_text("text")?)),
        "image" => match source(&mut fields, needs)? {
            Some(Source { url, .. }) => Ok(Content::Image { url, detail: None }),
            None => Ok(Content::Other(value)),
        },
        "document" => {
            let name = fields.text("title")?;
            match source(&mut fields, needs)? {
                Some(Source { url, media_type }) => Ok(Content::File { url, name, media_type }),
                None => Ok(Content::Other(value)),
            }
        }
        _ => {
            need(needs, fields.path("type"));
            Ok(Content::Other(value))
        }
    }
}

struct Source {
    url: String,
    media_type: Option<String>,
}

/// Where a picture or document is; `None` where only this format can say.
fn source(fields: &mut Fields, needs: &mut Needs) -> Result<Option<Source>, Invalid> {
    let path = fields.path("source");
    let mut source = fields.fields("source")?.ok_or_else(|| Invalid::missing(path))?;
    let media_type = source.text("media_type")?;
    let url = match source.needed_text("type")?.as_str() {
        "base64" => {
            let path = source.path("media_type");
            let kind = media_type.as_deref().ok_or_else(|| Invalid::missing(path))?;
            format!("data:{kind};base64,{}", source.needed_text("data")?)
        }
        "text" => {
            let text = source.needed_text("data")?;
            format!("data:text/plain;base64,{}", data_encoding::BASE64.encode(text.as_bytes()))
        }
        "url" => source.needed_text("url")?,
        "file" => format!("mainstay:{}", source.needed_text("file_id")?),
        _ => {
            need(needs, source.path("type"));
            return Ok(None);
        }
    };
    Ok(Some(Source { url, media_type }))
}

fn call(fields: &mut Fields) -> Result<Item, Invalid> {
    let call_id = CallId(fields.needed_text("id")?);
    let name = fields.needed_text("name")?;
    let arguments = fields.object("input")?.unwrap_or_default();
    let arguments = serde_json::to_string(&arguments).unwrap_or_default();
    Ok(Item::ToolCall { call_id, name, arguments, provider_call_id: None, served: None })
}

fn result(fields: &mut Fields, needs: &mut Needs) -> Result<Item, Invalid> {
    let call_id = CallId(fields.needed_text("tool_use_id")?);
    let path = fields.path("content");
    let output = match fields.take("content") {
        None => ToolOutput::Text(String::new()),
        Some(Value::String(text)) => ToolOutput::Text(text),
        Some(content) => ToolOutput::Content(read_content(content, &path, needs)?),
    };
    let failed = fields.flag("is_error")?.unwrap_or(false);
    let error = failed.then(|| match &output {
        ToolOutput::Text(text) => text.clone(),
        ToolOutput::Content(_) => "the tool failed".to_owned(),
    });
    Ok(Item::ToolResult { call_id, output, error })
}

fn thinking(fields: &mut Fields) -> Result<Item, Invalid> {
    let thought = fields.needed_text("thinking")?;
    let opaque = fields.text("signature")?.filter(|signature| !signature.is_empty());
    let opaque = opaque.as_deref().map(read_opaque);
    Ok(Item::Reasoning { content: vec![thought], summary: Vec::new(), opaque })
}
