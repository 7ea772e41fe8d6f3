//! What a server tells without being asked: its tools have changed, or it wants something first.

use std::time::Duration;

use mainstay_tools::{FailureKind, Toolbox as _, mcp::Protocol};
use mainstay_vocabulary::Content;
use serde_json::json;

use crate::{
    call, ended, over_http, patient,
    peer::{Asked, Do, Peer, as_json, event, events, legacy, modern, result},
};

#[tokio::test]
async fn a_changed_list_is_heard_on_the_stream_of_a_session() {
    let peer = Peer::start(|asked: &Asked| {
        if asked.is("GET") {
            let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
            return vec![events(), event(None, &changed.to_string()), Do::Hang];
        }
        legacy(|_| Vec::new())(asked)
    })
    .await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    assert_eq!(server.changed(), 0);
    server.list().await.unwrap();
    while server.changed() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.changed(), 1);
}

#[tokio::test]
async fn a_changed_list_is_heard_by_subscription() {
    let peer = Peer::start(modern(|_| Vec::new())).await;
    let server = over_http(&peer.url(), Protocol::Newest, patient());
    let listing = server.list().await.unwrap();
    assert_eq!(listing.protocol.as_deref(), Some("2026-07-28"));
    assert_eq!(listing.server.as_deref(), Some("peer 2.0"));
    while server.changed() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.changed(), 1);
    server.list().await.unwrap();
    assert_eq!(peer.of("subscriptions/listen").len(), 1, "one stream is enough");
}

#[tokio::test]
async fn the_key_goes_out_without_a_session_too() {
    let peer = Peer::start(modern(|asked| vec![as_json(&result(asked, "paid"))])).await;
    let server = over_http(&peer.url(), Protocol::V2026_07_28, patient());
    assert_eq!(ended(&server, call("pay", json!({}))).await.unwrap().content, [Content::Text("paid".to_owned())]);
    let asked = peer.of("tools/call")[0].clone();
    assert_eq!(asked.header("idempotency-key"), Some("key-1"));
    assert_eq!(asked.header("mcp-name"), Some("pay"));
    let meta = asked.json()["params"]["_meta"].clone();
    assert_eq!(meta["mainstay/idempotency_key"], "key-1");
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
}

fn wanting(asked: &Asked, request: &serde_json::Value) -> Do {
    let result = json!({ "resultType": "input_required", "inputRequests": { "q": request }, "requestState": "s-1" });
    as_json(&json!({ "jsonrpc": "2.0", "id": asked.id(), "result": result }))
}

#[tokio::test]
async fn a_question_to_a_person_is_declined_and_the_call_goes_on() {
    let peer = Peer::start(modern(|asked| {
        let params = asked.json()["params"].clone();
        if params["requestState"] == "s-1" && params["inputResponses"]["q"]["action"] == "decline" {
            return vec![as_json(&result(asked, "without"))];
        }
        let schema = json!({ "type": "object", "properties": {} });
        let params = json!({ "message": "sure?", "requestedSchema": schema });
        vec![wanting(asked, &json!({ "method": "elicitation/create", "params": params }))]
    }))
    .await;
    let server = over_http(&peer.url(), Protocol::V2026_07_28, patient());
    assert_eq!(ended(&server, call("pay", json!({}))).await.unwrap().content, [Content::Text("without".to_owned())]);
    let calls = peer.of("tools/call");
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|asked| asked.header("idempotency-key") == Some("key-1")));
}

#[tokio::test]
async fn a_server_that_never_stops_asking_is_given_up() {
    let peer = Peer::start(modern(|asked| vec![wanting(asked, &json!({ "method": "roots/list" }))])).await;
    let server = over_http(&peer.url(), Protocol::V2026_07_28, patient());
    let failure = ended(&server, call("pay", json!({}))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unknown, "{failure}");
    assert_eq!(peer.of("tools/call").len(), 5);
}
