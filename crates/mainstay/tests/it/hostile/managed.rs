//! The same against the Claude Managed Agents wire: fields, ids, cursors and keys that are wrong, in that vendor's shape.

use serde_json::{Value, json};

use super::{SCRIPT, Siege, post};
use crate::{
    http::{Reply, Request, exchange},
    server::{Home, Server},
};

const BASE: &str = "/anthropic/v1";

/// The answer is an error of this vendor's with this status; its `error`.
fn refused(reply: &Reply, status: u16, what: &str) -> Value {
    let shown: String = what.chars().take(200).collect();
    assert_eq!(reply.status, status, "{shown}: {}", reply.text);
    let mut body = reply.json();
    assert_eq!(body["type"], "error", "{shown}");
    assert!(body["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{shown}");
    let error = body["error"].take();
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{shown}: {error}");
    assert!(error["type"].as_str().is_some_and(|kind| kind.ends_with("_error")), "{shown}: {error}");
    error
}

/// An agent, a session and one of its events.
async fn objects(server: &Server) -> [String; 3] {
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let agent = server.post(&format!("{BASE}/agents"), &json!({ "name": "n", "model": "mock" })).await.json();
    let session = server.post(&format!("{BASE}/sessions"), &json!({ "agent": agent["id"] })).await.json();
    let session = text(&session["id"]);
    let say = json!({ "events": [{ "type": "user.message", "content": [{ "type": "text", "text": "x" }] }] });
    let sent = server.post(&format!("{BASE}/sessions/{session}/events"), &say).await.json();
    [text(&agent["id"]), session, text(&sent["data"][0]["id"])]
}

/// Every path that names one object.
fn paths(id: &str) -> Vec<Request> {
    let get = [
        "agents/ID",
        "agents/ID?version=1",
        "agents/ID/versions",
        "sessions/ID",
        "sessions/ID/events",
        "sessions/ID/events/stream",
        "sessions/ID/threads",
        "sessions/ID/threads/ID",
        "sessions/ID/threads/ID/events",
        "sessions/ID/threads/ID/stream",
        "sessions/ID/resources",
        "sessions/ID/resources/ID",
        "environments/ID",
        "models/ID",
    ];
    let say = json!({ "events": [{ "type": "user.message", "content": [{ "type": "text", "text": "x" }] }] });
    let post = [
        ("agents/ID", json!({ "name": "x" })),
        ("agents/ID/archive", json!({})),
        ("sessions/ID", json!({ "title": "x" })),
        ("sessions/ID/archive", json!({})),
        ("sessions/ID/events", say),
        ("sessions/ID/threads/ID/archive", json!({})),
    ];
    let path = |path: &str| format!("{BASE}/{}", path.replace("ID", id));
    let get = get.into_iter().map(|found| Request::get(path(found)));
    let post = post.into_iter().map(|(found, body)| Request::post(path(found), &body));
    get.chain(post).chain([Request::new("DELETE", path("sessions/ID"))]).collect()
}

#[tokio::test]
async fn ids_of_nothing_and_of_other_kinds() {
    let siege = Siege::begin("managed-ids").await;
    let ids = objects(&siege.server).await;
    let plain = ids[1].trim_start_matches("sesn_").to_owned();
    let forged = ["sesn", "sess", "sthr", "sevt", "sevt_at", "agent"].map(|prefix| format!("{prefix}_{plain}"));
    let odd = ["x", "sesn_", "agent_%00", "%ff", "..%2f..%2fkey", "sevt_%F0%9F%92%A5", "-1", &"9".repeat(9_000)];
    let all = ids.iter().map(String::as_str).chain(forged.iter().map(String::as_str)).chain(odd);
    for id in all {
        for request in paths(id) {
            let of_sessions = request.path.contains("/sessions/");
            let twice = request.path.matches(id).count() > 1;
            let is_real = (of_sessions && id == ids[1] && !twice) || (!of_sessions && id == ids[0]);
            if is_real {
                continue;
            }
            let what = format!("{} {}", request.method, request.path);
            let reply = siege.server.send(request).await;
            let status = if reply.status == 400 && id.starts_with('%') { 400 } else { 404 };
            refused(&reply, status, &what);
        }
    }
    siege.end().await;
}

#[tokio::test]
async fn other_tenants_see_nothing() {
    let secret = std::env::temp_dir().join(format!("mainstay-it-managed-{}", std::process::id()));
    std::fs::write(&secret, "msk-of-another").unwrap();
    let key = format!("[[key]]\ntenant = \"other\"\nprincipal = \"x\"\nkey = {{ file = {secret:?} }}\n");
    let siege = Siege::of(Home::new("managed-tenants", SCRIPT, &key)).await;
    let _ = std::fs::remove_file(&secret);
    let other = async |request: Request| exchange(siege.server.address, &request.key("msk-of-another")).await.unwrap();
    for id in &objects(&siege.server).await {
        for request in paths(id) {
            let what = format!("{} {}", request.method, request.path);
            refused(&other(request).await, 404, &what);
        }
    }
    for list in ["agents?include_archived=true", "sessions?include_archived=true"] {
        let page = other(Request::get(format!("{BASE}/{list}"))).await.json();
        assert_eq!(page["data"], json!([]), "{list}");
    }
    for request in paths("x") {
        let what = format!("{} {} with a wrong key", request.method, request.path);
        let reply = exchange(siege.server.address, &request.key("nobody")).await.unwrap();
        assert_eq!(refused(&reply, 401, &what)["type"], "authentication_error");
    }
    siege.end().await;
}

#[tokio::test]
async fn pages_and_cursors_that_are_none() {
    let siege = Siege::begin("managed-pages").await;
    let [agent, session, event] = objects(&siege.server).await;
    let other = objects(&siege.server).await;
    let lists = [
        "agents".to_owned(),
        format!("agents/{agent}/versions"),
        "sessions".to_owned(),
        format!("sessions/{session}/events"),
        format!("sessions/{session}/threads"),
        "environments".to_owned(),
    ];
    for list in &lists {
        for query in ["limit=0", "limit=-1", "limit=x", "limit=99999999999999999999", "page=%ff"] {
            let reply = siege.server.get(&format!("{BASE}/{list}?{query}")).await;
            refused(&reply, 400, &format!("{list}?{query}"));
        }
    }
    for (list, query) in [
        ("agents", "page=page_x"),
        ("agents", "created_at[near]=2026-01-01T00:00:00Z"),
        ("agents", "created_at[gt]=soon"),
        ("sessions", "page=x"),
        ("sessions", "order=up"),
        ("sessions", "statuses[]=asleep"),
        ("sessions", "agent_version=0"),
    ] {
        refused(&siege.server.get(&format!("{BASE}/{list}?{query}")).await, 400, query);
    }
    let long = "9".repeat(4_000);
    let (end, foreign) = (format!("sevd_{}_99999_1_0", session.trim_start_matches("sesn_")), &other[2]);
    for cursor in ["x", "-1", "00", &session, &long, &end, foreign, &event.replace("sevt_", "sevt_at_at_")] {
        let path = format!("{BASE}/sessions/{session}/events/stream");
        refused(&siege.server.get(&format!("{path}?after={cursor}")).await, 400, cursor);
        refused(&siege.server.get(&format!("{BASE}/sessions/{session}/events?page=page_{cursor}")).await, 400, cursor);
    }
    let path = format!("{BASE}/sessions/{session}/events/stream?event_deltas[]=agent.tool_use");
    refused(&siege.server.get(&path).await, 400, &path);
    siege.end().await;
}

#[tokio::test]
async fn bodies_and_fields_that_are_wrong_are_named() {
    let siege = Siege::begin("managed-fields").await;
    let [agent, session, _] = objects(&siege.server).await;
    let bodies = ["{", "[]", "null", "\u{0}", "{\"a\":1} {}"].map(|body| body.as_bytes().to_vec());
    let deep = format!("{{\"events\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes();
    for path in ["agents".to_owned(), "sessions".to_owned(), format!("sessions/{session}/events")] {
        for body in bodies.iter().chain([&deep]) {
            let reply = siege.server.send(post(&format!("{BASE}/{path}"), body.clone())).await;
            refused(&reply, 400, &path);
        }
    }
    for (path, body, param) in [
        ("agents".to_owned(), json!({ "name": "n" }), "model"),
        ("agents".to_owned(), json!({ "name": "n", "model": [] }), "model"),
        (format!("agents/{agent}"), json!({ "version": -1 }), "version"),
        (format!("agents/{agent}"), json!({ "version": 1e300 }), "version"),
        ("sessions".to_owned(), json!({ "agent": agent, "environment_id": "env_x" }), "environment_id"),
        ("sessions".to_owned(), json!({ "agent": agent, "budget": {} }), "budget"),
        (format!("sessions/{session}"), json!({ "metadata": { "a": [] } }), "metadata.a"),
        (format!("sessions/{session}"), json!({ "agent": { "system": "x" } }), "agent.system"),
        (format!("sessions/{session}/events"), json!({ "events": [{}] }), "events[0].type"),
    ] {
        let reply = siege.server.post(&format!("{BASE}/{path}"), &body).await;
        let error = refused(&reply, 400, &format!("{path} {body}"));
        assert_eq!(error["details"]["param"], param, "{path} {body}: {error}");
    }
    siege.end().await;
}
