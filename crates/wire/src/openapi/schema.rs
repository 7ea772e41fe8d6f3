//! Short ways to write a schema, and the schemas that all wires use.

use serde_json::{Value, json};

/// The schema of a component.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A text.
pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

/// A whole number, not negative.
pub(super) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// Seconds since 1970.
pub(super) fn seconds() -> Value {
    json!({ "type": "integer", "description": "Seconds since 1970." })
}

/// True or false.
pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// A number within bounds.
pub(super) fn number(least: f64, most: f64) -> Value {
    json!({ "type": "number", "minimum": least, "maximum": most })
}

/// One of these texts.
pub(super) fn choice(of: &[&str]) -> Value {
    json!({ "type": "string", "enum": of })
}

/// This text.
pub(super) fn constant(of: &str) -> Value {
    json!({ "type": "string", "const": of })
}

/// A list.
pub(super) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// An object of which nothing more is said.
pub(super) fn any_object() -> Value {
    json!({ "type": "object" })
}

/// Any of these.
pub(super) fn any_of<const COUNT: usize>(of: [Value; COUNT]) -> Value {
    json!({ "anyOf": of.to_vec() })
}

/// This or null.
pub(super) fn nullable(of: Value) -> Value {
    any_of([of, json!({ "type": "null" })])
}

/// An object. A property whose name ends in `?` may be absent.
pub(super) fn object<const COUNT: usize>(properties: [(&str, Value); COUNT]) -> Value {
    let required: Vec<_> = properties.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    let shown = properties.iter().map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone()));
    let properties: serde_json::Map<_, _> = shown.collect();
    if required.is_empty() {
        return json!({ "type": "object", "properties": properties });
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

/// A page of a list.
pub(super) fn page(of: &str) -> Value {
    object([
        ("object", constant("list")),
        ("data", list(reference(of))),
        ("first_id", nullable(text())),
        ("last_id", nullable(text())),
        ("has_more", flag()),
    ])
}

/// What is left of a deleted object.
pub(super) fn deleted(object_name: &str) -> Value {
    object([("id", text()), ("object", constant(object_name)), ("deleted", json!({ "const": true }))])
}

/// Tokens.
pub(super) fn usage() -> Value {
    let details = |name| object([(name, count())]);
    object([
        ("input_tokens", count()),
        ("input_tokens_details", details("cached_tokens")),
        ("output_tokens", count()),
        ("output_tokens_details", details("reasoning_tokens")),
        ("total_tokens", count()),
    ])
}

/// Schemas that all wires use.
pub(super) fn common() -> Vec<(&'static str, Value)> {
    let error =
        object([("message", text()), ("type", text()), ("param", nullable(text())), ("code", nullable(text()))]);
    let metadata = json!({
        "type": "object", "maxProperties": 16, "additionalProperties": { "type": "string", "maxLength": 512 },
    });
    let model = object([("id", text()), ("object", constant("model")), ("created", seconds()), ("owned_by", text())]);
    let models = object([("object", constant("list")), ("data", list(reference("Model")))]);
    let format = json!({ "anyOf": [
        object([("type", constant("text"))]),
        object([("type", constant("json_object"))]),
        object([
            ("type", constant("json_schema")),
            ("name?", text()),
            ("description?", nullable(text())),
            ("schema", any_object()),
            ("strict?", nullable(flag())),
        ]),
    ]});
    let function = object([
        ("type", constant("function")),
        ("name", json!({ "type": "string", "minLength": 1, "maxLength": 128 })),
        ("description?", nullable(text())),
        ("parameters?", nullable(any_object())),
        ("strict?", nullable(flag())),
    ]);
    let tool = json!({
        "description": "Functions are executed by the client. Other declared types are kept and shown, not run.",
        "anyOf": [reference("FunctionTool"), object([("type", text())])],
    });
    vec![
        ("Error", object([("error", error)])),
        ("Metadata", metadata),
        ("Model", model),
        ("ModelList", models),
        ("TextFormat", format),
        ("FunctionTool", function),
        ("Tool", tool),
        ("Usage", usage()),
    ]
}
