//! What a tool is pinned by: a digest of all that a model or a person decides by. Pure.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::ListedTool;

/// Told apart from every other SHA-256 of ours; another shape of the input gets another number.
const DOMAIN: &[u8] = b"mainstay tool 1\n";
/// Values inside of values; JSON that was read has no more.
const MAX_DEPTH: usize = 128;

/// `sha256:` and the digest of name, description and both schemas as JSON with sorted keys. The title and the
/// annotations are hints for people and for classes of effects, and no part of it.
pub fn digest(tool: &ListedTool) -> String {
    let mut bytes = DOMAIN.to_vec();
    let description = tool.description.as_deref().map_or(Value::Null, Value::from);
    let output = tool.output_schema.clone().map_or(Value::Null, Value::Object);
    let parts = [tool.name.as_str().into(), description, Value::Object(tool.parameters.clone()), output];
    canonical(&Value::Array(parts.into()), MAX_DEPTH, &mut bytes);
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(&bytes)))
}

/// JSON with sorted keys and no spaces.
fn canonical(value: &Value, depth: usize, out: &mut Vec<u8>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                separate(index, out);
                out.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
                out.push(b':');
                canonical(value, depth, out);
            }
            out.push(b'}');
        }
        Value::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                separate(index, out);
                canonical(value, depth, out);
            }
            out.push(b']');
        }
        plain => out.extend_from_slice(plain.to_string().as_bytes()),
    }
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(schema: &Value) -> ListedTool {
        let parameters = schema.as_object().cloned().unwrap();
        let description = Some("Pays.".to_owned());
        ListedTool { name: "pay".to_owned(), description, parameters, ..ListedTool::default() }
    }

    #[test]
    fn the_order_of_keys_does_not_count() {
        let one = tool(&json!({ "type": "object", "properties": { "a": { "type": "string" }, "b": {} } }));
        let other = tool(&json!({ "properties": { "b": {}, "a": { "type": "string" } }, "type": "object" }));
        assert_eq!(digest(&one), digest(&other));
    }

    #[test]
    fn a_digest_stays_what_it_is() {
        let pinned = "sha256:12143374b4734c6331c2e2107e6e0d704a3670082b00fbda545b95d614cbbaec";
        assert_eq!(digest(&tool(&json!({ "type": "object" }))), pinned);
    }

    #[test]
    fn each_part_counts() {
        let tool = tool(&json!({ "type": "object" }));
        let first = digest(&tool);
        let other = |change: fn(&mut ListedTool)| {
            let mut tool = tool.clone();
            change(&mut tool);
            digest(&tool)
        };
        assert_ne!(first, other(|tool| tool.name = "Pay".to_owned()));
        assert_ne!(first, other(|tool| tool.description = None));
        assert_ne!(first, other(|tool| tool.description = Some(String::new())));
        assert_ne!(first, other(|tool| drop(tool.parameters.insert("x".to_owned(), json!(1)))));
        assert_ne!(first, other(|tool| tool.output_schema = Some(mainstay_vocabulary::Object::new())));
        assert_eq!(first, other(|tool| tool.title = Some("Pay!".to_owned())));
    }
}
