//! The version of policies: a digest of all that decides. Comments, line breaks and the order of files and policies do
//! not decide, so a version stays when only they change.

use std::{fmt::Write as _, sync::Arc};

use ring::digest::{Context, SHA256};
use serde_json::Value;

use crate::rule::Rule;

/// Raised when this crate's own way to a verdict changes: how verdicts combine, how facts are put together.
const ENGINE: u32 = 1;

/// The digest, in hex.
pub(crate) fn version(schema: &str, rules: &[Arc<Rule>]) -> String {
    let mut context = Context::new(&SHA256);
    let mut part = |text: &str| {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    };
    part(&format!("mainstay policy {ENGINE}, cedar {}", cedar_policy::get_lang_version()));
    part(schema);
    let mut rules: Vec<&Arc<Rule>> = rules.iter().collect();
    rules.sort_by(|left, right| left.id.cmp(&right.id));
    for rule in rules {
        part(&rule.id);
        part(if rule.standard { "standard" } else { "operator" });
        part(&rule.canonical);
    }
    data_encoding::HEXLOWER.encode(context.finish().as_ref())
}

/// JSON with sorted keys and no blanks.
pub(crate) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|left, right| left.0.cmp(right.0));
            out.push('{');
            for (place, (key, value)) in fields.into_iter().enumerate() {
                out.push_str(if place > 0 { "," } else { "" });
                _ = write!(out, "{}:", Value::String(key.clone()));
                write(out, value);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                out.push_str(if place > 0 { "," } else { "" });
                write(out, item);
            }
            out.push(']');
        }
        plain => _ = write!(out, "{plain}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_does_not_depend_on_the_order_of_keys() {
        let left: Value = serde_json::from_str(r#"{"b": [1, {"y": 2, "x": "a\"b"}], "a": null}"#).unwrap();
        let right: Value = serde_json::from_str(r#"{"a": null, "b": [1, {"x": "a\"b", "y": 2}]}"#).unwrap();
        assert_eq!(canonical(&left), canonical(&right));
        assert_eq!(canonical(&left), r#"{"a":null,"b":[1,{"x":"a\"b","y":2}]}"#);
    }
}
