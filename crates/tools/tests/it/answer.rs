//! A server that behaves: what goes out, what comes back.

use mainstay_tools::{Step, Toolbox as _, mcp::Protocol};
use mainstay_vocabulary::Content;
use serde_json::json;

use crate::{
    call, ended, over_http, patient,
    peer::{Peer, as_json, chunk, event, events, last_chunk, legacy, result},
    steps,
};

#[tokio::test]
async fn tools_are_listed_with_all_that_was_told() {
    let peer = Peer::start(legacy(|_| Vec::new())).await;
    let listing = over_http(&peer.url(), Protocol::Newest, patient()).list().await.unwrap();
    assert_eq!(listing.server.as_deref(), Some("peer 1.0"));
    assert_eq!(listing.protocol.as_deref(), Some("2025-11-25"));
    let [tool] = &listing.tools[..] else { panic!("{listing:?}") };
    assert_eq!((tool.name.as_str(), tool.title.as_deref()), ("pay", Some("Pay")));
    assert_eq!(tool.annotations.destructive, Some(true));
    assert_eq!(tool.annotations.idempotent, Some(false));
    assert_eq!(tool.annotations.read_only, None);
    assert_eq!(tool.parameters["properties"]["to"]["type"], "string");
    assert!(peer.asked.lock().unwrap().iter().all(|asked| asked.header("x-api-key") == Some("sesame")));
}

#[tokio::test]
async fn the_idempotency_key_goes_out_as_header_and_meta() {
    let peer = Peer::start(legacy(|asked| vec![as_json(&result(asked, "paid"))])).await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    let mut call = call("pay", json!({ "to": "Ada" }));
    call.meta.insert("traceparent".to_owned(), "00-1-2-3".into());
    call.meta.insert("io.modelcontextprotocol/protocolVersion".to_owned(), "1".into());
    let returned = ended(&server, call).await.unwrap();
    assert_eq!(returned.content, [Content::Text("paid".to_owned())]);
    let calls = peer.of("tools/call");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].header("idempotency-key"), Some("key-1"));
    let params = &calls[0].json()["params"];
    assert_eq!(params["_meta"]["mainstay/idempotency_key"], "key-1");
    assert_eq!(params["_meta"]["traceparent"], "00-1-2-3");
    assert!(params["_meta"].get("io.modelcontextprotocol/protocolVersion").is_none());
    assert_eq!(params["arguments"], json!({ "to": "Ada" }));
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_poll() {
    let peer = Peer::start(legacy(|asked| vec![as_json(&result(asked, "paid"))])).await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    let stream = server.call(call("pay", json!({})));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    assert_eq!(*peer.connections.lock().unwrap(), 0);
}

#[tokio::test]
async fn progress_comes_before_the_result() {
    let peer = Peer::start(legacy(|asked| {
        let token = asked.json()["params"]["_meta"]["progressToken"].clone();
        let progress = json!({
            "jsonrpc": "2.0", "method": "notifications/progress",
            "params": { "progressToken": token, "progress": 1, "total": 2, "message": "half" },
        });
        let mut answer = vec![events(), chunk(": hello\n\n"), event(None, &progress.to_string())];
        answer.extend([event(None, &result(asked, "done").to_string()), last_chunk()]);
        answer
    }))
    .await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    let (steps, ended) = steps(&server, call("pay", json!({}))).await;
    assert_eq!(ended.unwrap().content, [Content::Text("done".to_owned())]);
    let half = Step::Progress { done: 1.0, total: Some(2.0), message: Some("half".to_owned()) };
    assert_eq!(steps, [half]);
}

#[tokio::test]
async fn parts_of_every_kind_come_back() {
    let peer = Peer::start(legacy(|asked| {
        let content = json!([
            { "type": "text", "text": "a" },
            { "type": "image", "data": "AAAA", "mimeType": "image/png" },
            { "type": "audio", "data": "BBBB", "mimeType": "audio/mpeg" },
            { "type": "resource_link", "uri": "https://example.com/x", "name": "x" },
            { "type": "resource", "resource": { "uri": "file:///t", "text": "inside" } },
            { "type": "resource", "resource": { "uri": "file:///b", "blob": "CCCC", "mimeType": "a/b" } },
        ]);
        let result = json!({ "content": content, "structuredContent": { "n": 1 }, "isError": true });
        vec![as_json(&json!({ "jsonrpc": "2.0", "id": asked.id(), "result": result }))]
    }))
    .await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    let returned = ended(&server, call("pay", json!({}))).await.unwrap();
    assert!(returned.is_error);
    assert_eq!(returned.structured, Some(json!({ "n": 1 })));
    let file = |url: &str, name: Option<&str>, kind: Option<&str>| Content::File {
        url: url.to_owned(),
        name: name.map(str::to_owned),
        media_type: kind.map(str::to_owned),
    };
    let expected = [
        Content::Text("a".to_owned()),
        Content::Image { url: "data:image/png;base64,AAAA".to_owned(), detail: None },
        file("data:audio/mpeg;base64,BBBB", None, Some("audio/mpeg")),
        file("https://example.com/x", Some("x"), None),
        Content::Text("inside".to_owned()),
        file("data:a/b;base64,CCCC", Some("file:///b"), Some("a/b")),
    ];
    assert_eq!(returned.content, expected);
}

#[tokio::test]
async fn a_connection_without_use_is_closed_and_made_again() {
    let peer = Peer::start(legacy(|asked| vec![as_json(&result(asked, "paid"))])).await;
    let server = over_http(&peer.url(), Protocol::V2025_11_25, patient());
    ended(&server, call("pay", json!({}))).await.unwrap();
    assert!(!server.rest().await, "it was used since");
    assert!(server.rest().await);
    peer.until(|asked| asked.iter().any(|asked| asked.is("DELETE"))).await;
    ended(&server, call("pay", json!({}))).await.unwrap();
    assert_eq!(peer.of("initialize").len(), 2);
}
