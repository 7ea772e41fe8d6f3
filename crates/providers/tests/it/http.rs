//! The client against a loopback server: what is sent, what comes back, and every way to fail.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use mainstay_providers::{ChunkStream, Kind, Provider, Secret, Settings, Timeouts, build};
use mainstay_vocabulary::inference::{Chunk, Failure, FailureKind, Stop};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{
    server::{Do, Server, answer, chunk, stream_head},
    text, user,
};

const HELLO: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"Grüße"},"finish_reason":null}]}

"#;
const STOP: &str = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

"#;
const DONE: &str = "data: [DONE]\n\n";

pub(crate) fn settings(base_url: String) -> Settings {
    Settings {
        name: "acme".to_owned(),
        base_url: Some(base_url),
        api_key: Some(Secret::new("sk-very-secret")),
        script: None,
        timeouts: Timeouts::default(),
        dialect: None,
        models: Vec::new(),
        local: mainstay_providers::LocalOptions::default(),
    }
}

fn provider(server: &Server) -> Arc<dyn Provider> {
    build(Kind::OpenAiChat, settings(server.url())).unwrap()
}

pub(crate) async fn all(stream: ChunkStream) -> (Vec<Chunk>, Option<Failure>) {
    let (mut chunks, mut failure) = (Vec::new(), None);
    let mut stream = stream;
    while let Some(next) = stream.next().await {
        assert!(failure.is_none(), "something follows a failure");
        match next {
            Ok(chunk) => chunks.push(chunk),
            Err(error) => failure = Some(error),
        }
    }
    (chunks, failure)
}

async fn failure(provider: &dyn Provider) -> Failure {
    all(provider.infer(user("Hi"))).await.1.expect("a failure")
}

#[tokio::test]
async fn a_stream_is_asked_for_read_and_its_connection_used_again() {
    let (before, after) = HELLO.as_bytes().split_at(HELLO.find('ü').unwrap() + 1);
    let steps = vec![
        stream_head(),
        chunk(before),
        chunk(after),
        chunk(STOP.as_bytes()),
        chunk(DONE.as_bytes()),
        Do::Send(b"0\r\n\r\n".into()),
    ];
    let server = Server::start(steps).await;
    let provider = provider(&server);
    for _ in 0..2 {
        let (chunks, failure) = all(provider.infer(user("Hi"))).await;
        assert_eq!(failure, None);
        assert_eq!(text(&chunks), "Grüße");
        let Some(Chunk::Finished(finished)) = chunks.last() else { panic!("no end") };
        assert_eq!(finished.stop, Stop::End);
        assert_eq!(finished.reported["request_id"], "req-1");
    }
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.iter().map(|request| request.0).collect::<Vec<_>>(), [0, 0], "one connection");
    let (_, head, body) = &requests[0];
    assert!(head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer sk-very-secret"), "{head}");
    assert!(head.contains("\r\nidempotency-key: key-1"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["messages"], json!([{ "role": "user", "content": "Hi" }]));
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_poll() {
    let server = Server::start(vec![answer("400 Bad Request", "", "")]).await;
    let provider = provider(&server);
    drop(provider.infer(user("never")));
    failure(&*provider).await;
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].2.contains("Hi"));
}

#[tokio::test]
async fn a_whole_answer_gives_the_same_chunks() {
    let body = r#"{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"length"}]}"#;
    let server = Server::start(vec![answer("200 OK", "content-type: application/json\r\n", body)]).await;
    let (chunks, failure) = all(provider(&server).infer(user("Hi"))).await;
    assert_eq!(failure, None);
    assert_eq!(text(&chunks), "Hello");
    assert!(matches!(chunks.last(), Some(Chunk::Finished(end)) if end.stop == Stop::MaxOutputTokens));
}

#[tokio::test]
async fn a_rate_limit_says_how_long_to_wait() {
    let body = r#"{"error":{"message":"Slow down","code":"rate_limit_exceeded"}}"#;
    let server = Server::start(vec![answer("429 Too Many Requests", "retry-after: 3\r\n", body)]).await;
    let failure = failure(&*provider(&server)).await;
    assert_eq!(failure.kind, FailureKind::RateLimited);
    assert_eq!(failure.retry_after_ms, Some(3_000));
    assert_eq!(failure.message, "acme: answered 429: Slow down");
}

#[tokio::test]
async fn a_key_that_the_upstream_repeats_is_not_shown() {
    let body = r#"{"error":{"message":"Incorrect API key: sk-very-secret"}}"#;
    let server = Server::start(vec![answer("401 Unauthorized", "", body)]).await;
    let failure = failure(&*provider(&server)).await;
    assert_eq!(failure.kind, FailureKind::Authentication);
    assert_eq!(failure.message, "acme: answered 401: Incorrect API key: …");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(vec![answer("200 OK", "", "{}")]).await;
    let location = format!("location: {}\r\n", elsewhere.url());
    let server = Server::start(vec![answer("307 Temporary Redirect", &location, "")]).await;
    assert_eq!(failure(&*provider(&server)).await.kind, FailureKind::NotFound);
    assert!(elsewhere.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refused_connection_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let provider = build(Kind::OpenAiChat, settings(format!("http://{address}"))).unwrap();
    let failure = failure(&*provider).await;
    assert_eq!(failure.kind, FailureKind::Connect, "{}", failure.message);
}

#[tokio::test]
async fn a_dropped_connection_is_broken_and_keeps_what_came() {
    let server = Server::start(vec![stream_head(), chunk(HELLO.as_bytes()), Do::Close]).await;
    let (chunks, failure) = all(provider(&server).infer(user("Hi"))).await;
    assert_eq!(text(&chunks), "Grüße");
    assert_eq!(failure.unwrap().kind, FailureKind::Broken);
}

#[tokio::test]
async fn a_connection_dropped_before_an_answer_is_broken() {
    let server = Server::start(vec![Do::Close]).await;
    assert_eq!(failure(&*provider(&server)).await.kind, FailureKind::Broken);
}

#[tokio::test]
async fn a_drop_after_the_stop_is_an_end() {
    let both = format!("{HELLO}{STOP}");
    let server = Server::start(vec![stream_head(), chunk(both.as_bytes()), Do::Close]).await;
    let (chunks, failure) = all(provider(&server).infer(user("Hi"))).await;
    assert_eq!(failure, None);
    assert!(matches!(chunks.last(), Some(Chunk::Finished(_))));
}

#[tokio::test]
async fn silence_after_the_stop_is_an_end() {
    let both = format!("{HELLO}{STOP}");
    let server = Server::start(vec![stream_head(), chunk(both.as_bytes()), Do::Hang]).await;
    let mut stream = provider(&server).infer(user("Hi"));
    stream.next().await.unwrap().unwrap();
    // The reason to stop came with the first chunk; the wait that is left runs on the virtual clock.
    tokio::time::pause();
    let (chunks, failure) = all(stream).await;
    assert_eq!(failure, None);
    assert!(matches!(chunks.last(), Some(Chunk::Finished(_))));
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let mut server = Server::start(vec![stream_head(), chunk(HELLO.as_bytes()), Do::Hang]).await;
    let provider = provider(&server);
    let mut stream = provider.infer(user("Hi"));
    stream.next().await.unwrap().unwrap();
    drop(stream);
    server.closed.recv().await.unwrap();
}

/// Only the named phase is short, so no other can be the one that ends.
async fn times_out(steps: Vec<Do>, shorten: fn(&mut Timeouts)) -> Failure {
    let server = Server::start(steps).await;
    let mut settings = settings(server.url());
    shorten(&mut settings.timeouts);
    failure(&*build(Kind::OpenAiChat, settings).unwrap()).await
}

const SHORT: Duration = Duration::from_millis(40);

#[tokio::test]
async fn headers_that_do_not_come_time_out() {
    // The bound on connecting is part of the wait for headers, and long enough here for any loopback.
    let shorten = |timeouts: &mut Timeouts| {
        timeouts.connect = Duration::from_secs(2);
        timeouts.headers = SHORT;
    };
    let failure = times_out(vec![Do::Hang], shorten).await;
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(failure.message, "acme: no response headers within 2040 ms");
}

#[tokio::test]
async fn a_first_token_that_does_not_come_times_out() {
    let comments = chunk(b": wait\n\n: wait\n\n");
    let failure = times_out(vec![stream_head(), comments, Do::Hang], |timeouts| timeouts.first_token = SHORT).await;
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(failure.message, "acme: no first token within 40 ms");
}

#[tokio::test]
async fn a_stream_that_falls_silent_times_out() {
    let steps = vec![stream_head(), chunk(HELLO.as_bytes()), Do::Hang];
    let failure = times_out(steps, |timeouts| timeouts.idle = SHORT).await;
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(failure.message, "acme: nothing more within 40 ms");
}

#[tokio::test]
async fn a_connection_that_is_not_taken_times_out() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Fill the queue of connections that nobody accepts, until the next one has to wait.
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 64, "the queue has no end");
    }
    let mut settings = settings(format!("http://{address}/v1"));
    settings.timeouts.connect = SHORT;
    let failure = failure(&*build(Kind::OpenAiChat, settings).unwrap()).await;
    assert_eq!(failure.kind, FailureKind::Timeout, "{}", failure.message);
}

#[test]
fn addresses_and_keys_that_cannot_serve_are_refused() {
    for base_url in ["", "acme", "ftp://127.0.0.1/v1", "http://user:secret@127.0.0.1/v1"] {
        let error = build(Kind::OpenAiChat, settings(base_url.to_owned())).err().expect(base_url);
        let message = error.to_string();
        assert!(message.contains("`acme`") && !message.contains("secret@"), "{message}");
    }
    assert!(build(Kind::OpenAiChat, Settings { base_url: None, ..settings(String::new()) }).is_err());
    let api_key = Some(Secret::new("two\nlines"));
    assert!(build(Kind::OpenAiChat, Settings { api_key, ..settings("http://127.0.0.1/v1".to_owned()) }).is_err());
}

#[test]
fn an_encrypted_address_can_be_served() {
    build(Kind::OpenAiChat, settings("https://127.0.0.1/v1".to_owned())).unwrap();
}
