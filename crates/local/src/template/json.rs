//! JSON as Python writes it (`", "` and `": "` between, nothing escaped beyond need): what templates were trained on,
//! and what the grammar makes the model write.

use minijinja::{Error, ErrorKind, Value, value::Kwargs};
use serde_json::Value as Json;

/// Deepest indentation that a template may ask for, spaces.
const MAX_INDENT: usize = 16;

/// The filter `tojson`, with Python's `indent`; its other arguments change nothing here.
pub(super) fn filter(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    for ignored in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<Value> = options.get(ignored)?;
    }
    options.assert_all_used()?;
    let json = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, "not JSON").with_source(error))?;
    let mut text = String::new();
    write(&json, indent.map(|spaces| (spaces.min(MAX_INDENT), 0)), &mut text);
    Ok(Value::from_safe_string(text))
}

/// One line of JSON.
pub(crate) fn to_python(json: &Json) -> String {
    let mut text = String::new();
    write(json, None, &mut text);
    text
}

fn write(json: &Json, indent: Option<(usize, usize)>, out: &mut String) {
    match json {
        Json::Array(values) if !values.is_empty() => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                separate(index > 0, indent, out);
                write(value, deeper(indent), out);
            }
            close(indent, out);
            out.push(']');
        }
        Json::Object(fields) if !fields.is_empty() => {
            out.push('{');
            for (index, (name, value)) in fields.iter().enumerate() {
                separate(index > 0, indent, out);
                out.push_str(&Json::from(name.as_str()).to_string());
                out.push_str(": ");
                write(value, deeper(indent), out);
            }
            close(indent, out);
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn deeper(indent: Option<(usize, usize)>) -> Option<(usize, usize)> {
    indent.map(|(spaces, depth)| (spaces, depth + 1))
}

fn separate(has_before: bool, indent: Option<(usize, usize)>, out: &mut String) {
    match indent {
        None if has_before => out.push_str(", "),
        None => {}
        Some((spaces, depth)) => {
            out.push_str(if has_before { ",\n" } else { "\n" });
            out.push_str(&" ".repeat(spaces * (depth + 1)));
        }
    }
}

fn close(indent: Option<(usize, usize)>, out: &mut String) {
    if let Some((spaces, depth)) = indent {
        out.push('\n');
        out.push_str(&" ".repeat(spaces * depth));
    }
}
