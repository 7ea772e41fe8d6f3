//! A server that does not behave: every answer that is none ends as a failure of the right kind, in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use mainstay_tools::{FailureKind, Toolbox as _, mcp::Protocol};
use mainstay_vocabulary::Content;
use serde_json::json;

use crate::{
    call, ended, over_http, patient,
    peer::{Asked, Do, Peer, as_json, chunk, error, event, events, last_chunk, legacy, modern, result, whole},
};

const JSON: &str = "content-type: application/json\r\n";

type Answer = fn(&Asked) -> Vec<Do>;
type Server = Box<dyn Fn(&Asked) -> Vec<Do> + Send + Sync>;

/// What a server answers to `tools/call`, and what that says about the effect.
const ANSWERS: &[(&str, FailureKind, Answer)] = &[
    ("closes without an answer", FailureKind::Unknown, |_| vec![Do::Close]),
    ("half a head", FailureKind::Unknown, |_| vec![Do::Send(b"HTTP/1.1 200 O".to_vec()), Do::Close]),
    ("no HTTP", FailureKind::Unknown, |_| vec![Do::Send(b"SSH-2.0-x\r\n\r\n".to_vec()), Do::Close]),
    ("half a body", FailureKind::Unknown, |_| {
        let head = format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 1000\r\n\r\n{{\"jsonrpc\"");
        vec![Do::Send(head.into()), Do::Close]
    }),
    ("no JSON", FailureKind::Unknown, |_| vec![whole("200 OK", JSON, "<html>"), Do::Close]),
    ("JSON that is no message", FailureKind::Unknown, |_| vec![as_json(&json!({ "hello": 1 }))]),
    ("another content type", FailureKind::Unknown, |_| vec![whole("200 OK", "content-type: text/html\r\n", "hi")]),
    ("no content type", FailureKind::Unknown, |_| vec![whole("200 OK", "", "hi")]),
    ("202 to a request", FailureKind::Unknown, |_| vec![whole("202 Accepted", "", "")]),
    ("too large by its head", FailureKind::Unknown, |_| {
        let head = format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 99999999999\r\n\r\n");
        vec![Do::Send(head.into()), Do::Hang]
    }),
    ("endless JSON", FailureKind::Unknown, |_| {
        let head = format!("HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\n");
        let Do::Send(part) = chunk(&" ".repeat(64 * 1024)) else { panic!() };
        vec![Do::Send(head.into()), Do::Endless(part)]
    }),
    ("endless event", FailureKind::Unknown, |_| {
        let Do::Send(part) = chunk(&"data: aaaaaaaaaaaaaaaaaaaa\n".repeat(4096)) else { panic!() };
        vec![events(), Do::Endless(part)]
    }),
    ("endless head", FailureKind::Unknown, |_| {
        vec![Do::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Do::Endless(b"x-more: and more\r\n".to_vec())]
    }),
    ("500", FailureKind::Unknown, |_| vec![whole("500 Oops", "", "")]),
    ("502 with a page", FailureKind::Unknown, |_| vec![whole("502 Bad", "content-type: text/html\r\n", "<html>")]),
    ("503", FailureKind::Unknown, |_| vec![whole("503 Later", "retry-after: 1\r\n", "")]),
    ("400", FailureKind::Rejected, |_| vec![whole("400 Bad", "", "no")]),
    ("401", FailureKind::Rejected, |_| vec![whole("401 Who", "www-authenticate: Bearer\r\n", "")]),
    ("401 without a challenge", FailureKind::Rejected, |_| vec![whole("401 Who", "", "")]),
    ("403", FailureKind::Rejected, |_| vec![whole("403 No", "", "")]),
    ("403 with a scope", FailureKind::Rejected, |_| {
        vec![whole("403 No", "www-authenticate: Bearer error=\"insufficient_scope\", scope=\"a\"\r\n", "")]
    }),
    ("405", FailureKind::Rejected, |_| vec![whole("405 No", "", "")]),
    ("429", FailureKind::Rejected, |_| vec![whole("429 Slow down", "", "")]),
    ("redirect", FailureKind::Rejected, |_| vec![whole("307 There", "location: http://127.0.0.1:1/\r\n", "")]),
    ("unknown tool", FailureKind::Rejected, |asked| vec![as_json(&error(asked, -32602, "unknown tool"))]),
    ("unknown method", FailureKind::Rejected, |asked| vec![as_json(&error(asked, -32601, "what?"))]),
    ("internal error", FailureKind::Unknown, |asked| vec![as_json(&error(asked, -32603, "oops"))]),
    ("an error of its own", FailureKind::Unknown, |asked| vec![as_json(&error(asked, 17, "oops"))]),
    ("400 with an answer", FailureKind::Rejected, |asked| {
        vec![whole("400 Bad", JSON, &error(asked, -32602, "bad").to_string())]
    }),
    ("500 with an answer", FailureKind::Unknown, |asked| {
        vec![whole("500 Bad", JSON, &error(asked, -32603, "bad").to_string())]
    }),
    ("a stream without an answer", FailureKind::Unknown, |_| vec![events(), last_chunk()]),
    ("a stream that is cut", FailureKind::Unknown, |_| vec![events(), chunk("data: {\"json"), Do::Close]),
    ("a stream of no JSON", FailureKind::Unknown, |_| vec![events(), event(None, "hello"), last_chunk()]),
    ("a list where a result belongs", FailureKind::Unknown, |asked| {
        vec![as_json(&json!({ "jsonrpc": "2.0", "id": asked.id(), "result": { "tools": [] } }))]
    }),
    ("a wrong id and no other", FailureKind::Unknown, |_| {
        let other = json!({ "jsonrpc": "2.0", "id": 4711, "result": { "content": [] } });
        vec![events(), event(None, &other.to_string()), last_chunk()]
    }),
    ("too many parts", FailureKind::Unknown, |asked| {
        let content = vec![json!({ "type": "text", "text": "" }); 1025];
        vec![as_json(&json!({ "jsonrpc": "2.0", "id": asked.id(), "result": { "content": content } }))]
    }),
    ("a result that is too long", FailureKind::Unknown, |asked| {
        vec![as_json(&result(asked, &"a".repeat(9 * 1024 * 1024)))]
    }),
];

#[tokio::test]
async fn every_bad_answer_is_a_failure_of_the_right_kind() {
    every_bad_answer(Protocol::V2025_11_25, |answer| Box::new(legacy(answer))).await;
}

#[tokio::test]
async fn so_it_is_without_sessions() {
    every_bad_answer(Protocol::V2026_07_28, |answer| Box::new(modern(answer))).await;
}

async fn every_bad_answer(protocol: Protocol, server: fn(Answer) -> Server) {
    for (name, kind, answer) in ANSWERS {
        let peer = Peer::start(server(*answer)).await;
        let server = over_http(&peer.url(), protocol, patient());
        let mut call = call("pay", json!({}));
        call.timeout = Duration::from_secs(3);
        let failure = ended(&server, call).await.expect_err(name);
        assert_eq!(failure.kind, *kind, "{name}: {failure}");
        assert!(!failure.message.contains("sesame"), "{name}: {failure}");
        assert_eq!(peer.of("tools/call").len(), 1, "{name}: nothing is sent twice");
    }
}

#[tokio::test]
async fn silence_ends_with_the_calls_own_timeout() {
    let peer = Peer::start(legacy(|_| vec![Do::Hang])).await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    let mut call = call("pay", json!({}));
    call.timeout = Duration::from_millis(300);
    let failure = ended(&server, call).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unknown);
    peer.until(|asked| asked.iter().any(|asked| asked.method() == "notifications/cancelled")).await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_sent_no_call() {
    let peer = Peer::start(|_| vec![Do::Hang]).await;
    let mut timeouts = patient();
    timeouts.connect = Duration::from_millis(300);
    let failure = ended(&over_http(&peer.url(), Protocol::V2025_11_25, timeouts), call("pay", json!({}))).await;
    assert_eq!(failure.unwrap_err().kind, FailureKind::NotSent);
}

#[tokio::test]
async fn nobody_there_means_not_sent() {
    let peer = Peer::start(legacy(|_| Vec::new())).await;
    let url = format!("http://127.0.0.1:{}/mcp", free_port());
    drop(peer);
    for protocol in [Protocol::V2025_11_25, Protocol::V2026_07_28, Protocol::Newest] {
        let failure = ended(&over_http(&url, protocol, patient()), call("pay", json!({}))).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::NotSent, "{failure}");
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn dropping_a_call_cancels_it() {
    let peer = Peer::start(legacy(|_| vec![events(), chunk(": wait\n\n"), Do::Hang])).await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    let mut stream = server.call(call("pay", json!({})));
    tokio::select! {
        _ = stream.next() => panic!("there is no answer"),
        () = peer.until(|asked| asked.iter().any(|asked| asked.method() == "tools/call")) => {}
    }
    let id = peer.of("tools/call")[0].id();
    drop(stream);
    peer.until(|asked| asked.iter().any(|asked| asked.method() == "notifications/cancelled")).await;
    assert_eq!(peer.of("notifications/cancelled")[0].json()["params"]["requestId"], id);
}

#[tokio::test]
async fn a_second_answer_to_the_same_request_is_ignored() {
    let peer = Peer::start(legacy(|asked| {
        let once = event(None, &result(asked, "first").to_string());
        vec![events(), once, event(None, &result(asked, "second").to_string()), last_chunk()]
    }))
    .await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    for _ in 0..3 {
        let returned = ended(&server, call("pay", json!({}))).await.unwrap();
        assert_eq!(returned.content, [Content::Text("first".to_owned())]);
    }
}

#[tokio::test]
async fn a_cut_stream_is_resumed_where_it_was() {
    let peer = Peer::start(|asked: &Asked| {
        if asked.is("GET") && asked.header("last-event-id") == Some("e-1") {
            let result = json!({
                "jsonrpc": "2.0", "id": 1, "result": { "content": [{ "type": "text", "text": "late" }] },
            });
            return vec![events(), event(Some("e-2"), &result.to_string()), last_chunk()];
        }
        legacy(|_| vec![events(), chunk("id: e-1\nretry: 10\ndata: \n\n"), last_chunk()])(asked)
    })
    .await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    let returned = ended(&server, call("pay", json!({}))).await.unwrap();
    assert_eq!(returned.content, [Content::Text("late".to_owned())]);
    assert_eq!(peer.of("tools/call").len(), 1);
}

#[tokio::test]
async fn an_expired_session_is_made_again_and_the_call_sent_once_more() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let peer = Peer::start(legacy(move |asked| match count.fetch_add(1, Ordering::Relaxed) {
        1 => vec![whole("404 Gone", "", "")],
        _ => vec![as_json(&result(asked, "paid"))],
    }))
    .await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    ended(&server, call("pay", json!({}))).await.unwrap();
    ended(&server, call("pay", json!({}))).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert_eq!(peer.of("initialize").len(), 2);
    assert!(peer.of("tools/call").iter().all(|asked| asked.header("idempotency-key") == Some("key-1")));
}

#[tokio::test]
async fn a_list_without_end_is_refused() {
    let peer = Peer::start(|asked: &Asked| {
        if asked.method() == "tools/list" {
            let tool = json!({ "name": "a", "inputSchema": { "type": "object" } });
            let result = json!({ "tools": [tool], "nextCursor": "more" });
            return vec![as_json(&json!({ "jsonrpc": "2.0", "id": asked.id(), "result": result }))];
        }
        legacy(|_| Vec::new())(asked)
    })
    .await;
    let failure = over_http(&peer.url(), Protocol::V2025_11_25, patient()).list().await.unwrap_err();
    assert!(failure.message.contains("pages"), "{failure}");
}
