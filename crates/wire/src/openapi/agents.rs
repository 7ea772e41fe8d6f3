//! Schemas of the Agents wire.

use serde_json::{Value, json};

use super::schema::{
    any_object, any_of, choice, constant, count, deleted, flag, list, nullable, object, page, reference, seconds, text,
};

const EVENTS: [&str; 19] = [
    "agent.session.created",
    "agent.session.in_progress",
    "agent.session.requires_action",
    "agent.session.idle",
    "agent.session.turn.created",
    "agent.session.turn.in_progress",
    "agent.session.turn.completed",
    "agent.session.turn.failed",
    "agent.session.turn.cancelled",
    "agent.session.turn.item.added",
    "agent.session.turn.item.done",
    "agent.session.turn.content_part.added",
    "agent.session.turn.content_part.done",
    "agent.session.turn.output_text.delta",
    "agent.session.turn.output_text.done",
    "agent.session.turn.reasoning_summary_part.added",
    "agent.session.turn.reasoning_summary_part.done",
    "agent.session.turn.reasoning_summary_text.delta",
    "agent.session.turn.reasoning_summary_text.done",
];

/// All of them.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let mut schemas = bodies();
    schemas.extend(inputs());
    schemas.extend(objects());
    schemas.extend([
        ("AgentList", page("Agent")),
        ("AgentDeleted", deleted("agent.deleted")),
        ("SessionList", page("Session")),
        ("SessionDeleted", deleted("agent.session.deleted")),
        ("SessionItemList", page("SessionItem")),
        ("TurnList", page("Turn")),
        ("EmptyList", object([("object", constant("list")), ("data", list(json!(false))), ("has_more", flag())])),
    ]);
    schemas
}

/// What an agent is configured with, in requests.
fn configuration() -> Value {
    let reasoning = object([
        ("effort?", nullable(choice(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]))),
        ("summary?", nullable(choice(&["concise", "detailed", "auto"]))),
    ]);
    let text_options =
        object([("format?", nullable(reference("TextFormat"))), ("verbosity?", nullable(constant("medium")))]);
    object([
        ("model?", nullable(json!({ "type": "string", "minLength": 1, "maxLength": 256 }))),
        ("instructions?", nullable(text())),
        ("reasoning?", nullable(reasoning)),
        ("text?", nullable(text_options)),
        ("tools?", nullable(list(reference("Tool")))),
        ("service_tier?", nullable(choice(&crate::agents::config::TIERS))),
    ])
}

fn bodies() -> Vec<(&'static str, Value)> {
    let update = json!({ "allOf": [
        reference("AgentConfiguration"),
        object([
            ("name?", nullable(json!({ "type": "string", "maxLength": 256 }))),
            ("metadata?", nullable(reference("Metadata"))),
        ]),
    ]});
    let mut agent = update.clone();
    agent["required"] = json!(["model"]);
    let environment = object([("type", constant("none"))]);
    let mut session = object([
        ("agent_id?", nullable(text())),
        ("agent?", nullable(reference("AgentConfiguration"))),
        ("environment?", nullable(environment)),
        ("input?", nullable(reference("SessionInput"))),
        ("stream?", nullable(flag())),
        ("stream_options?", nullable(object([("include_obfuscation?", nullable(flag()))]))),
        ("metadata?", nullable(reference("Metadata"))),
        ("review?", nullable(constant("none"))),
    ]);
    session["anyOf"] = json!([{ "required": ["agent_id"] }, { "required": ["agent"] }]);
    vec![
        ("AgentConfiguration", configuration()),
        ("AgentBody", agent),
        ("AgentUpdate", update),
        ("SessionBody", session),
        ("SessionUpdate", session_update()),
    ]
}

fn session_update() -> Value {
    let effort = nullable(choice(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]));
    let agent = object([
        ("model?", json!({ "type": "string", "minLength": 1, "maxLength": 256 })),
        ("reasoning?", object([("effort?", effort)])),
        ("service_tier?", nullable(choice(&crate::agents::config::TIERS))),
        ("tools?", nullable(list(reference("Tool")))),
    ]);
    object([
        ("metadata?", nullable(reference("Metadata"))),
        ("agent?", nullable(agent)),
        ("prompt_cache_options?", nullable(object([("ttl?", choice(&["30m", "12h"]))]))),
    ])
}

fn inputs() -> Vec<(&'static str, Value)> {
    let part = any_of([
        object([("type", constant("input_text")), ("text", text())]),
        object([
            ("type", constant("input_image")),
            ("image_url", text()),
            ("detail?", nullable(choice(&["auto", "low", "high"]))),
        ]),
    ]);
    let parts = json!({ "type": "array", "items": reference("SessionInputPart"), "maxItems": 1_024 });
    let message = object([
        ("type?", nullable(constant("message"))),
        ("role", constant("user")),
        ("content", any_of([text(), parts.clone()])),
    ]);
    let some_text = json!({ "type": "string", "minLength": 1 });
    let messages = json!({ "type": "array", "items": message, "minItems": 1, "maxItems": 1_024 });
    let event = any_of([
        object([("type", constant("agent.session.input.message")), ("input", reference("SessionInput"))]),
        object([("type", constant("agent.session.input.cancel"))]),
        object([
            ("type", constant("agent.session.input.tool_result")),
            ("call_id", text()),
            ("success", flag()),
            ("turn_id?", nullable(text())),
            ("output?", nullable(any_of([text(), parts]))),
            ("error?", nullable(text())),
        ]),
    ]);
    let events = json!({ "type": "array", "items": event, "minItems": 1, "maxItems": 64 });
    vec![
        ("SessionInputPart", part),
        ("SessionInput", any_of([some_text, messages])),
        ("InputEvents", object([("events", events)])),
    ]
}

fn objects() -> Vec<(&'static str, Value)> {
    vec![
        ("Agent", agent()),
        ("Session", session()),
        ("Turn", turn()),
        ("SessionItem", item()),
        ("SessionEvent", event()),
    ]
}

fn agent() -> Value {
    object([
        ("id", text()),
        ("object", constant("agent")),
        ("name", nullable(text())),
        ("model", text()),
        ("instructions", nullable(text())),
        ("reasoning", any_object()),
        ("text", any_object()),
        ("tools", list(reference("Tool"))),
        ("service_tier", text()),
        ("multi_agent", any_object()),
        ("compaction", any_object()),
        ("limits", any_object()),
        ("experimental", any_object()),
        ("metadata", reference("Metadata")),
        ("created_at", seconds()),
        ("updated_at", seconds()),
    ])
}

fn session() -> Value {
    let action = object([
        ("type", constant("function_call")),
        ("call_id", text()),
        ("name", text()),
        ("arguments", json!({})),
        ("turn_id", text()),
    ]);
    object([
        ("id", text()),
        ("object", constant("agent.session")),
        ("agent", any_object()),
        ("status", choice(&["idle", "in_progress", "requires_action"])),
        ("required_actions", list(action)),
        ("environment", object([("type", constant("none"))])),
        ("error", json!({ "type": "null" })),
        ("metadata", reference("Metadata")),
        ("usage", reference("Usage")),
        ("created_at", seconds()),
        ("last_active_at", seconds()),
    ])
}

fn turn() -> Value {
    object([
        ("id", text()),
        ("object", constant("agent.session.turn")),
        ("session_id", text()),
        ("agent_id", text()),
        ("status", choice(&["queued", "in_progress", "waiting", "completed", "failed", "cancelled"])),
        ("created_at", seconds()),
        ("started_at", nullable(seconds())),
        ("completed_at", nullable(seconds())),
        ("usage", nullable(reference("Usage"))),
        ("error", nullable(object([("code", text()), ("message", text())]))),
    ])
}

fn item() -> Value {
    let known = choice(&["message", "reasoning", "function_call", "function_call_output"]);
    object([
        ("id", text()),
        ("type", any_of([known, text()])),
        ("status?", choice(&["in_progress", "completed", "incomplete", "failed"])),
        ("turn_id", text()),
    ])
}

fn event() -> Value {
    object([
        ("type", choice(&EVENTS)),
        (
            "event_id",
            json!({ "type": "string", "description": "The SSE id; a cursor for as long as the session lives." }),
        ),
        ("obfuscation?", text()),
        ("session?", reference("Session")),
        ("turn?", reference("Turn")),
        ("item?", reference("SessionItem")),
        ("turn_id?", text()),
        ("item_id?", text()),
        ("output_index?", nullable(count())),
        ("delta?", text()),
        ("text?", text()),
    ])
}
