//! Bodies that are no JSON objects, and fields that are not what they must be: each is named.

use serde_json::{Value, json};

use super::{CREATES, Siege, post, refused};

#[tokio::test]
async fn bodies_that_are_no_json_objects() {
    let siege = Siege::begin("json").await;
    let deep = |open: &str, close: &str| format!("{{\"input\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
    let bodies: [Vec<u8>; 14] = [
        b"{".to_vec(),
        b"{\"model\":\"mock\",}".to_vec(),
        b"{\"model\":\"mock\"} {}".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"\"model\"".to_vec(),
        b"model=mock".to_vec(),
        b"\xff\xfe\xfd".to_vec(),
        b"{\"model\":\"\xc3\x28\"}".to_vec(),
        b"{\"model\":\"\\ud800\"}".to_vec(),
        b"{\"model\":1e999999}".to_vec(),
        b"{\"model\":\"mock\x00\"}".to_vec(),
        deep("[", "]").into_bytes(),
        deep("{\"a\":", "}").into_bytes(),
    ];
    for path in CREATES {
        for body in &bodies {
            let reply = siege.server.send(post(path, body.clone())).await;
            refused(&reply, 400, &format!("{path} {}", String::from_utf8_lossy(body)));
        }
    }
    siege.end().await;
}

/// A path, a body, and the field of it that is wrong.
type Wrong = (&'static str, Value, &'static str);

/// A body with one field set to something else.
fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// More pairs of metadata than there may be.
fn many() -> Value {
    (0..17).map(|number| (number.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>().into()
}

fn wrong_objects() -> Vec<Wrong> {
    let agent = |field: Value| json!({ "agent": field, "input": "x", "environment": { "type": "none" } });
    vec![
        ("/v1/agents", json!({}), "model"),
        ("/v1/agents", json!({ "model": 5 }), "model"),
        ("/v1/agents", json!({ "model": "mock", "name": [] }), "name"),
        ("/v1/agents", json!({ "model": "mock", "name": "n".repeat(300) }), "name"),
        ("/v1/agents", json!({ "model": "mock", "tools": {} }), "tools"),
        ("/v1/agents", json!({ "model": "mock", "tools": [5] }), "tools[0]"),
        ("/v1/agents", json!({ "model": "mock", "tools": [{ "type": "function" }] }), "tools[0].name"),
        ("/v1/agents", json!({ "model": "mock", "metadata": { "a": 1 } }), "metadata.a"),
        ("/v1/agents", json!({ "model": "mock", "reasoning": "high" }), "reasoning"),
        ("/v1/agents", json!({ "model": "mock", "text": 1 }), "text"),
        ("/v1/agents/sessions", agent(json!("x")), "agent"),
        ("/v1/agents/sessions", agent(json!({ "model": [] })), "agent.model"),
        ("/v1/agents/sessions", agent(json!({ "model": "mock", "instructions": 5 })), "agent.instructions"),
        ("/v1/agents/sessions", agent(json!({ "model": "mock", "tools": "all" })), "agent.tools"),
        ("/v1/conversations", json!({ "items": 5 }), "items"),
        ("/v1/conversations", json!({ "items": [5] }), "items[0]"),
        ("/v1/conversations", json!({ "metadata": [] }), "metadata"),
        ("/v1/responses", json!({ "input": "x" }), "model"),
        ("/v1/responses", json!({ "model": "mock" }), "input"),
        ("/v1/responses", json!({ "model": "absent", "input": "x" }), "model"),
    ]
}

fn wrong_sessions() -> Vec<Wrong> {
    let body = json!({ "agent": { "model": "mock" }, "input": "x", "environment": { "type": "none" } });
    let message = |content: Value| json!([{ "type": "message", "role": "user", "content": content }]);
    let cases = [
        ("input", json!(5), "input"),
        ("input", json!([]), "input"),
        ("input", json!([5]), "input[0]"),
        ("input", message(json!({})), "input[0].content"),
        ("input", message(json!([{ "type": "input_text" }])), "input[0].content[0].text"),
        ("stream", json!("yes"), "stream"),
        ("metadata", json!({ "a": 1 }), "metadata.a"),
        ("metadata", many(), "metadata"),
        ("environment", json!([]), "environment"),
        ("environment", json!({ "type": "moon" }), "environment.type"),
        ("agent_id", json!(7), "agent_id"),
        ("vault_ids", json!("v"), "vault_ids"),
        ("spend_control", json!({ "limit": 5 }), "spend_control"),
    ];
    cases.map(|(name, value, param)| ("/v1/agents/sessions", with(body.clone(), name, value), param)).to_vec()
}

fn wrong_responses() -> Vec<Wrong> {
    let body = json!({ "model": "mock", "input": "x" });
    let cases = [
        ("model", json!({}), "model"),
        ("input", json!(5), "input"),
        ("input", json!([[]]), "input[0]"),
        ("input", json!([{ "type": 5 }]), "input[0].type"),
        ("input", json!([{ "role": "user", "content": 5 }]), "input[0].content"),
        ("input", json!([{ "type": "item_reference", "id": "msg_absent" }]), "input[0].id"),
        ("stream", json!(1), "stream"),
        ("background", json!("no"), "background"),
        ("store", json!([]), "store"),
        ("temperature", json!("hot"), "temperature"),
        ("temperature", json!(1e300), "temperature"),
        ("top_p", json!(-1), "top_p"),
        ("max_output_tokens", json!(-5), "max_output_tokens"),
        ("max_output_tokens", json!(1.5), "max_output_tokens"),
        ("tools", json!(true), "tools"),
        ("tools", json!([{ "type": "function", "name": 5 }]), "tools[0].name"),
        ("tool_choice", json!("maybe"), "tool_choice"),
        ("include", json!([5]), "include[0]"),
        ("metadata", many(), "metadata"),
        ("previous_response_id", json!(5), "previous_response_id"),
        ("previous_response_id", json!("resp_absent"), "previous_response_id"),
        ("conversation", json!(5), "conversation"),
        ("text", json!({ "format": { "type": "odd" } }), "text.format.type"),
        ("reasoning", json!([]), "reasoning"),
        ("truncation", json!("some"), "truncation"),
    ];
    cases.map(|(name, value, param)| ("/v1/responses", with(body.clone(), name, value), param)).to_vec()
}

#[tokio::test]
async fn fields_of_the_wrong_type_are_named() {
    let siege = Siege::begin("fields").await;
    for (path, body, param) in [wrong_objects(), wrong_sessions(), wrong_responses()].concat() {
        let reply = siege.server.post(path, &body).await;
        let error = refused(&reply, 400, &format!("{path} {body}"));
        assert_eq!(error["param"], param, "{path} {body}: {error}");
    }
    siege.end().await;
}

#[tokio::test]
async fn events_of_the_wrong_type_are_named() {
    let siege = Siege::begin("events").await;
    let body = json!({ "agent": { "model": "mock" }, "environment": { "type": "none" } });
    let session = siege.server.post("/v1/agents/sessions", &body).await.json();
    let path = format!("/v1/agents/sessions/{}/events", session["id"].as_str().unwrap());
    let result = |call: Value| json!({ "type": "agent.session.input.tool_result", "call_id": call, "success": true });
    for (events, param) in [
        (json!(5), json!("events")),
        (json!([]), json!("events")),
        (json!(vec![json!({}); 65]), json!("events")),
        (json!([5]), json!("events[0]")),
        (json!([{}]), json!("events[0].type")),
        (json!([{ "type": "odd" }]), json!("events[0].type")),
        (json!([{ "type": "agent.session.input.message" }]), json!("events[0].input")),
        (json!([{ "type": "agent.session.input.message", "input": 5 }]), json!("events[0].input")),
        (json!([result(json!(5))]), json!("events[0].call_id")),
        (json!([result(json!("call_absent"))]), Value::Null),
    ] {
        let reply = siege.server.post(&path, &json!({ "events": events })).await;
        assert_eq!(refused(&reply, 400, &events.to_string())["param"], param, "{events}");
    }
    let cancel = json!({ "events": [{ "type": "agent.session.input.cancel" }] });
    refused(&siege.server.post(&path, &cancel).await, 409, "nothing to cancel");
    siege.end().await;
}
