//! Automations and their invocations: operations and schemas; the schema of traces.

use serde_json::{Value, json};

use super::{
    operation::{AGENTS, Answer, KEYED, Operation, PAGE, delete, get, post},
    schema::{any_object, any_of, choice, constant, deleted, list, nullable, object, page, reference, seconds, text},
};

/// Their rows of the table of operations.
pub(super) const OPERATIONS: &[Operation] = &[
    post(
        "/agents/automations",
        ("createAutomation", "Makes an automation: once, or by a cron expression in a time zone."),
        Answer::Json("Automation"),
    )
    .of(AGENTS)
    .takes("AutomationBody")
    .with(KEYED),
    get("/agents/automations", ("listAutomations", "Lists automations."), Answer::Json("AutomationList"))
        .of(AGENTS)
        .with(&["after", "limit", "order", "session_id"]),
    get("/agents/automations/{automation_id}", ("getAutomation", "An automation."), Answer::Json("Automation"))
        .of(AGENTS),
    post(
        "/agents/automations/{automation_id}",
        ("updateAutomation", "Changes an automation."),
        Answer::Json("Automation"),
    )
    .of(AGENTS)
    .takes("AutomationUpdate")
    .with(KEYED),
    delete(
        "/agents/automations/{automation_id}",
        ("deleteAutomation", "Deletes an automation; its sessions stay."),
        Answer::Json("AutomationDeleted"),
    )
    .of(AGENTS),
    post(
        "/agents/automations/{automation_id}/pause",
        ("pauseAutomation", "Suspends the schedule."),
        Answer::Json("Automation"),
    )
    .of(AGENTS),
    post(
        "/agents/automations/{automation_id}/resume",
        ("resumeAutomation", "Goes on with the schedule; what passed meanwhile is not made up for."),
        Answer::Json("Automation"),
    )
    .of(AGENTS),
    post(
        "/agents/automations/{automation_id}/invocations",
        ("createInvocation", "Delivers now."),
        Answer::Json("Invocation"),
    )
    .of(AGENTS)
    .with(KEYED),
    get(
        "/agents/automations/{automation_id}/invocations",
        ("listInvocations", "Deliveries of the automation."),
        Answer::Json("InvocationList"),
    )
    .of(AGENTS)
    .with(PAGE),
    get(
        "/agents/automations/{automation_id}/invocations/{invocation_id}",
        ("getInvocation", "A delivery."),
        Answer::Json("Invocation"),
    )
    .of(AGENTS),
];

/// All of them.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("AutomationTarget", target()),
        ("AutomationBody", body()),
        ("AutomationUpdate", update()),
        ("Automation", automation()),
        ("AutomationList", page("Automation")),
        ("AutomationDeleted", deleted("agent.automation.deleted")),
        ("Invocation", invocation()),
        ("InvocationList", page("Invocation")),
        ("Trace", trace()),
        ("TraceList", page("Trace")),
    ]
}

fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256 })
}

fn run_at() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 253_402_300_799_u64, "description": "Seconds since 1970." })
}

fn expression() -> Value {
    json!({ "type": "string", "maxLength": 256, "description": "Five fields, as in a crontab." })
}

fn zone() -> Value {
    json!({ "type": "string", "description": "A name of the IANA time zone database." })
}

fn target() -> Value {
    any_of([
        object([
            ("type", constant("new_session")),
            ("agent_id?", nullable(text())),
            ("agent?", nullable(reference("AgentConfiguration"))),
            ("environment", object([("type", constant("none"))])),
            ("input", reference("SessionInput")),
            ("metadata?", nullable(reference("Metadata"))),
        ]),
        object([("type", constant("existing_session")), ("session_id", text()), ("instructions", text())]),
    ])
}

fn body() -> Value {
    any_of([
        object([
            ("type", constant("periodic")),
            ("name", name()),
            ("expression", expression()),
            ("timezone", zone()),
            ("target", reference("AutomationTarget")),
            ("metadata?", nullable(reference("Metadata"))),
        ]),
        object([
            ("type", constant("once")),
            ("name", name()),
            ("run_at", run_at()),
            ("target", reference("AutomationTarget")),
            ("metadata?", nullable(reference("Metadata"))),
        ]),
    ])
}

fn update() -> Value {
    object([
        ("name?", name()),
        ("expression?", expression()),
        ("timezone?", zone()),
        ("run_at?", run_at()),
        ("target?", reference("AutomationTarget")),
        ("metadata?", nullable(reference("Metadata"))),
    ])
}

fn automation() -> Value {
    object([
        ("id", text()),
        ("object", constant("agent.automation")),
        ("name", text()),
        ("type", choice(&["periodic", "once"])),
        ("status", choice(&["active", "paused", "completed"])),
        ("pause_reason", nullable(constant("target_session_failed"))),
        ("expression?", text()),
        ("timezone?", text()),
        ("run_at?", seconds()),
        ("target", any_object()),
        ("metadata", reference("Metadata")),
        ("created_by", any_object()),
        ("created_at", seconds()),
    ])
}

fn invocation() -> Value {
    object([
        ("id", text()),
        ("object", constant("agent.automation.invocation")),
        ("automation_id", text()),
        ("status", choice(&["queued", "completed", "failed", "skipped"])),
        ("skip_reason", nullable(constant("pending_delivery"))),
        ("session_id", nullable(text())),
        ("scheduled_at", nullable(seconds())),
        ("source", any_object()),
        ("error", nullable(object([("code", text()), ("message", text())]))),
        ("created_at", seconds()),
    ])
}

fn trace() -> Value {
    object([
        ("id", json!({ "type": "string", "description": "The turn's id." })),
        ("object", constant("agent.session.trace")),
        ("session_id", text()),
        ("otlp", object([("resourceSpans", list(any_object()))])),
        ("created_at", seconds()),
    ])
}
