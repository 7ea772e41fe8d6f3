//! A client's own request of Messages: its body goes out but for what is ours to decide, its frames come back whole.

use std::{fs, sync::Arc};

use mainstay_providers::anthropic::{
    decode::decoder,
    encode::{count, encode},
};
use mainstay_vocabulary::{
    Object,
    inference::{Chunk, Format, Request, Verbatim},
};
use serde_json::{Value, json};

use crate::{decode::decode, golden, user};

pub(crate) fn verbatim(body: Value, streams: bool) -> Request {
    let Value::Object(body) = body else { panic!("a body is an object") };
    let headers = vec![
        ("anthropic-beta".to_owned(), "context-1m-2025-08-07,skills-2025-10-02".to_owned()),
        ("anthropic-version".to_owned(), "2026-10-21".to_owned()),
        ("cookie".to_owned(), "no".to_owned()),
    ];
    let verbatim = Verbatim { format: Format::AnthropicMessages, body, headers, streams };
    Request { verbatim: Some(Arc::new(verbatim)), upstream_model: "claude-up".to_owned(), ..user("canonical") }
}

fn sent(request: &Request) -> Value {
    let encoded = encode(request).unwrap();
    assert_eq!(encoded.lost, Object::new());
    serde_json::from_slice(&encoded.body).unwrap()
}

#[test]
fn a_clients_own_body_keeps_its_cache_markers_and_unknown_fields() {
    let body = json!({
        "model": "claude-mine",
        "max_tokens": 100,
        "stream": false,
        "system": [{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral", "ttl": "1h" } }],
        "tools": [{ "type": "web_search_20260209", "name": "web_search" }],
        "messages": [{ "role": "user", "content": "Hi" }],
        "context_management": { "edits": [] },
    });
    let mut expected = body.clone();
    expected["model"] = json!("claude-up");
    expected["stream"] = json!(true);
    assert_eq!(sent(&verbatim(body.clone(), true)).to_string(), expected.to_string());
    expected["stream"] = json!(false);
    assert_eq!(sent(&verbatim(body.clone(), false)).to_string(), expected.to_string());
    let counted: Value = serde_json::from_slice(&count(&verbatim(body, true)).unwrap()).unwrap();
    expected.as_object_mut().unwrap().retain(|name, _| !["stream", "max_tokens"].contains(&name.as_str()));
    assert_eq!(counted, expected);
}

#[test]
fn the_limit_on_output_is_ours_and_thinking_stays_below_it() {
    let body =
        json!({ "max_tokens": 32_000, "thinking": { "type": "enabled", "budget_tokens": 31_999 }, "messages": [] });
    let mut request = verbatim(body, true);
    assert_eq!(sent(&request)["thinking"]["budget_tokens"], 31_999);
    request.sampling.max_output_tokens = Some(8_000);
    let sent_body = sent(&request);
    assert_eq!((&sent_body["max_tokens"], &sent_body["thinking"]["budget_tokens"]), (&json!(8_000), &json!(6_000)));
    let without_limit = verbatim(json!({ "messages": [] }), true);
    assert_eq!(sent(&without_limit)["max_tokens"], 32_000);
}

#[test]
fn a_body_of_another_format_is_not_sent() {
    let mut request = verbatim(json!({ "messages": [], "max_tokens": 1 }), true);
    let own = Arc::make_mut(request.verbatim.as_mut().unwrap());
    own.format = Format::OpenAiChat;
    assert_eq!(sent(&request)["messages"][0]["content"][0]["text"], "canonical");
}

/// Every frame comes back as it was sent, right before the deltas that were read from it, and nothing else changes.
#[test]
fn frames_come_back_whole() {
    for path in golden("anthropic/decode", "sse") {
        let bytes = fs::read(&path).unwrap();
        let (plain, failure) = decode(decoder(false, Object::new()), [&*bytes]);
        let (framed, same_failure) = decode(decoder(true, Object::new()), [&*bytes]);
        assert_eq!(failure, same_failure);
        let rest: Vec<_> = framed.iter().filter(|chunk| !matches!(chunk, Chunk::Frame(_))).cloned().collect();
        // Deltas that come together with a failure may come without their frame, never the other way round.
        assert_eq!(rest, plain, "{}", path.display());
        let frames: Vec<&Value> = framed
            .iter()
            .filter_map(|chunk| match chunk {
                Chunk::Frame(frame) => Some(frame),
                _ => None,
            })
            .collect();
        if failure.is_none() && plain.len() > 2 {
            assert!(matches!(framed[0], Chunk::Frame(_)), "{}", path.display());
            assert!(frames.iter().all(|frame| frame.is_object()));
        }
    }
    let path =
        golden("anthropic/decode", "sse").into_iter().find(|path| path.ends_with("unknown_blocks_and_events.sse"));
    let text = fs::read_to_string(path.unwrap()).unwrap();
    let sent: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let (chunks, _) = decode(decoder(true, Object::new()), [text.as_bytes()]);
    let back: Vec<Value> = chunks
        .into_iter()
        .filter_map(|chunk| match chunk {
            Chunk::Frame(frame) => Some(frame),
            _ => None,
        })
        .collect();
    assert_eq!(json!(back).to_string(), json!(sent).to_string());
}
