//! A client's JSON Schema, made safe to enforce: a small model that has lost its way writes one string, list or number
//! for ever, so each gets a bound where the schema sets none.

use serde_json::{Map, Value, json};

/// Longest string where the schema does not say, characters.
const MAX_STRING_CHARACTERS: u64 = 4096;

/// Longest list where the schema does not say.
const MAX_ITEMS: u64 = 64;

/// Deepest schema that is walked; what lies deeper keeps its own bounds.
const MAX_DEPTH: u32 = 32;

/// Keywords that hold one schema.
const ONE: [&str; 4] = ["items", "additionalProperties", "not", "contains"];

/// Keywords that hold a list of schemas.
const LIST: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];

/// Keywords that hold schemas by name.
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// The schema with its bounds, as text. One that is not `strict` may hold keywords that cannot be enforced: they are
/// passed over, where a strict one would be refused.
pub(super) fn bounded(schema: &Value, strict: bool) -> String {
    let mut schema = schema.clone();
    bound(&mut schema, 0);
    let options = json!({
        "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": ", "lenient": !strict,
    });
    match &mut schema {
        Value::Object(fields) => fields.insert("x-guidance".to_owned(), options),
        _ => None,
    };
    schema.to_string()
}

fn bound(schema: &mut Value, depth: u32) {
    let Value::Object(fields) = schema else { return };
    fields.remove("x-guidance");
    if depth < MAX_DEPTH {
        deepen(fields, depth);
    }
    let is_fixed = ["enum", "const", "$ref"].iter().any(|keyword| fields.contains_key(*keyword));
    if is_fixed {
        return;
    }
    let is_free = !["pattern", "format", "maxLength"].iter().any(|keyword| fields.contains_key(*keyword));
    if is_free && has_type(fields, "string") {
        let least = fields.get("minLength").and_then(Value::as_u64).unwrap_or_default();
        fields.insert("maxLength".to_owned(), MAX_STRING_CHARACTERS.max(least).into());
    }
    if has_type(fields, "array") && !fields.contains_key("maxItems") {
        let least = fields.get("minItems").and_then(Value::as_u64).unwrap_or_default();
        fields.insert("maxItems".to_owned(), MAX_ITEMS.max(least).into());
    }
    if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
        fields.insert("additionalProperties".to_owned(), false.into());
    }
    bound_integer(fields);
}

fn deepen(fields: &mut Map<String, Value>, depth: u32) {
    for (keyword, value) in fields.iter_mut() {
        let keyword = keyword.as_str();
        match value {
            one if ONE.contains(&keyword) => bound(one, depth + 1),
            Value::Array(list) if LIST.contains(&keyword) => list.iter_mut().for_each(|one| bound(one, depth + 1)),
            Value::Object(named) if NAMED.contains(&keyword) => {
                named.values_mut().for_each(|one| bound(one, depth + 1));
            }
            _ => {}
        }
    }
}

/// Whole numbers stay within 64 bits.
fn bound_integer(fields: &mut Map<String, Value>) {
    let is_bounded = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
    if has_type(fields, "integer")
        && !has_type(fields, "number")
        && !is_bounded.iter().any(|keyword| fields.contains_key(*keyword))
    {
        // Whole numbers that every JSON reader keeps exactly.
        fields.insert("minimum".to_owned(), json!(-9_007_199_254_740_991_i64));
        fields.insert("maximum".to_owned(), json!(9_007_199_254_740_991_i64));
    }
}

fn has_type(fields: &Map<String, Value>, name: &str) -> bool {
    match fields.get("type") {
        Some(Value::String(kind)) => kind == name,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
        _ => false,
    }
}
