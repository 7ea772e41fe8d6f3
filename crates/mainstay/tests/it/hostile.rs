//! Clients that mean harm or know no better: each gets the right status in the wire's error shape, and the server stays
//! what it was. `raw` sends bytes that are not HTTP.

mod raw;

use serde_json::{Value, json};

use crate::{
    http::{Reply, Request, data, exchange, open},
    server::{Home, Server},
};

/// Slow enough that a stream can be left in its middle.
const SCRIPT: &str = r#"
[[reply]]
repeat = true
steps = [{ text = "one two three four five six seven eight nine ten", delay_ms = 20 }]
"#;

/// How much more memory the server may hold after an attack than before.
const MOST_GROWTH: u64 = 200 << 20;

const CREATES: [&str; 4] = ["/v1/agents", "/v1/agents/sessions", "/v1/responses", "/v1/conversations"];

/// A server under attack, with what it must be compared to.
struct Siege {
    home: Home,
    server: Server,
    resident: u64,
}

impl Siege {
    async fn begin(name: &str) -> Self {
        Self::of(Home::new(name, SCRIPT, "")).await
    }

    async fn of(home: Home) -> Self {
        let server = home.start();
        let siege = Self { resident: server.resident(), home, server };
        siege.check_service().await;
        siege
    }

    async fn check_service(&self) {
        assert_eq!(self.server.get("/healthz").await.status, 200);
        let body = json!({ "model": "mock", "input": "hello" });
        let reply = self.server.post("/v1/responses", &body).await;
        assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some("completed")), "{}", reply.text);
    }

    /// The server serves on, within bounds, and never met anything unforeseen.
    async fn end(self) {
        self.check_service().await;
        let resident = self.server.resident();
        println!("{} MB resident, {} MB before", resident >> 20, self.resident >> 20);
        assert!(resident < self.resident + MOST_GROWTH, "{resident} bytes resident after {}", self.resident);
        self.home.check_log();
    }
}

/// The answer is an error of the wire with this status; its `error`.
fn refused(reply: &Reply, status: u16, what: &str) -> Value {
    let shown: String = what.chars().take(200).collect();
    assert_eq!(reply.status, status, "{shown}: {}", reply.text);
    let error = reply.json()["error"].take();
    let keys: Vec<&String> = error.as_object().expect(&shown).keys().collect();
    assert_eq!(keys, ["message", "type", "param", "code"], "{shown}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{shown}: {error}");
    assert!(error["type"].is_string() && !error["param"].is_number(), "{shown}: {error}");
    error
}

/// A body as it stands.
fn post(path: &str, body: impl Into<Vec<u8>>) -> Request {
    Request { body: body.into(), ..Request::new("POST", path) }
}

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

/// Fields of the creates with what is wrong in them.
fn wrong_fields() -> Vec<(&'static str, Value, &'static str)> {
    let agent = |field: Value| json!({ "agent": field, "input": "x", "environment": { "type": "none" } });
    let session = |name: &str, value: Value| {
        let mut body = json!({ "agent": { "model": "mock" }, "input": "x", "environment": { "type": "none" } });
        body[name] = value;
        body
    };
    let response = |name: &str, value: Value| {
        let mut body = json!({ "model": "mock", "input": "x" });
        body[name] = value;
        body
    };
    let message = |content: Value| json!([{ "type": "message", "role": "user", "content": content }]);
    let mut cases = vec![
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
    ];
    let many: Value = (0..17).map(|number| (number.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    for (name, value, param) in [
        ("input", json!(5), "input"),
        ("input", json!([]), "input"),
        ("input", json!([5]), "input[0]"),
        ("input", message(json!({})), "input[0].content"),
        ("input", message(json!([{ "type": "input_text" }])), "input[0].content[0].text"),
        ("stream", json!("yes"), "stream"),
        ("metadata", json!({ "a": 1 }), "metadata.a"),
        ("metadata", many.clone(), "metadata"),
        ("environment", json!([]), "environment"),
        ("environment", json!({ "type": "moon" }), "environment.type"),
        ("agent_id", json!(7), "agent_id"),
        ("vault_ids", json!("v"), "vault_ids"),
        ("spend_control", json!({ "limit": 5 }), "spend_control"),
    ] {
        cases.push(("/v1/agents/sessions", session(name, value), param));
    }
    for (name, value, param) in [
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
        ("metadata", many, "metadata"),
        ("previous_response_id", json!(5), "previous_response_id"),
        ("previous_response_id", json!("resp_absent"), "previous_response_id"),
        ("conversation", json!(5), "conversation"),
        ("text", json!({ "format": { "type": "odd" } }), "text.format.type"),
        ("reasoning", json!([]), "reasoning"),
        ("truncation", json!("some"), "truncation"),
    ] {
        cases.push(("/v1/responses", response(name, value), param));
    }
    cases
}

#[tokio::test]
async fn fields_of_the_wrong_type_are_named() {
    let siege = Siege::begin("fields").await;
    for (path, body, param) in wrong_fields() {
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
        ("/v1/responses", json!({ "model": "mock", "input": "x", "previous_response_id": response }), "previous_response_id"),
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
        for query in ["limit=0", "limit=-1", "limit=101", "limit=1e3", "limit=x", "order=up", "after=x", "after=%00",
            "after=%", "limit=18446744073709551616", &format!("limit={huge}"), &format!("after={huge}")]
        {
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
    let reply = siege.server.get(&format!("/v1/responses/{response}?stream=true&starting_after=18446744073709551614")).await;
    assert_eq!((reply.status, &*reply.text), (200, "data: [DONE]\n\n"), "after the end there is only the end");
    refused(&siege.server.get(&format!("/v1/responses/{response}?starting_after=1")).await, 400, "without a stream");
    siege.end().await;
}
