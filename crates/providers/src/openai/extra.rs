//! Parameters that only one format knows, added to a body that was encoded from canonical parts.

use std::sync::Arc;

use mainstay_vocabulary::{
    Object,
    inference::{Extra, Format},
};
use serde_json::Value;

/// Adds the fields that belong to `format`. What the body says already stays, so that no client can lift the limit on
/// output or turn the stream off: objects gain keys, lists gain elements, `owned` names are the encoder's alone.
pub(crate) fn add(body: &mut Object, extra: Option<&Arc<Extra>>, format: Format, owned: &[&str]) {
    let Some(extra) = extra.filter(|extra| extra.format == format) else { return };
    for (name, value) in &extra.fields {
        if owned.contains(&name.as_str()) {
            continue;
        }
        match body.get_mut(name) {
            Some(said) => complete(said, value),
            None => drop(body.insert(name.clone(), value.clone())),
        }
    }
}

fn complete(said: &mut Value, with: &Value) {
    match (said, with) {
        (Value::Object(said), Value::Object(with)) => {
            for (name, value) in with {
                said.entry(name.as_str()).or_insert_with(|| value.clone());
            }
        }
        (Value::Array(said), Value::Array(with)) => {
            for value in with {
                if !said.contains(value) {
                    said.push(value.clone());
                }
            }
        }
        _ => {}
    }
}
