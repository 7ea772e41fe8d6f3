//! Each `golden/encode/*.json` holds a request, a dialect and the exact body.

use std::fs;

use mainstay_providers::{Dialect, openai_chat::encode::encode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Asked, golden};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    dialect: String,
    request: Value,
    body: Value,
}

#[test]
fn requests_give_their_golden_bodies() {
    let mut wrong = Vec::new();
    for path in golden("encode", "json") {
        let pair: Pair = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let dialect: Dialect = pair.dialect.parse().unwrap();
        let actual = String::from_utf8(encode(&Asked::of(pair.request), dialect).unwrap()).unwrap();
        let expected = pair.body.to_string();
        if actual != expected {
            wrong.push(format!("{}\n{actual}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "these requests gave something else:\n{}", wrong.join("\n"));
}

/// A conversation that grows at its end must leave the bytes of its beginning alone: provider caches live on it.
#[test]
fn messages_grow_by_appending() {
    let items = [
        json!({ "message": { "role": "user", "content": [{ "text": "a" }] } }),
        json!({ "reasoning": { "content": ["hm"] } }),
        json!({ "tool_call": { "call_id": "c1", "name": "get", "arguments": "{}", "provider_call_id": "p" } }),
        json!({ "tool_result": { "call_id": "c1", "output": { "text": "1" } } }),
        json!({ "tool_call": { "call_id": "c2", "name": "get", "arguments": "{}", "provider_call_id": "p" } }),
        json!({ "tool_result": { "call_id": "c2", "output": { "text": "2" } } }),
        json!({ "message": { "role": "assistant", "content": [{ "text": "b" }] } }),
        json!({ "message": { "role": "user", "content": [{ "text": "c" }] } }),
        json!({ "message": { "role": "assistant", "content": [{ "text": "d" }] } }),
    ];
    for dialect in Dialect::ALL {
        let mut before: Vec<Value> = Vec::new();
        // A prompt ends where the model is to speak: after a user's message or a tool's result.
        for end in [1, 4, 6, 8] {
            let request = Asked::of(json!({ "instructions": "Be brief.", "input": items[..end] }));
            let body: Value = serde_json::from_slice(&encode(&request, dialect).unwrap()).unwrap();
            let messages = body["messages"].as_array().unwrap().clone();
            assert_eq!(messages[..before.len()], before, "{dialect:?} at {end}");
            assert!(messages.len() > before.len());
            before = messages;
        }
    }
}
