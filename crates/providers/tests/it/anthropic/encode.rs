//! Each `golden/anthropic/encode/*.json` holds a model, a request, the exact body and what did not fit into it.

use std::{fs, sync::Arc};

use mainstay_providers::anthropic::encode::{count, encode};
use mainstay_vocabulary::{
    Object,
    inference::{Extra, Request},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Asked, golden};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    model: String,
    request: Value,
    #[serde(default)]
    extra: Option<Extra>,
    body: Value,
    /// What the receipt says of what did not fit.
    #[serde(default)]
    lost: Object,
}

/// The pair's request, and the pair.
fn read(path: &std::path::Path) -> (Request, Pair) {
    let pair: Pair = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let extra = pair.extra.clone().map(Arc::new);
    (Request { upstream_model: pair.model.clone(), extra, ..Asked::of(pair.request.clone()) }, pair)
}

#[test]
fn requests_give_their_golden_bodies() {
    let mut wrong = Vec::new();
    for path in golden("anthropic/encode", "json") {
        let (request, pair) = read(&path);
        let encoded = encode(&request).unwrap();
        let body = String::from_utf8(encoded.body).unwrap();
        let expected = pair.body.to_string();
        if body != expected || encoded.lost != pair.lost {
            wrong.push(format!("{}\n{body}\n{}", path.display(), json!(encoded.lost)));
        }
    }
    assert!(wrong.is_empty(), "these requests gave something else:\n{}", wrong.join("\n"));
}

/// All values of a key, wherever it stands.
fn all_of<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            if name == key {
                found.push(value);
            }
            all_of(value, key, found);
        }),
        Value::Array(values) => values.iter().for_each(|value| all_of(value, key, found)),
        _ => {}
    }
}

#[test]
fn the_cache_gets_at_most_four_marks_and_no_message_is_empty() {
    for path in golden("anthropic/encode", "json") {
        let body: Value = serde_json::from_slice(&encode(&read(&path).0).unwrap().body).unwrap();
        let mut marks = Vec::new();
        all_of(&body, "cache_control", &mut marks);
        assert!((1..=4).contains(&marks.len()), "{}", path.display());
        let messages = body["messages"].as_array().unwrap();
        assert!(
            messages.iter().all(|message| !message["content"].as_array().unwrap().is_empty()),
            "{}",
            path.display()
        );
        let mut texts = Vec::new();
        all_of(&body["messages"], "text", &mut texts);
        assert!(texts.iter().all(|text| text.as_str().is_none_or(|text| !text.trim().is_empty())));
        assert!(messages.windows(2).all(|pair| pair[0]["role"] != pair[1]["role"]), "{}", path.display());
    }
}

/// Leaves the marks out: the vendor's cache does not look at them.
fn unmarked(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("cache_control");
            fields.values_mut().for_each(unmarked);
        }
        Value::Array(values) => values.iter_mut().for_each(unmarked),
        _ => {}
    }
}

fn conversation() -> Vec<Value> {
    let says = |role: &str, text: &str| json!({ "message": { "role": role, "content": [{ "text": text }] } });
    let call =
        |id: &str| json!({ "tool_call": { "call_id": id, "name": "get", "arguments": "{}", "provider_call_id": "p" } });
    let result = |id: &str| json!({ "tool_result": { "call_id": id, "output": { "text": "1" } } });
    let thought = json!({ "reasoning": { "content": ["hm"], "opaque": { "deployment": "d-1", "bytes": "sig" } } });
    vec![
        says("user", "a"),
        thought.clone(),
        call("c1"),
        result("c1"),
        call("c2"),
        result("c2"),
        says("assistant", "b"),
        says("user", "c"),
        says("developer", "briefly"),
        thought,
        says("assistant", "d"),
        says("user", "e"),
    ]
}

/// A conversation that grows at its end must leave the bytes of its beginning alone: the vendor's cache lives on it.
#[test]
fn messages_grow_by_appending() {
    for model in ["claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-8", "claude-fable-5", "other"] {
        let mut before: Vec<Value> = Vec::new();
        // A prompt ends where the model is to speak: after a user's message or a tool's result.
        for end in [1, 4, 6, 9, 12] {
            let request = Asked::of(json!({ "instructions": "Be brief.", "input": conversation()[..end] }));
            let request = Request { upstream_model: model.to_owned(), ..request };
            let mut body: Value = serde_json::from_slice(&encode(&request).unwrap().body).unwrap();
            unmarked(&mut body);
            let blocks: Vec<Value> = body["messages"].as_array().unwrap().iter().flat_map(by_block).collect();
            assert_eq!(blocks[..before.len()], before, "{model} at {end}");
            assert!(blocks.len() > before.len());
            before = blocks;
        }
    }
}

/// A message's blocks, each with the role: a result that joins its message appends to it.
fn by_block(message: &Value) -> Vec<Value> {
    let blocks = message["content"].as_array().unwrap();
    blocks.iter().map(|block| json!({ "role": message["role"], "block": block })).collect()
}

/// What a request marks must be where the next one reads: the end of a prompt carries a mark in the next one too.
#[test]
fn a_mark_is_found_again_by_the_next_request() {
    let mut marked_before: Option<usize> = None;
    for end in [1, 4, 6, 9, 12] {
        let request = Asked::of(json!({ "input": conversation()[..end] }));
        let body: Value = serde_json::from_slice(&encode(&request).unwrap().body).unwrap();
        let blocks: Vec<Value> = body["messages"].as_array().unwrap().iter().flat_map(by_block).collect();
        let marked: Vec<usize> =
            (0..blocks.len()).filter(|place| blocks[*place]["block"].get("cache_control").is_some()).collect();
        assert_eq!(marked.last(), Some(&(blocks.len() - 1)), "the end of the prompt at {end}");
        assert!(marked_before.is_none_or(|place| marked.contains(&place)), "{marked_before:?} of {marked:?} at {end}");
        marked_before = marked.last().copied();
    }
}

#[test]
fn a_count_asks_for_the_prompt_alone() {
    let request = Asked::of(json!({
        "instructions": "Be brief.",
        "input": [{ "message": { "role": "user", "content": [{ "text": "Hi" }] } }],
        "tools": [{ "name": "get" }],
        "sampling": { "temperature": 0.5, "max_output_tokens": 2000, "stop": ["x"] },
        "reasoning": { "effort": "low" },
    }));
    let body: Value = serde_json::from_slice(&count(&request).unwrap()).unwrap();
    let names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["model", "tools", "system", "messages", "thinking"]);
}
