//! Objects of this wire: agents, sessions, threads, models, pages.

use mainstay_session::{State, registry::Version, state::Phase};
use mainstay_vocabulary::{Object, Timestamp, Usage};
use serde_json::{Value, json};

use super::{ENVIRONMENT, agent_id, config, session_id, thread_id, time};

/// Where `State::echo` keeps a session's title.
pub(super) const TITLE: &str = "title";

/// A saved agent at a version.
pub fn agent(version: &Version) -> Value {
    let definition = &version.definition;
    let mut object = config::render(&definition.spec);
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", json!(format!("agent_{}", version.agent)));
    put("type", json!("agent"));
    put("name", json!(definition.name.as_deref().unwrap_or_default()));
    put("description", json!(definition.description));
    put("metadata", Value::Object(definition.metadata.clone()));
    put("version", json!(version.number));
    put("created_at", json!(time::write(version.created_at)));
    put("updated_at", json!(time::write(version.saved_at)));
    put("archived_at", json!(version.archived_at.map(time::write)));
    Value::Object(object)
}

/// A session as it stands.
pub fn session(state: &State) -> Value {
    json!({
        "id": session_id(state.session),
        "type": "session",
        "agent": session_agent(state),
        "archived_at": state.archived_at.map(time::write),
        "budget": null,
        "created_at": time::write(state.created_at),
        "deployment_id": null,
        "environment_id": ENVIRONMENT,
        "metadata": state.metadata,
        "outcome_evaluations": [],
        "resources": [],
        "stats": stats(state),
        "status": status(state),
        "title": state.echo.get(TITLE),
        "updated_at": time::write(state.active_at),
        "usage": usage(&state.usage),
        "vault_ids": [],
    })
}

/// What the session took over of its agent, as it runs now.
pub(super) fn session_agent(state: &State) -> Object {
    let saved = state.agent.as_ref();
    let mut object = config::render(&state.spec);
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", json!(agent_id(state)));
    put("type", json!("agent"));
    put("name", json!(saved.and_then(|agent| agent.name.as_deref()).unwrap_or_default()));
    put("description", json!(saved.and_then(|agent| agent.description.as_deref())));
    put("version", json!(saved.map_or(1, |agent| agent.number.max(1))));
    object
}

/// The session's only thread.
pub fn thread(state: &State) -> Value {
    let mut agent = session_agent(state);
    agent.shift_remove("multiagent");
    json!({
        "id": thread_id(state.session),
        "type": "session_thread",
        "agent": agent,
        "archived_at": state.archived_at.map(time::write),
        "created_at": time::write(state.created_at),
        "parent_thread_id": null,
        "session_id": session_id(state.session),
        "stats": stats(state),
        "status": status(state),
        "updated_at": time::write(state.active_at),
        "usage": usage(&state.usage),
        "workflow_run_id": null,
    })
}

/// How a session stands.
pub fn status(state: &State) -> &'static str {
    let waits = state.turn.as_ref().is_some_and(|turn| turn.inference.is_none() && turn.retry_at.is_some());
    match state.phase() {
        _ if state.archived_at.is_some() => "terminated",
        Phase::Inferring if waits => "rescheduling",
        Phase::Inferring | Phase::Acting => "running",
        Phase::Idle | Phase::WaitingForClient => "idle",
    }
}

/// How long it lasted up to its last change. How long it was at work is not kept.
fn stats(state: &State) -> Value {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a session's life fit a float exactly")]
    let seconds = state.active_at.0.saturating_sub(state.created_at.0) as f64 / 1_000.0;
    json!({ "active_seconds": null, "duration_seconds": seconds })
}

/// Tokens. This vendor counts what was read from or written to a cache apart from the input.
fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": fresh_input(usage),
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cached_input,
        "cache_creation": { "ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0 },
    })
}

/// Tokens of one request.
pub(super) fn span_usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": fresh_input(usage),
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cached_input,
        "cache_creation_input_tokens": usage.cache_write,
    })
}

const fn fresh_input(usage: &Usage) -> u64 {
    usage.input.saturating_sub(usage.cached_input).saturating_sub(usage.cache_write)
}

/// The one environment that there is; `began` is when this server began to serve.
pub fn environment(began: Timestamp) -> Value {
    json!({
        "id": ENVIRONMENT,
        "type": "environment",
        "name": "none",
        "description": "Nothing runs on the server; the client executes the agent's custom tools.",
        "config": { "type": "self_hosted" },
        "metadata": {},
        "archived_at": null,
        "created_at": time::write(began),
        "updated_at": time::write(began),
        "scope": "organization",
    })
}

/// A model that may be asked for.
pub fn model(name: &str, created_at: Timestamp) -> Value {
    json!({
        "id": name, "type": "model", "display_name": name, "created_at": time::write(created_at),
        "lifecycle": "active", "deprecated_at": null, "retires_at": null, "line": null, "capabilities": null,
        "max_input_tokens": null, "max_tokens": null, "allowed_fallback_models": null,
    })
}

/// A page of a list; `next` is the cursor of the page after it.
pub fn page(data: Vec<Value>, next: Option<String>) -> Value {
    json!({ "data": data, "next_page": next })
}

/// Every type of event that the vendor's history knows, and so that a list may be asked for.
pub const EVENT_TYPES: [&str; 41] = [
    "agent.custom_tool_use",
    "agent.mcp_tool_result",
    "agent.mcp_tool_use",
    "agent.message",
    "agent.thinking",
    "agent.thread_context_compacted",
    "agent.thread_message_received",
    "agent.thread_message_sent",
    "agent.tool_result",
    "agent.tool_use",
    "session.error",
    "session.status_idle",
    "session.status_rescheduled",
    "session.status_running",
    "session.status_terminated",
    "session.thread_created",
    "session.thread_status_idle",
    "session.thread_status_rescheduled",
    "session.thread_status_running",
    "session.thread_status_terminated",
    "session.updated",
    "session.usage",
    "span.model_request_end",
    "span.model_request_start",
    "span.outcome_evaluation_end",
    "span.outcome_evaluation_ongoing",
    "span.outcome_evaluation_start",
    "system.message",
    "user.custom_tool_result",
    "user.define_outcome",
    "user.interrupt",
    "user.message",
    "user.tool_confirmation",
    "user.tool_result",
    "workflow_run.created",
    "workflow_run.error",
    "workflow_run.phase_ended",
    "workflow_run.phase_started",
    "workflow_run.status_ended",
    "workflow_run.status_idle",
    "workflow_run.status_running",
];
