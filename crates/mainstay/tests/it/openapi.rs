//! The OpenAPI document against what is served: every operation is there, every route is in it, objects have its shape.

use std::{collections::BTreeSet, fs, path::Path};

use mainstay_wire::openapi::{document, operations};
use serde_json::{Value, json};

use crate::{
    http::{Request, exchange},
    server::{Home, Server},
};

const SCRIPT: &str = "[[reply]]\nrepeat = true\nsteps = [{ text = \"Yes.\" }]\n";

/// Routes that answer that they are not served.
const UNSERVED: [&str; 31] = [
    "/agents/environments",
    "/agents/environments/{}",
    "/agents/sessions/{}/artifacts/{}",
    "/agents/sessions/{}/subagents/{}",
    "/vaults",
    "/vaults/{}",
    "/anthropic/v1/deployments",
    "/anthropic/v1/deployments/{}",
    "/anthropic/v1/deployment_runs",
    "/anthropic/v1/deployment_runs/{}",
    "/anthropic/v1/dreams",
    "/anthropic/v1/dreams/{}",
    "/anthropic/v1/environments/{}/archive",
    "/anthropic/v1/environments/{}/work",
    "/anthropic/v1/environments/{}/work/{}",
    "/anthropic/v1/files",
    "/anthropic/v1/files/{}",
    "/anthropic/v1/memory_stores",
    "/anthropic/v1/memory_stores/{}",
    "/anthropic/v1/messages/batches",
    "/anthropic/v1/messages/batches/{}",
    "/anthropic/v1/sessions/{}/resources/{}",
    "/anthropic/v1/sessions/{}/threads/{}/archive",
    "/anthropic/v1/skills",
    "/anthropic/v1/skills/{}",
    "/anthropic/v1/tunnels",
    "/anthropic/v1/tunnels/{}",
    "/anthropic/v1/user_profiles",
    "/anthropic/v1/user_profiles/{}",
    "/anthropic/v1/vaults",
    "/anthropic/v1/vaults/{}",
];

#[tokio::test]
async fn every_operation_is_served() {
    let home = Home::new("operations", SCRIPT, "");
    let server = home.start();
    for operation in operations() {
        for base in operation.bases() {
            let path = format!("{base}{}", operation.path.replace(['{', '}'], ""));
            let method = match operation.method {
                "get" => "GET",
                "post" => "POST",
                _ => "DELETE",
            };
            let request = Request { body: b"{}".to_vec(), ..Request::new(method, path) };
            let code = server.send(request.clone()).await.json()["error"]["code"].clone();
            assert!(code != "unknown_url" && code != "method_not_allowed", "{}: {code}", operation.id);
            let status = exchange(server.address, &request).await.unwrap().status;
            assert_eq!(status == 401, !operation.is_open, "{} without a key: {status}", operation.id);
        }
    }
}

#[test]
fn every_route_has_its_operations() {
    let mut routes = BTreeSet::new();
    find_routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/src"), &mut routes);
    let known: BTreeSet<_> = operations().map(|operation| shape_of(operation.path)).collect();
    let unserved: BTreeSet<_> = UNSERVED.iter().map(|path| (*path).to_owned()).collect();
    let all: BTreeSet<_> = known.union(&unserved).cloned().collect();
    assert_eq!(routes, all);
}

/// The paths of all `.route("…")` in the sources of a folder.
fn find_routes(folder: &Path, routes: &mut BTreeSet<String>) {
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            find_routes(&path, routes);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let calls = text.split(".route(").skip(1);
        // The paths of that folder stand in a nest of their own.
        let base = if folder.ends_with("managed") { "/anthropic/v1" } else { "" };
        let paths = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
        routes.extend(paths.map(|path| shape_of(&format!("{base}{path}"))));
    }
}

/// A path without the names of its parameters.
fn shape_of(path: &str) -> String {
    let parts: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
    parts.join("/")
}

#[tokio::test]
async fn objects_have_the_shape_of_the_document() {
    let home = Home::new("shapes", SCRIPT, "");
    let server = home.start();
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut seen = objects(&server).await;
    seen.extend(managed_objects(&server).await);
    assert_eq!(seen.len(), 37);
    for (name, value) in seen {
        let problem = mismatch(&document, &json!({ "$ref": format!("#/components/schemas/{name}") }), &value);
        assert_eq!(problem, None, "{name}: {value:#}");
    }
}

/// One object of every kind, with the name of its schema.
async fn objects(server: &Server) -> Vec<(&'static str, Value)> {
    let post = async |path: &str, body: Value| server.post(path, &body).await.json();
    let get = async |path: String| server.get(&path).await.json();
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let agent = post("/v1/agents", json!({ "model": "mock", "name": "a" })).await;
    let body = json!({ "agent_id": agent["id"], "environment": { "type": "none" }, "input": "Is it?" });
    let session = post("/v1/agents/sessions", body).await;
    let base = format!("/v1/agents/sessions/{}", id(&session));
    let native = format!("/mainstay/v1/sessions/{}", id(&session));
    let target = json!({ "type": "existing_session", "session_id": session["id"], "instructions": "Go on." });
    let body = json!({
        "type": "periodic", "name": "n", "expression": "0 9 * * *", "timezone": "Europe/Berlin", "target": target,
    });
    let automation = post("/v1/agents/automations", body).await;
    let automations = format!("/v1/agents/automations/{}", id(&automation));
    let conversation = post("/v1/conversations", json!({ "items": [{ "role": "user", "content": "Hm." }] })).await;
    let response = post("/v1/responses", json!({ "model": "mock", "input": "Is it?" })).await;
    let items = get(format!("/v1/conversations/{}/items", id(&conversation))).await;
    let compacted = post("/v1/responses/compact", json!({ "model": "mock", "input": "Is it?" })).await;
    let tokens = post("/v1/responses/input_tokens", json!({ "model": "mock", "input": "Is it?" })).await;
    let inputs = get(format!("/v1/responses/{}/input_items", id(&response))).await;
    vec![
        ("AgentList", get("/v1/agents".to_owned()).await),
        ("Agent", agent),
        ("SessionItemList", get(format!("{base}/items")).await),
        ("TurnList", get(format!("{base}/turns")).await),
        ("TraceList", get(format!("{base}/traces")).await),
        ("EmptyList", get(format!("{base}/subagents")).await),
        ("AutomationList", get("/v1/agents/automations".to_owned()).await),
        ("Automation", automation.clone()),
        ("Invocation", post(&format!("{automations}/invocations"), json!({})).await),
        ("InvocationList", get(format!("{automations}/invocations")).await),
        ("AutomationDeleted", server.send(Request::new("DELETE", automations.clone())).await.json()),
        ("SessionList", get("/v1/agents/sessions".to_owned()).await),
        ("SessionInShortList", get("/mainstay/v1/sessions".to_owned()).await),
        ("SessionInShort", get(native.clone()).await),
        ("JournalPage", get(format!("{native}/journal")).await),
        ("SessionInShort", post(&format!("{native}/fork"), json!({})).await),
        ("SessionDeleted", server.send(Request::new("DELETE", base.clone())).await.json()),
        ("Error", get(base).await),
        ("Session", session),
        ("Response", response),
        ("CompactedResponse", compacted),
        ("InputTokens", tokens),
        ("ItemList", inputs),
        ("Conversation", conversation),
        ("ItemList", items),
        ("ModelList", get("/v1/models".to_owned()).await),
    ]
}

/// The same of Anthropic's agents.
async fn managed_objects(server: &Server) -> Vec<(&'static str, Value)> {
    let post = async |path: &str, body: Value| server.post(&format!("/anthropic/v1/{path}"), &body).await.json();
    let get = async |path: &str| server.get(&format!("/anthropic/v1/{path}")).await.json();
    let agent = post("agents", json!({ "name": "a", "model": "mock" })).await;
    let say = json!({ "type": "user.message", "content": [{ "type": "text", "text": "Is it?" }] });
    let session = post("sessions", json!({ "agent": agent["id"], "initial_events": [say] })).await;
    let path = format!("sessions/{}", session["id"].as_str().unwrap());
    let thread = get(&format!("{path}/threads")).await;
    vec![
        ("ManagedAgentList", get("agents").await),
        ("ManagedAgent", agent),
        ("ManagedSessionList", get("sessions").await),
        ("ManagedEventList", get(&format!("{path}/events")).await),
        ("ManagedThread", thread["data"][0].clone()),
        ("ManagedThreadList", thread),
        ("ManagedEnvironmentList", get("environments").await),
        ("ManagedModelList", get("models").await),
        ("AnthropicError", get("sessions/x").await),
        ("ManagedSessionDeleted", server.send(Request::new("DELETE", format!("/anthropic/v1/{path}"))).await.json()),
        ("ManagedSession", session),
    ]
}

/// Where a value is not as its schema says, for the words that the document uses.
fn mismatch(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return mismatch(document, document.pointer(&name[1..]).unwrap(), value);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = choices.iter().any(|choice| mismatch(document, choice, value).is_none());
        return (!fits).then(|| format!("{value} is none of {}", schema["anyOf"]));
    }
    let fits = match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    };
    let listed = schema["enum"].as_array().is_none_or(|known| known.contains(value));
    let constant = schema.get("const").is_none_or(|known| known == value);
    if !fits || !listed || !constant {
        return Some(format!("{value} is not {schema}"));
    }
    let required = schema["required"].as_array().into_iter().flatten();
    if let Some(missing) = required.map(|name| name.as_str().unwrap()).find(|name| value.get(name).is_none()) {
        return Some(format!("{missing} is missing"));
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    let known = properties.filter_map(|(name, schema)| Some((schema, value.get(name)?)));
    let elements = value.as_array().into_iter().flatten().map(|element| (&schema["items"], element));
    known.chain(elements).find_map(|(schema, value)| mismatch(document, schema, value))
}
