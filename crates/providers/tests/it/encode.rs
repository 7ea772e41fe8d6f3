//! Each golden request (`*.json`) holds a request, a dialect, the exact body, and what did not fit into it.

use std::fs;

use mainstay_providers::{Dialect, openai::encoded::Encoded, openai_chat, openai_responses};
use mainstay_vocabulary::{
    Object,
    inference::{Failure, Request},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Asked, golden};

type Encode = fn(&Request, Dialect) -> Result<Encoded, Failure>;

/// A format's encoder, the folder of its golden requests, and where its body holds the conversation.
const FORMATS: [(Encode, &str, &str); 2] = [
    (openai_chat::encode::encode, "openai_chat/encode", "messages"),
    (openai_responses::encode::encode, "openai_responses/encode", "input"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    dialect: String,
    request: Value,
    body: Value,
    #[serde(default)]
    lost: Object,
}

#[test]
fn requests_give_their_golden_bodies() {
    let mut wrong = Vec::new();
    for (encode, folder, _) in FORMATS {
        for path in golden(folder, "json") {
            let pair: Pair = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let dialect: Dialect = pair.dialect.parse().unwrap();
            let actual = encode(&Asked::of(pair.request), dialect).unwrap();
            let body = String::from_utf8(actual.body).unwrap();
            // As text, because the order of fields counts too.
            let expected = pair.body.to_string();
            if body != expected || actual.lost != pair.lost {
                wrong.push(format!("{}\n{body}\n{}", path.display(), Value::Object(actual.lost)));
            }
        }
    }
    assert!(wrong.is_empty(), "these requests gave something else:\n{}", wrong.join("\n"));
}

/// A conversation that grows at its end must leave the bytes of its beginning alone: provider caches live on it.
#[test]
fn conversations_grow_by_appending() {
    let items = [
        json!({ "message": { "role": "user", "content": [{ "text": "a" }] } }),
        json!({ "reasoning": { "content": ["hm"], "opaque": { "deployment": "d-1", "bytes": "rs_1.e" } } }),
        json!({ "tool_call": { "call_id": "c1", "name": "get", "arguments": "{}", "provider_call_id": "p" } }),
        json!({ "tool_result": { "call_id": "c1", "output": { "text": "1" } } }),
        json!({ "tool_call": { "call_id": "c2", "name": "get", "arguments": "{}", "provider_call_id": "p" } }),
        json!({ "tool_result": { "call_id": "c2", "output": { "text": "2" } } }),
        json!({ "message": { "role": "assistant", "content": [{ "text": "b" }] } }),
        json!({ "message": { "role": "user", "content": [{ "text": "c" }] } }),
        json!({ "message": { "role": "assistant", "content": [{ "text": "d" }] } }),
    ];
    for (encode, _, conversation) in FORMATS {
        for dialect in Dialect::ALL {
            let mut before: Vec<Value> = Vec::new();
            // A prompt ends where the model is to speak: after a user's message or a tool's result.
            for end in [1, 4, 6, 8] {
                let request = Asked::of(json!({ "instructions": "Be brief.", "input": items[..end] }));
                let body: Value = serde_json::from_slice(&encode(&request, dialect).unwrap().body).unwrap();
                let messages = body[conversation].as_array().unwrap().clone();
                assert_eq!(messages[..before.len()], before, "{dialect:?} at {end}");
                assert!(messages.len() > before.len());
                before = messages;
            }
        }
    }
}
