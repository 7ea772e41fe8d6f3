//! The native wire that the command line stands on: pages of the journal, forks that are taken once, errors.

use serde_json::{Value, json};

use super::SCRIPT;
use crate::{
    http::Request,
    server::{Home, Server},
};

async fn talk(server: &Server) -> String {
    let body = json!({
        "agent": { "model": "mock" }, "input": "hello", "stream": true, "environment": { "type": "none" },
    });
    let mut incoming =
        crate::http::open(server.address, &Request::post("/v1/agents/sessions", &body).key(&server.key)).await.unwrap();
    while let Some(event) = incoming.event().await.unwrap() {
        if crate::http::field(&event, "event") == Some("agent.session.idle") {
            return crate::http::data(&event)["session"]["id"].as_str().unwrap().to_owned();
        }
    }
    panic!("the stream ended");
}

#[tokio::test]
async fn the_pages_of_a_journal_join_to_the_whole() {
    let home = Home::new("cli-journal", SCRIPT, "");
    let server = home.start();
    let id = talk(&server).await;
    let path = format!("/mainstay/v1/sessions/{id}/journal");
    let whole = server.get(&path).await.json();
    assert_eq!(whole["has_more"], false);
    let mut joined: Vec<Value> = Vec::new();
    loop {
        let after = joined.last().map_or(json!(0), |event| event["sequence"].clone());
        let page = server.get(&format!("{path}?limit=2&after_sequence={after}")).await.json();
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 2);
        joined.extend(data.iter().cloned());
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(json!(joined), whole["data"]);
    let kinds: Vec<_> = joined.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], *kinds.last().unwrap()), ("session_created", "turn_ended"));
    let short = server.get(&format!("/mainstay/v1/sessions/{id}")).await.json();
    assert_eq!(short["events"], joined.last().unwrap()["sequence"]);
    // Nothing has happened since, so nothing comes before the stream's first keep-alive; what comes is after it.
    let cursor = short["cursor"].as_str().unwrap();
    let again = json!({ "events": [{ "type": "agent.session.input.message", "input": "again" }] });
    assert_eq!(server.post(&format!("/v1/agents/sessions/{id}/events"), &again).await.status, 202);
    let follow = Request::get(format!("/v1/agents/sessions/{id}/events")).header("last-event-id", cursor);
    let mut incoming = crate::http::open(server.address, &follow.key(&server.key)).await.unwrap();
    let event = incoming.event().await.unwrap().unwrap();
    assert_eq!(crate::http::field(&event, "event"), Some("agent.session.turn.created"));
}

#[tokio::test]
async fn a_fork_is_made_once_for_each_key() {
    let home = Home::new("cli-fork-once", SCRIPT, "");
    let server = home.start();
    let id = talk(&server).await;
    let path = format!("/mainstay/v1/sessions/{id}/fork");
    let fork = async |key: &str, body: Value| {
        server.send(Request::post(path.clone(), &body).header("idempotency-key", key)).await
    };
    let first = fork("a", json!({ "metadata": { "a": "1" } })).await.json();
    assert_eq!((&first["metadata"]["a"], &first["parent"]["session_id"]), (&json!("1"), &json!(id)));
    assert_eq!(fork("a", json!({ "metadata": { "a": "1" } })).await.json()["id"], first["id"]);
    assert_ne!(fork("b", json!({})).await.json()["id"], first["id"]);
    assert_eq!(fork("a", json!({})).await.status, 409, "another request under the same key");
    let many = server.get("/mainstay/v1/sessions").await.json();
    assert_eq!(many["data"].as_array().unwrap().len(), 3);
    for (body, status) in [(json!({ "turn_id": 1 }), 400), (json!({ "at": 1 }), 400), (json!({ "metadata": [] }), 400)]
    {
        assert_eq!(server.post(&path, &body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn a_turn_that_runs_is_not_forked() {
    let home = Home::new("cli-fork-busy", SCRIPT, "");
    let server = home.start();
    let body = json!({ "agent": { "model": "mock" }, "input": "a long one", "environment": { "type": "none" } });
    let id = server.post("/v1/agents/sessions", &body).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/mainstay/v1/sessions/{id}");
    assert_eq!(server.post(&format!("{path}/fork"), &json!({})).await.status, 409);
    let turn = server.get(&path).await.json()["current_turn_id"].clone();
    assert_eq!(server.post(&format!("{path}/fork"), &json!({ "turn_id": turn })).await.status, 409);
    let cancel = json!({ "events": [{ "type": "agent.session.input.cancel" }] });
    assert_eq!(server.post(&format!("/v1/agents/sessions/{id}/events"), &cancel).await.status, 202);
    assert_eq!(server.post(&format!("{path}/fork"), &json!({ "turn_id": turn })).await.status, 200);
}
