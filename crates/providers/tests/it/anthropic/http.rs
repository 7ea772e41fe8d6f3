//! The provider of Messages against a loopback server: paths, headers, counts and refusals.

use std::{sync::Arc, time::Duration};

use mainstay_providers::{Kind, Provider, Settings, build};
use mainstay_vocabulary::inference::{Chunk, Delta, FailureKind, Format, Stop};
use serde_json::{Value, json};

use super::verbatim::verbatim;
use crate::{
    Asked,
    http::{all, settings},
    server::{Do, Server, answer, chunk},
    text, user,
};

const STREAM: &str = concat!(
    r#"event: message_start"#,
    "\n",
    r#"data: {"type":"message_start","message":{"id":"msg_1","model":"claude-x","usage":{"input_tokens":2}}}"#,
    "\n\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Hello"}}"#,
    "\n\n",
    r#"data: {"type":"content_block_stop","index":0}"#,
    "\n\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}"#,
    "\n\n",
    r#"data: {"type":"message_stop"}"#,
    "\n\n",
);

fn head() -> Do {
    let headers = "request-id: req_1\r\nanthropic-ratelimit-requests-remaining: 49\r\ntransfer-encoding: chunked";
    Do::Send(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{headers}\r\n\r\n").into())
}

fn streaming() -> Vec<Do> {
    vec![head(), chunk(STREAM.as_bytes()), Do::Send(b"0\r\n\r\n".into())]
}

fn provider(base_url: String) -> Arc<dyn Provider> {
    build(Kind::Anthropic, settings(base_url)).unwrap()
}

#[tokio::test]
async fn a_message_is_asked_for_and_read() {
    let server = Server::start(streaming()).await;
    let provider = provider(server.url());
    assert_eq!(provider.format(), Some(Format::AnthropicMessages));
    for _ in 0..2 {
        let (chunks, failure) = all(provider.infer(user("Hi"))).await;
        assert_eq!(failure, None);
        assert_eq!(text(&chunks), "Hello");
        let Some(Chunk::Finished(finished)) = chunks.last() else { panic!("no end") };
        assert_eq!((&finished.stop, finished.model.as_deref()), (&Stop::End, Some("claude-x")));
        let reported = json!({ "request_id": "req_1", "requests_remaining": "49", "response_id": "msg_1", "stop_reason": "end_turn" });
        assert_eq!(json!(finished.reported), reported);
    }
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.iter().map(|request| request.0).collect::<Vec<_>>(), [0, 0], "one connection");
    let (_, head, body) = &requests[0];
    assert!(head.starts_with("post /v1/messages http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-api-key: sk-very-secret"), "{head}");
    assert!(head.contains("\r\nanthropic-version: 2023-06-01"), "{head}");
    assert!(head.contains("\r\nidempotency-key: key-1"), "{head}");
    assert!(!head.contains("authorization") && !head.contains("anthropic-beta"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["model"], &body["stream"], &body["max_tokens"]), (&json!("m-1"), &json!(true), &json!(8_192)));
}

#[tokio::test]
async fn an_address_without_a_version_gets_one() {
    let server = Server::start(streaming()).await;
    let provider = provider(format!("http://{}", server.address));
    assert_eq!(all(provider.infer(user("Hi"))).await.1, None);
    assert!(server.requests.lock().unwrap()[0].1.starts_with("post /v1/messages http"));
}

#[tokio::test]
async fn a_clients_own_request_goes_with_its_own_headers() {
    let server = Server::start(streaming()).await;
    let request = verbatim(json!({ "messages": [], "max_tokens": 9 }), true);
    let (chunks, failure) = all(provider(server.url()).infer(request)).await;
    assert_eq!(failure, None);
    let types: Vec<&str> = chunks
        .iter()
        .filter_map(|chunk| match chunk {
            Chunk::Frame(frame) => frame["type"].as_str(),
            _ => None,
        })
        .collect();
    let all = ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"];
    assert_eq!(types, all);
    let head = server.requests.lock().unwrap()[0].1.clone();
    assert!(head.contains("\r\nanthropic-beta: context-1m-2025-08-07,skills-2025-10-02"), "{head}");
    assert!(head.contains("\r\nanthropic-version: 2026-10-21") && !head.contains("2023-06-01"), "{head}");
    assert!(!head.contains("cookie"), "{head}");
}

#[tokio::test]
async fn a_whole_message_of_a_clients_own_request_is_one_frame() {
    let body =
        r#"{"id":"msg_1","type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","new":1}"#;
    let server = Server::start(vec![answer("200 OK", "content-type: application/json\r\n", body)]).await;
    let request = verbatim(json!({ "messages": [], "max_tokens": 9 }), false);
    let (chunks, failure) = all(provider(server.url()).infer(request)).await;
    assert_eq!(failure, None);
    assert_eq!(chunks[0], Chunk::Frame(serde_json::from_str(body).unwrap()));
    assert_eq!(text(&chunks), "Hi");
}

#[tokio::test]
async fn what_was_left_out_is_in_the_receipt() {
    let server = Server::start(streaming()).await;
    let request = Asked::of(json!({ "input": [
        { "message": { "role": "user", "content": [{ "text": "a" }] } },
        { "reasoning": { "content": ["hm"], "opaque": { "deployment": "d-2", "bytes": "sig" } } },
        { "message": { "role": "assistant", "content": [{ "text": "b" }] } },
        { "message": { "role": "user", "content": [{ "text": "c" }] } },
    ] }));
    let (chunks, _) = all(provider(server.url()).infer(request)).await;
    let Some(Chunk::Finished(finished)) = chunks.last() else { panic!("no end") };
    assert_eq!(finished.reported["dropped"], json!([{ "item": 1, "reason": "made by another deployment" }]));
}

#[tokio::test]
async fn tokens_are_counted_upstream_where_that_is_served() {
    let server = Server::start(vec![answer("200 OK", "", r#"{"input_tokens":14}"#)]).await;
    let count = provider(server.url()).count(user("Hi")).await.unwrap();
    assert_eq!((count.tokens, count.is_exact), (14, true));
    assert!(server.requests.lock().unwrap()[0].1.starts_with("post /v1/messages/count_tokens http"));

    let server = Server::start(vec![answer("404 Not Found", "", "")]).await;
    let count = provider(server.url()).count(user("Hi")).await.unwrap();
    assert!(count.tokens > 0 && !count.is_exact);

    let server = Server::start(vec![answer("200 OK", "", "{}")]).await;
    let failure = provider(server.url()).count(user("Hi")).await.unwrap_err();
    assert_eq!((failure.kind, &*failure.message), (FailureKind::Protocol, "acme: a count without `input_tokens`"));
}

/// With its text left out by the vendor, a thought is silent for as long as it takes: that it began counts.
#[tokio::test]
async fn a_hidden_thought_is_a_first_token() {
    let begins = r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#;
    let server = Server::start(vec![head(), chunk(format!("{begins}\n\n").as_bytes()), Do::Hang]).await;
    let mut settings = settings(server.url());
    settings.timeouts.first_token = Duration::from_millis(40);
    settings.timeouts.idle = Duration::from_millis(80);
    let (chunks, failure) = all(build(Kind::Anthropic, settings).unwrap().infer(user("Hi"))).await;
    assert!(matches!(chunks[..], [Chunk::Delta(Delta::Started { .. })]), "{chunks:?}");
    assert_eq!(failure.unwrap().message, "acme: nothing more within 80 ms");
}

#[tokio::test]
async fn refusals_have_their_classes() {
    let error =
        |class: &str| format!(r#"{{"type":"error","error":{{"type":"{class}","message":"no"}},"request_id":"r"}}"#);
    let cases = [
        ("529 Overloaded", "overloaded_error", FailureKind::Upstream, None),
        ("429 Too Many Requests", "rate_limit_error", FailureKind::RateLimited, Some(7_000)),
        ("401 Unauthorized", "authentication_error", FailureKind::Authentication, None),
        ("402 Payment Required", "billing_error", FailureKind::Quota, None),
        ("404 Not Found", "not_found_error", FailureKind::NotFound, None),
        ("413 Payload Too Large", "request_too_large", FailureKind::ContextLength, None),
        ("400 Bad Request", "invalid_request_error", FailureKind::InvalidRequest, None),
    ];
    for (status, class, kind, retry_after_ms) in cases {
        let headers = if retry_after_ms.is_some() { "retry-after: 7\r\n" } else { "" };
        let server = Server::start(vec![answer(status, headers, &error(class))]).await;
        let failure = all(provider(server.url()).infer(user("Hi"))).await.1.unwrap();
        assert_eq!((failure.kind, failure.retry_after_ms), (kind, retry_after_ms), "{status}");
        assert!(failure.message.starts_with("acme: answered ") && failure.message.ends_with(": no"), "{failure:?}");
    }
}

#[test]
fn an_address_that_cannot_serve_is_refused() {
    assert!(build(Kind::Anthropic, Settings { base_url: None, ..settings(String::new()) }).is_err());
}
