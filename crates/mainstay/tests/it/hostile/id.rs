//! Ids of nothing, of other wires and of other tenants, keys that open nothing, absurd pages and cursors.

use serde_json::json;

use super::{CREATES, SCRIPT, Siege, refused};
use crate::{
    http::{Request, data, exchange, open},
    server::{Home, Server},
};

/// One object of each kind: session, turn, event, response, conversation and agent.
async fn objects(server: &Server) -> Vec<String> {
    let agent = server.post("/v1/agents", &json!({ "model": "mock" })).await.json();
    let body = json!({ "agent": { "model": "mock" }, "input": "x", "stream": true, "environment": { "type": "none" } });
    let request = Request::post("/v1/agents/sessions", &body).key(&server.key);
    let mut stream = open(server.address, &request).await.unwrap();
    let first = stream.event().await.unwrap().unwrap();
    let second = stream.event().await.unwrap().unwrap();
    let response = server.post("/v1/responses", &json!({ "model": "mock", "input": "x" })).await.json();
    let conversation = server.post("/v1/conversations", &json!({})).await.json();
    let ids = [
        &data(&first)["session"]["id"],
        &data(&second)["turn"]["id"],
        &data(&first)["event_id"],
        &response["id"],
        &response["output"][0]["id"],
        &conversation["id"],
        &agent["id"],
    ];
    ids.map(|id| id.as_str().expect("an id").to_owned()).to_vec()
}

/// Every path that names one object.
fn paths(id: &str) -> Vec<Request> {
    let get = [
        format!("/v1/agents/{id}"),
        format!("/v1/agents/sessions/{id}"),
        format!("/v1/agents/sessions/{id}/events"),
        format!("/v1/agents/sessions/{id}/items"),
        format!("/v1/agents/sessions/{id}/turns"),
        format!("/v1/agents/sessions/{id}/turns/{id}"),
        format!("/v1/agents/sessions/{id}/subagents"),
        format!("/v1/responses/{id}"),
        format!("/v1/responses/{id}?stream=true"),
        format!("/v1/responses/{id}/input_items"),
        format!("/v1/conversations/{id}"),
        format!("/v1/conversations/{id}/items"),
        format!("/v1/conversations/{id}/items/{id}"),
        format!("/v1/models/{id}"),
        format!("/mainstay/v1/sessions/{id}"),
        format!("/mainstay/v1/sessions/{id}/journal"),
    ];
    let message = json!({ "events": [{ "type": "agent.session.input.message", "input": "x" }] });
    let item = json!({ "items": [{ "role": "user", "content": "x" }] });
    let change = json!({ "metadata": {} });
    let post = [
        (format!("/v1/agents/{id}"), &change),
        (format!("/v1/agents/sessions/{id}"), &change),
        (format!("/v1/agents/sessions/{id}/events"), &message),
        (format!("/v1/responses/{id}/cancel"), &change),
        (format!("/v1/conversations/{id}"), &change),
        (format!("/v1/conversations/{id}/items"), &item),
        (format!("/mainstay/v1/sessions/{id}/fork"), &change),
    ];
    let delete = [
        format!("/v1/agents/{id}"),
        format!("/v1/agents/sessions/{id}"),
        format!("/v1/responses/{id}"),
        format!("/v1/conversations/{id}"),
    ];
    let get = get.into_iter().map(Request::get);
    let post = post.into_iter().map(|(path, body)| Request::post(path, body));
    get.chain(post).chain(delete.into_iter().map(|path| Request::new("DELETE", path))).collect()
}

#[tokio::test]
async fn ids_of_nothing_and_of_other_wires() {
    let siege = Siege::begin("ids").await;
    let ids = objects(&siege.server).await;
    let fits = |path: &str, id: &str| {
        let prefix = id.split('_').next().unwrap();
        match path.split('/').nth(2).unwrap() {
            "agents" if path.starts_with("/v1/agents/sessions/") => prefix == "sess" && !path.contains("/turns/"),
            "agents" => prefix == "agent",
            "responses" => prefix == "resp",
            "v1" => prefix == "sess",
            _ => prefix == "conv" && !path.contains("/items/"),
        }
    };
    let absent = "0".repeat(29);
    let forged = ["sess", "turn", "evt", "resp", "conv", "agent", "msg"].map(|prefix| format!("{prefix}_{absent}"));
    let odd = ["x", "sess_", "resp_%00", "%ff", "..%2f..%2fapi-key", "conv_%F0%9F%92%A5", "-1", &"9".repeat(9_000)];
    for id in ids.iter().map(String::as_str).chain(forged.iter().map(String::as_str)).chain(odd) {
        let is_real = ids.iter().any(|real| real == id);
        for request in paths(id) {
            if is_real && fits(&request.path, id) {
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
    let secret = std::env::temp_dir().join(format!("mainstay-it-key-{}", std::process::id()));
    std::fs::write(&secret, "msk-of-another").unwrap();
    let key = format!("[[key]]\ntenant = \"other\"\nprincipal = \"x\"\nkey = {{ file = {secret:?} }}\n");
    let siege = Siege::of(Home::new("tenants", SCRIPT, &key)).await;
    let _ = std::fs::remove_file(&secret);
    let other = async |request: Request| exchange(siege.server.address, &request.key("msk-of-another")).await.unwrap();
    let ids = objects(&siege.server).await;
    for id in &ids {
        for request in paths(id) {
            let what = format!("{} {}", request.method, request.path);
            refused(&other(request).await, 404, &what);
        }
    }
    let [session, _, _, response, item, conversation, agent] = &ids[..] else { panic!("seven ids") };
    let input = json!([{ "type": "item_reference", "id": item }]);
    for (path, body, param) in [
        (
            "/v1/responses",
            json!({ "model": "mock", "input": "x", "previous_response_id": response }),
            "previous_response_id",
        ),
        ("/v1/responses", json!({ "model": "mock", "input": "x", "conversation": conversation }), "conversation"),
        ("/v1/responses", json!({ "model": "mock", "input": input }), "input[0].id"),
        ("/v1/agents/sessions", json!({ "agent_id": agent, "environment": { "type": "none" } }), "agent_id"),
    ] {
        let reply = other(Request::post(path, &body)).await;
        let error = refused(&reply, reply.status, path);
        assert!(matches!(reply.status, 400 | 404), "{path} {body}: {error}");
        assert_eq!(error["param"], param, "{path} {body}: {error}");
    }
    for path in ["/v1/agents", "/v1/agents/sessions"] {
        assert_eq!(other(Request::get(path)).await.json()["data"], json!([]), "{path}");
    }
    let own = siege.server.get(&format!("/v1/agents/sessions/{session}")).await;
    assert_eq!(own.status, 200, "the owner still has it: {}", own.text);
    siege.end().await;
}

#[tokio::test]
async fn keys_that_open_nothing() {
    let siege = Siege::begin("keys").await;
    let key = &siege.server.key;
    for value in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer x".to_owned(),
        format!("Basic {key}"),
        format!("Bearer {}", &key[..key.len() - 1]),
        format!("Bearer {key}x"),
        format!("Bearer {}", key.to_uppercase()),
        format!("Bearer {}", "x".repeat(10_000)),
    ] {
        for request in paths("sess_x").into_iter().chain(CREATES.map(|path| Request::post(path, &json!({})))) {
            let what = format!("{value} {} {}", request.method, request.path);
            let reply = exchange(siege.server.address, &request.header("authorization", &*value)).await.unwrap();
            assert_eq!(refused(&reply, 401, &what)["code"], "invalid_api_key");
        }
    }
    siege.end().await;
}

#[tokio::test]
async fn absurd_pages_and_cursors() {
    let siege = Siege::begin("pages").await;
    let ids = objects(&siege.server).await;
    let [session, turn, event, response, item, conversation, _] = &ids[..] else { panic!("seven ids") };
    let lists = [
        "/v1/agents".to_owned(),
        "/v1/agents/sessions".to_owned(),
        format!("/v1/agents/sessions/{session}/items"),
        format!("/v1/agents/sessions/{session}/turns"),
        format!("/v1/agents/sessions/{session}/turns/{turn}/items"),
        format!("/v1/responses/{response}/input_items"),
        format!("/v1/conversations/{conversation}/items"),
    ];
    let huge = "9".repeat(5_000);
    for list in &lists {
        assert_eq!(siege.server.get(list).await.status, 200, "{list}");
        for query in [
            "limit=0",
            "limit=-1",
            "limit=101",
            "limit=1e3",
            "limit=x",
            "order=up",
            "after=x",
            "after=%00",
            "after=%",
            "limit=18446744073709551616",
            &format!("limit={huge}"),
            &format!("after={huge}"),
        ] {
            let reply = siege.server.get(&format!("{list}?{query}")).await;
            refused(&reply, 400, &format!("{list}?{query}"));
        }
    }
    let events = format!("/v1/agents/sessions/{session}/events");
    let far = format!("{}_99999999_0_0", event.rsplitn(4, '_').nth(3).unwrap());
    let foreign = format!("evt_{}_1_0_0", "0".repeat(29));
    for cursor in ["x", "evt_", "-1", "0", &far, &foreign, &format!("{event}x"), &huge, item] {
        let by_header = Request::get(&*events).header("last-event-id", cursor);
        refused(&siege.server.send(by_header).await, 400, cursor);
        refused(&siege.server.get(&format!("{events}?after={cursor}")).await, 400, cursor);
    }
    for value in ["-1", "x", "1.5", "18446744073709551616", &huge] {
        let reply = siege.server.get(&format!("/v1/responses/{response}?stream=true&starting_after={value}")).await;
        assert_eq!(refused(&reply, 400, value)["param"], "starting_after");
    }
    let reply =
        siege.server.get(&format!("/v1/responses/{response}?stream=true&starting_after=18446744073709551614")).await;
    assert_eq!((reply.status, &*reply.text), (200, "data: [DONE]\n\n"), "after the end there is only the end");
    refused(&siege.server.get(&format!("/v1/responses/{response}?starting_after=1")).await, 400, "without a stream");
    siege.end().await;
}
