//! Operations and schemas of the Claude Managed Agents wire.

use serde_json::{Value, json};

use super::operation::{Answer, KEYED, Operation, delete, get, post};
use super::schema::{any_object, any_of, choice, constant, count, flag, list, nullable, object, reference, text};
use crate::managed::{ENVIRONMENT, types::EVENT_TYPES};

const EVENTS: &[&str] = &["page", "ManagedEventLimit", "ManagedEventOrder", "types", "created_at"];
const STREAM: &[&str] = &["LastEventId", "after", "event_deltas"];

/// The operations of this wire.
pub(super) const OPERATIONS: &[Operation] = &[
    post("/anthropic/v1/agents", ("createManagedAgent", "Saves an agent."), Answer::Json("ManagedAgent"))
        .managed()
        .takes("ManagedAgentBody")
        .with(KEYED),
    get("/anthropic/v1/agents", ("listManagedAgents", "Lists the saved agents."), Answer::Json("ManagedAgentList"))
        .managed()
        .with(&["page", "limit", "include_archived", "created_at"]),
    get(
        "/anthropic/v1/agents/{agent_id}",
        ("getManagedAgent", "A saved agent, at any of its versions."),
        Answer::Json("ManagedAgent"),
    )
    .managed()
    .with(&["version"]),
    post(
        "/anthropic/v1/agents/{agent_id}",
        ("updateManagedAgent", "Saves the agent's next version."),
        Answer::Json("ManagedAgent"),
    )
    .managed()
    .takes("ManagedAgentUpdate")
    .with(KEYED),
    post(
        "/anthropic/v1/agents/{agent_id}/archive",
        ("archiveManagedAgent", "Lets an agent take no new sessions."),
        Answer::Json("ManagedAgent"),
    )
    .managed(),
    get(
        "/anthropic/v1/agents/{agent_id}/versions",
        ("listManagedAgentVersions", "Lists the agent's versions."),
        Answer::Json("ManagedAgentList"),
    )
    .managed()
    .with(&["page", "limit"]),
    post("/anthropic/v1/sessions", ("createManagedSession", "Begins a session."), Answer::Json("ManagedSession"))
        .managed()
        .takes("ManagedSessionBody")
        .with(KEYED),
    get("/anthropic/v1/sessions", ("listManagedSessions", "Lists sessions."), Answer::Json("ManagedSessionList"))
        .managed()
        .with(&["page", "limit", "order", "agent_id", "agent_version", "statuses", "include_archived", "created_at"]),
    get(
        "/anthropic/v1/sessions/{session_id}",
        ("getManagedSession", "A session as it stands."),
        Answer::Json("ManagedSession"),
    )
    .managed(),
    post(
        "/anthropic/v1/sessions/{session_id}",
        ("updateManagedSession", "Changes title, metadata or tools."),
        Answer::Json("ManagedSession"),
    )
    .managed()
    .takes("ManagedSessionUpdate")
    .with(KEYED),
    delete(
        "/anthropic/v1/sessions/{session_id}",
        ("deleteManagedSession", "Deletes a session."),
        Answer::Json("ManagedSessionDeleted"),
    )
    .managed(),
    post(
        "/anthropic/v1/sessions/{session_id}/archive",
        ("archiveManagedSession", "Lets an idle session take no more input."),
        Answer::Json("ManagedSession"),
    )
    .managed(),
    post(
        "/anthropic/v1/sessions/{session_id}/events",
        ("sendManagedEvents", "Sends messages, results of custom tools, or an interrupt."),
        Answer::Json("ManagedEventList"),
    )
    .managed()
    .takes("ManagedInputEvents")
    .with(KEYED),
    get(
        "/anthropic/v1/sessions/{session_id}/events",
        ("listManagedEvents", "Lists the session's events."),
        Answer::Json("ManagedEventList"),
    )
    .managed()
    .with(EVENTS),
    get(
        "/anthropic/v1/sessions/{session_id}/events/stream",
        ("followManagedEvents", "Follows the session from now on, or from right after an event or delta, at any age."),
        Answer::Events("ManagedEvent"),
    )
    .managed()
    .with(STREAM),
    get(
        "/anthropic/v1/sessions/{session_id}/threads",
        ("listManagedThreads", "The session's only thread."),
        Answer::Json("ManagedThreadList"),
    )
    .managed()
    .with(&["page", "limit", "statuses"]),
    get(
        "/anthropic/v1/sessions/{session_id}/threads/{thread_id}",
        ("getManagedThread", "The session's only thread."),
        Answer::Json("ManagedThread"),
    )
    .managed(),
    get(
        "/anthropic/v1/sessions/{session_id}/threads/{thread_id}/events",
        ("listManagedThreadEvents", "The session's events."),
        Answer::Json("ManagedEventList"),
    )
    .managed()
    .with(EVENTS),
    get(
        "/anthropic/v1/sessions/{session_id}/threads/{thread_id}/stream",
        ("followManagedThread", "Follows the session."),
        Answer::Events("ManagedEvent"),
    )
    .managed()
    .with(STREAM),
    get(
        "/anthropic/v1/sessions/{session_id}/resources",
        ("listManagedResources", "Always empty."),
        Answer::Json("ManagedEventList"),
    )
    .managed()
    .with(&["page", "limit"]),
    get(
        "/anthropic/v1/environments",
        ("listManagedEnvironments", "The one environment, in which nothing runs here."),
        Answer::Json("ManagedEnvironmentList"),
    )
    .managed()
    .with(&["page", "limit"]),
    get(
        "/anthropic/v1/environments/{environment_id}",
        ("getManagedEnvironment", "The one environment."),
        Answer::Json("ManagedEnvironment"),
    )
    .managed(),
    get(
        "/anthropic/v1/models",
        ("listManagedModels", "Names that may be asked for."),
        Answer::Json("ManagedModelList"),
    )
    .managed(),
    get("/anthropic/v1/models/{model}", ("getManagedModel", "A model."), Answer::Json("ManagedModel")).managed(),
];

/// All schemas.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let mut schemas = bodies();
    schemas.extend(inputs());
    schemas.extend(objects());
    schemas.extend([
        ("ManagedAgentList", page("ManagedAgent")),
        ("ManagedSessionList", page("ManagedSession")),
        ("ManagedEventList", page("ManagedEvent")),
        ("ManagedThreadList", page("ManagedThread")),
        ("ManagedEnvironmentList", page("ManagedEnvironment")),
        ("ManagedModelList", object([("data", list(reference("ManagedModel"))), ("has_more", flag())])),
    ]);
    schemas
}

/// The types of events that a list may be asked for.
pub(super) fn event_type() -> Value {
    choice(&EVENT_TYPES)
}

fn page(of: &str) -> Value {
    object([("data", list(reference(of))), ("next_page", nullable(text()))])
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn long(most: u32) -> Value {
    json!({ "type": "string", "maxLength": most })
}

fn tool() -> Value {
    let schema = json!({
        "type": "object", "required": ["type"], "properties": { "type": { "type": "string", "const": "object" } },
    });
    object([
        ("type", constant("custom")),
        ("name", json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$" })),
        ("description", text()),
        ("input_schema", schema),
    ])
}

fn bodies() -> Vec<(&'static str, Value)> {
    let efforts = ["low", "medium", "high", "xhigh", "max"];
    let model_name = json!({ "type": "string", "minLength": 1, "maxLength": 256 });
    let model = any_of([
        model_name.clone(),
        object([
            ("id", model_name),
            ("effort?", nullable(choice(&efforts))),
            ("speed?", nullable(constant("standard"))),
        ]),
    ]);
    let name = json!({ "type": "string", "minLength": 1, "maxLength": 256 });
    let tools = json!({ "type": "array", "items": reference("ManagedTool"), "maxItems": 256 });
    let patch = nullable(json!({ "type": "object", "additionalProperties": nullable(long(512)) }));
    let agent = object([
        ("name", name.clone()),
        ("model", model.clone()),
        ("description?", nullable(long(100_000))),
        ("system?", nullable(long(100_000))),
        ("tools?", nullable(tools.clone())),
        ("metadata?", nullable(reference("Metadata"))),
    ]);
    let update = object([
        ("version?", nullable(json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }))),
        ("name?", nullable(name)),
        ("model?", nullable(model)),
        ("description?", nullable(long(100_000))),
        ("system?", nullable(long(100_000))),
        ("tools?", nullable(tools.clone())),
        ("metadata?", patch.clone()),
    ]);
    let named = object([
        ("type", constant("agent")),
        ("id", text()),
        ("version?", nullable(json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }))),
    ]);
    let session = object([
        ("agent", any_of([text(), named])),
        ("environment_id?", nullable(constant(ENVIRONMENT))),
        ("title?", nullable(long(256))),
        ("metadata?", nullable(reference("Metadata"))),
        ("initial_events?", nullable(json!({ "type": "array", "items": reference("ManagedMessage"), "maxItems": 50 }))),
    ]);
    let change = object([
        ("title?", nullable(long(256))),
        ("metadata?", patch),
        ("agent?", nullable(object([("tools?", nullable(tools))]))),
    ]);
    vec![
        ("ManagedTool", tool()),
        ("ManagedAgentBody", agent),
        ("ManagedAgentUpdate", update),
        ("ManagedSessionBody", session),
        ("ManagedSessionUpdate", change),
    ]
}

fn inputs() -> Vec<(&'static str, Value)> {
    let base64 = object([("type", constant("base64")), ("media_type", text()), ("data", text())]);
    let url = object([("type", constant("url")), ("url", text())]);
    let source = any_of([base64, url]);
    let block = any_of([
        object([("type", constant("text")), ("text", text())]),
        object([("type", constant("image")), ("source", source.clone())]),
        object([("type", constant("document")), ("source", source), ("title?", nullable(text()))]),
    ]);
    let blocks = json!({ "type": "array", "items": reference("ManagedBlock"), "maxItems": 1_024 });
    let some = json!({ "type": "array", "items": reference("ManagedBlock"), "minItems": 1, "maxItems": 1_024 });
    let message = object([("type", constant("user.message")), ("content", some)]);
    let result = object([
        ("type", constant("user.custom_tool_result")),
        ("custom_tool_use_id", text()),
        ("content?", nullable(blocks)),
        ("is_error?", nullable(flag())),
    ]);
    let event = any_of([reference("ManagedMessage"), object([("type", constant("user.interrupt"))]), result]);
    let events = json!({ "type": "array", "items": event, "minItems": 1, "maxItems": 64 });
    vec![("ManagedBlock", block), ("ManagedMessage", message), ("ManagedInputEvents", object([("events", events)]))]
}

fn objects() -> Vec<(&'static str, Value)> {
    let statuses = ["rescheduling", "running", "idle", "terminated"];
    let taken_over = || {
        [
            ("id", text()),
            ("type", constant("agent")),
            ("name", text()),
            ("description", nullable(text())),
            ("system", nullable(text())),
            ("model", object([("id", text())])),
            ("tools", list(reference("ManagedTool"))),
            ("version", count()),
        ]
    };
    let [id, kind, name, description, system, model, tools, version] = taken_over();
    let agent = object([
        id,
        kind,
        name,
        description,
        system,
        model,
        tools,
        version,
        ("metadata", reference("Metadata")),
        ("created_at", time()),
        ("updated_at", time()),
        ("archived_at", nullable(time())),
    ]);
    let session = object([
        ("id", text()),
        ("type", constant("session")),
        ("agent", object(taken_over())),
        ("environment_id", constant(ENVIRONMENT)),
        ("status", choice(&statuses)),
        ("title", nullable(text())),
        ("metadata", reference("Metadata")),
        ("usage", any_object()),
        ("created_at", time()),
        ("updated_at", time()),
        ("archived_at", nullable(time())),
    ]);
    let thread = object([
        ("id", text()),
        ("type", constant("session_thread")),
        ("session_id", text()),
        ("status", choice(&statuses)),
        ("parent_thread_id", nullable(text())),
    ]);
    let event = object([("type", text()), ("id?", text()), ("processed_at?", nullable(time()))]);
    let environment = object([("id", constant(ENVIRONMENT)), ("type", constant("environment")), ("name", text())]);
    let model = object([("id", text()), ("type", constant("model")), ("display_name", text()), ("created_at", time())]);
    let deleted = object([("id", text()), ("type", constant("session_deleted"))]);
    vec![
        ("ManagedAgent", agent),
        ("ManagedSession", session),
        ("ManagedThread", thread),
        ("ManagedEvent", event),
        ("ManagedEnvironment", environment),
        ("ManagedModel", model),
        ("ManagedSessionDeleted", deleted),
    ]
}
