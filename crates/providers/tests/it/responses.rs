//! The clients of OpenAI's formats against a loopback server: what only Responses does, requests that go as they came,
//! counts and embeddings.

use std::sync::Arc;

use futures_util::StreamExt;
use mainstay_providers::{
    Kind, Provider, Secret, Settings, Timeouts, build, http::decode::MAX_ITEMS, openai_responses,
};
use mainstay_vocabulary::inference::{
    Chunk, EmbeddingInput, EmbeddingRequest, FailureKind, Finished, Format, Request, Stop, TokenCount,
};
use serde_json::{Value, json};

use crate::{
    Asked,
    decode::decode,
    hostile::check,
    server::{Server, answer, chunk, stream_head},
    text, user,
};

const JSON: &str = "content-type: application/json\r\n";

fn provider(kind: Kind, server: &Server) -> Arc<dyn Provider> {
    let settings = Settings {
        name: "acme".to_owned(),
        base_url: Some(server.url()),
        api_key: Some(Secret::new("sk-very-secret")),
        script: None,
        timeouts: Timeouts::default(),
        dialect: None,
        models: Vec::new(),
        local: mainstay_providers::LocalOptions::default(),
    };
    build(kind, settings).unwrap()
}

async fn all(provider: &dyn Provider, request: Request) -> Vec<Chunk> {
    provider.infer(request).map(|chunk| chunk.unwrap()).collect().await
}

fn finished(chunks: &[Chunk]) -> &Finished {
    match chunks.last() {
        Some(Chunk::Finished(finished)) => finished,
        other => panic!("{other:?} is no end"),
    }
}

fn frames(chunks: &[Chunk]) -> Vec<&Value> {
    let frames = chunks.iter().filter_map(|chunk| match chunk {
        Chunk::Frame(frame) => Some(frame),
        Chunk::Delta(_) | Chunk::Finished(_) => None,
    });
    frames.collect()
}

/// Frames as an event stream, in one piece of the transfer encoding.
fn stream(frames: &[Value]) -> Vec<crate::server::Do> {
    let events: String = frames.iter().map(|frame| format!("data: {frame}\n\n")).collect();
    vec![stream_head(), chunk(events.as_bytes()), chunk(b"")]
}

fn delta(text: &str) -> Value {
    json!({ "type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0,
        "delta": text, "obfuscation": "x1" })
}

fn completed() -> Value {
    json!({ "type": "response.completed", "response": { "id": "resp_1", "status": "completed", "output": [],
        "x_unknown": 1 } })
}

#[tokio::test]
async fn a_response_is_asked_for_and_what_it_lost_is_reported() {
    let server = Server::start(stream(&[delta("Hel"), delta("lo"), completed()])).await;
    let request = Asked::of(json!({
        "input": [
            { "message": { "role": "user", "content": [{ "text": "Hi" }] } },
            { "reasoning": { "summary": ["s"], "opaque": { "deployment": "d-2", "bytes": "b" } } },
        ],
        "sampling": { "seed": 7 },
    }));
    let provider = provider(Kind::OpenAiResponses, &server);
    assert_eq!(provider.format(), Some(Format::OpenAiResponses));
    assert!(!provider.continues_prefix());
    let chunks = all(&*provider, request).await;
    assert_eq!(text(&chunks), "Hello");
    let end = finished(&chunks);
    assert_eq!(end.stop, Stop::End);
    assert_eq!(end.reported["request_id"], "req-1");
    assert_eq!(end.reported["dropped"], json!([{ "item": 1, "reason": "made by another deployment" }]));
    assert!(frames(&chunks).is_empty());
    let requests = server.requests.lock().unwrap();
    let (_, head, body) = &requests[0];
    assert!(head.starts_with("post /v1/responses http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer sk-very-secret"), "{head}");
    assert!(head.contains("\r\nidempotency-key: key-1"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["stream"], &body["store"], &body["seed"]), (&json!(true), &json!(false), &json!(7)));
}

#[tokio::test]
async fn a_clients_own_request_goes_and_comes_back_as_it_is() {
    let sent = [delta("Hel"), json!({ "type": "response.something.new", "y": [1] }), delta("lo"), completed()];
    let server = Server::start(stream(&sent)).await;
    let own = json!({ "model": "big", "input": "Hi", "x_field": { "a": 1 }, "max_output_tokens": 9_999 });
    let request = Asked::of(json!({
        "sampling": { "max_output_tokens": 50 },
        "verbatim": { "format": "open_ai_responses", "body": own, "streams": true },
    }));
    let chunks = all(&*provider(Kind::OpenAiResponses, &server), request).await;
    assert_eq!(frames(&chunks), sent.iter().collect::<Vec<_>>());
    assert_eq!(text(&chunks), "Hello");
    assert!(matches!(&chunks[..2], [Chunk::Frame(_), Chunk::Delta(_)]), "a frame comes before what is read from it");
    let requests = server.requests.lock().unwrap();
    let (_, head, body) = &requests[0];
    assert!(head.contains("\r\nopenai-beta: responses=v1"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer sk-very-secret") && !head.contains("another account"), "{head}");
    let expected =
        json!({ "model": "m-1", "input": "Hi", "x_field": { "a": 1 }, "max_output_tokens": 50, "stream": true });
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
}

#[tokio::test]
async fn a_clients_own_request_for_a_whole_body_gets_it() {
    let whole = json!({ "id": "resp_1", "object": "response", "status": "completed", "x_unknown": 1,
        "output": [{ "type": "message", "content": [{ "type": "output_text", "text": "Hello" }] }],
        "usage": { "input_tokens": 3, "output_tokens": 2 } });
    let server = Server::start(vec![answer("200 OK", JSON, &whole.to_string())]).await;
    let request = Asked::of(json!({
        "verbatim": { "format": "open_ai_responses", "body": { "input": "Hi" }, "streams": false },
    }));
    let chunks = all(&*provider(Kind::OpenAiResponses, &server), request).await;
    assert_eq!(frames(&chunks), [&whole]);
    assert_eq!(text(&chunks), "Hello");
    assert_eq!(finished(&chunks).usage.unwrap().input, 3);
}

/// Usage is always asked for, but a client that did not ask would look for a choice in the frame that brings it.
#[tokio::test]
async fn usage_that_only_we_asked_for_is_not_shown() {
    let said = json!({ "choices": [{ "index": 0, "delta": { "content": "Hi" }, "finish_reason": "stop" }] });
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 1 } });
    let sent = [said.clone(), usage.clone()];
    for (options, seen) in [(json!(null), vec![&said]), (json!({ "include_usage": true }), vec![&said, &usage])] {
        let server = Server::start(stream(&sent)).await;
        let request = Asked::of(json!({
            "verbatim": { "format": "open_ai_chat", "streams": true, "body": { "stream_options": options } },
        }));
        let chunks = all(&*provider(Kind::OpenAiChat, &server), request).await;
        assert_eq!(frames(&chunks), seen);
        assert_eq!(finished(&chunks).usage.unwrap().input, 3);
    }
}

#[tokio::test]
async fn a_prompt_is_counted_where_the_server_counts() {
    let counted = r#"{"object":"response.input_tokens","input_tokens":11}"#;
    let server = Server::start(vec![answer("200 OK", JSON, counted)]).await;
    let request = Asked::of(json!({
        "instructions": "Be brief.",
        "input": [{ "message": { "role": "user", "content": [{ "text": "Hi" }] } }],
        "tools": [{ "name": "get" }],
        "text": "json_object",
        "reasoning": { "effort": "low" },
        "sampling": { "max_output_tokens": 5, "temperature": 1.0 },
    }));
    let count = provider(Kind::OpenAiResponses, &server).count(request).await.unwrap();
    assert_eq!(count, TokenCount { tokens: 11, is_exact: true });
    let requests = server.requests.lock().unwrap();
    let (_, head, body) = &requests[0];
    assert!(head.starts_with("post /v1/responses/input_tokens http/1.1\r\n"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    let mut names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["input", "instructions", "model", "reasoning", "text", "tools"]);
}

#[tokio::test]
async fn a_prompt_is_estimated_where_nobody_counts() {
    let server = Server::start(vec![answer("404 Not Found", JSON, "{}")]).await;
    let count = provider(Kind::OpenAiResponses, &server).count(user("Hi")).await.unwrap();
    assert!(!count.is_exact && count.tokens > 0);
    let server = Server::start(vec![answer("401 Unauthorized", JSON, "{}")]).await;
    let failure = provider(Kind::OpenAiResponses, &server).count(user("Hi")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Authentication);
    let server = Server::start(vec![answer("200 OK", JSON, "{}")]).await;
    let failure = provider(Kind::OpenAiResponses, &server).count(user("Hi")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Protocol);
    assert!(failure.message.starts_with("acme: "), "{}", failure.message);
}

#[tokio::test]
async fn both_families_embed() {
    let embedded = r#"{"data":[{"index":0,"embedding":[0.5,-1]}],"model":"e-1","usage":{"prompt_tokens":2}}"#;
    for kind in [Kind::OpenAiChat, Kind::OpenAiResponses] {
        let server = Server::start(vec![answer("200 OK", JSON, embedded)]).await;
        let request = |texts: usize| EmbeddingRequest {
            upstream_model: "e-1".to_owned(),
            input: vec![EmbeddingInput::Text("a".to_owned()); texts],
            dimensions: None,
            extra: Default::default(),
        };
        let embeddings = provider(kind, &server).embed(request(1)).await.unwrap();
        assert_eq!(embeddings.vectors, [[0.5, -1.0]]);
        assert_eq!(embeddings.usage.unwrap().input, 2);
        let failure = provider(kind, &server).embed(request(2)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Protocol);
        assert!(failure.message.starts_with("acme: "), "{}", failure.message);
        let requests = server.requests.lock().unwrap();
        assert!(requests[0].1.starts_with("post /v1/embeddings http/1.1\r\n"), "{}", requests[0].1);
    }
}

/// As `hostile::items_without_end_are_cut_off`, by each way to begin an item or a part.
#[test]
fn items_and_parts_without_end_are_cut_off() {
    let item = |id: usize| json!({ "type": "message", "id": format!("m{id}"), "content": [] });
    let added = |id: usize| json!({ "type": "response.output_item.added", "output_index": id, "item": item(id) });
    let unknown = |id: usize| json!({ "type": "response.output_item.done", "item": { "type": "x", "id": id } });
    let part =
        |id: usize| json!({ "type": "response.output_text.delta", "item_id": "m", "content_index": id, "delta": "x" });
    let whole = |_: usize| {
        let output: Vec<Value> = (0..=MAX_ITEMS as usize).map(item).collect();
        json!({ "type": "response.completed", "response": { "output": output } })
    };
    let ways: [&dyn Fn(usize) -> Value; 4] = [&added, &unknown, &part, &whole];
    for way in ways {
        let events: String = (0..=MAX_ITEMS as usize).map(|id| format!("data: {}\n\n", way(id))).collect();
        let (chunks, failure) = decode(openai_responses::decoder(), [events.as_bytes()]);
        assert_eq!(failure.unwrap().kind, FailureKind::Protocol);
        check(&chunks, false);
    }
}

#[test]
fn what_a_receipt_keeps_of_unknown_items_is_bounded() {
    let long = "x".repeat(10_000);
    let mut events: String = (0..100)
        .map(|id| json!({ "type": "response.output_item.done", "item": { "type": "y", "id": id, "action": long } }))
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    events.push_str(&format!("data: {}\n\n", completed()));
    let (chunks, failure) = decode(openai_responses::decoder(), [events.as_bytes()]);
    assert_eq!(failure, None);
    let kept = &finished(&chunks).reported["items"];
    assert_eq!(kept.as_array().unwrap().len(), 16);
    assert!(kept.to_string().len() < 4_096);
}
