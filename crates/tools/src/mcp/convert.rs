//! MCP's tools and results as ours.

use mainstay_vocabulary::{Content, Object, tool::ToolHints};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents, Tool};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::seam::{ListedTool, Returned};

/// Longest description that is kept, bytes: it stands in every prompt.
const MAX_DESCRIPTION: usize = 32 << 10;

pub(super) fn listed(tool: Tool) -> ListedTool {
    let description = tool.description.as_deref().or(tool.title.as_deref()).map(|text| cut(text, MAX_DESCRIPTION));
    let parameters: Object = (*tool.input_schema).clone();
    let digest = digest(&tool.name, description.as_deref(), &parameters);
    let hints = tool.annotations.map(|hints| ToolHints {
        read_only: hints.read_only_hint,
        destructive: hints.destructive_hint,
        idempotent: hints.idempotent_hint,
        open_world: hints.open_world_hint,
    });
    ListedTool { name: tool.name.into_owned(), description, parameters, hints: hints.unwrap_or_default(), digest }
}

fn cut(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Digest of what a tool is, hex. The order of keys in its schema does not count.
pub(super) fn digest(name: &str, description: Option<&str>, parameters: &Object) -> String {
    let mut hash = Sha256::new();
    for part in [name, description.unwrap_or_default()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(canonical(&Value::Object(parameters.clone())));
    data_encoding::HEXLOWER.encode(&hash.finalize()[..16])
}

/// JSON with its keys in order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut pairs: Vec<_> = object.iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(b.0));
            let pairs =
                pairs.into_iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

pub(super) fn returned(result: CallToolResult) -> Returned {
    Returned {
        content: result.content.into_iter().map(content).collect(),
        structured: result.structured_content,
        is_error: result.is_error == Some(true),
    }
}

fn content(block: ContentBlock) -> Content {
    let data = |media: &str, data: &str| format!("data:{media};base64,{data}");
    match block {
        ContentBlock::Text(text) => Content::Text(text.text),
        ContentBlock::Image(image) => Content::Image { url: data(&image.mime_type, &image.data), detail: None },
        ContentBlock::Audio(audio) => {
            Content::File { url: data(&audio.mime_type, &audio.data), name: None, media_type: Some(audio.mime_type) }
        }
        ContentBlock::Resource(resource) => match resource.resource {
            ResourceContents::TextResourceContents { text, .. } => Content::Text(text),
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let media = mime_type.unwrap_or_else(|| "application/octet-stream".to_owned());
                Content::File { url: data(&media, &blob), name: Some(uri), media_type: Some(media) }
            }
            other => Content::Other(serde_json::to_value(other).unwrap_or_default()),
        },
        ContentBlock::ResourceLink(link) => Content::Text(format!("{} ({})", link.name, link.uri)),
        other => Content::Other(serde_json::to_value(other).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::digest;

    #[test]
    fn a_digest_counts_what_a_tool_is_and_not_how_it_is_written() {
        let schema = |text: &str| serde_json::from_str(text).unwrap();
        let one = digest("a", Some("b"), &schema(r#"{"x":1,"y":[{"p":1,"q":2}]}"#));
        assert_eq!(one, digest("a", Some("b"), &schema(r#"{"y":[{"q":2,"p":1}],"x":1}"#)));
        let others = [
            digest("ab", None, &schema(r#"{"x":1,"y":[{"p":1,"q":2}]}"#)),
            digest("a", Some("b."), &schema(r#"{"x":1,"y":[{"p":1,"q":2}]}"#)),
            digest("a", Some("b"), &schema(r#"{"x":2,"y":[{"p":1,"q":2}]}"#)),
            digest("a", Some("b"), json!({}).as_object().unwrap()),
        ];
        assert!(others.iter().all(|other| *other != one));
    }
}
