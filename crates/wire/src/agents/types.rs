//! Objects of the Agents wire: agents, sessions, turns, usage.

use mainstay_session::{
    State,
    event::{Shortfall, TurnEnded, TurnStatus},
    registry::Version,
    state::Phase,
};
use mainstay_vocabulary::{Object, Sequence, SessionId, Timestamp, Usage};
use serde_json::{Value, json};

use super::{agent_id, config, item, served, session_id, turn_id};

/// A saved agent.
pub fn agent(agent: &Version) -> Value {
    let mut object = config::render(&agent.definition.spec);
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", json!(format!("agent_{}", agent.agent)));
    put("object", json!("agent"));
    put("name", json!(agent.definition.name));
    put("metadata", Value::Object(agent.definition.metadata.clone()));
    put("created_at", json!(agent.created_at.seconds()));
    put("updated_at", json!(agent.saved_at.seconds()));
    Value::Object(object)
}

/// A session as it stands.
pub fn session(state: &State) -> Value {
    let mut agent = config::render(&state.spec);
    agent.insert("id".to_owned(), json!(agent_id(state)));
    agent.insert("name".to_owned(), json!(state.agent.as_ref().and_then(|agent| agent.name.as_deref())));
    json!({
        "id": session_id(state.session),
        "object": "agent.session",
        "agent": agent,
        "created_at": state.created_at.seconds(),
        "last_active_at": state.active_at.seconds(),
        "status": status(state),
        "required_actions": required_actions(state),
        "environment": { "type": "none" },
        "error": null,
        "metadata": state.metadata,
        "usage": usage(&state.usage),
        "vault_ids": [],
        "prompt_cache_options": state.echo.get("prompt_cache_options"),
        "review": "none",
        "spend_control": null,
    })
}

fn status(state: &State) -> &'static str {
    match state.phase() {
        Phase::WaitingForClient => "requires_action",
        Phase::Inferring | Phase::Acting => "in_progress",
        Phase::Idle => "idle",
    }
}

fn required_actions(state: &State) -> Vec<Value> {
    let Some(turn) = &state.turn else { return Vec::new() };
    let turn = turn_id(state.session, turn.id);
    let action = |call: &mainstay_session::event::CallOpened| {
        json!({
            "type": "function_call", "call_id": call.call_id.0, "name": call.name,
            "arguments": item::arguments_of(&call.arguments), "turn_id": turn,
        })
    };
    state.calls.iter().map(action).chain(served::required_actions(state)).collect()
}

/// Tokens.
pub fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": { "cached_tokens": usage.cached_input },
        "output_tokens": usage.output,
        "output_tokens_details": { "reasoning_tokens": usage.reasoning },
        "total_tokens": usage.total(),
    })
}

/// What a turn's object is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Its session.
    pub session: SessionId,
    /// The text of its agent's id.
    pub agent: String,
    /// The sequence of its `TurnStarted`.
    pub id: Sequence,
    /// When it started.
    pub started_at: Timestamp,
    /// How it stands.
    pub progress: Progress,
}

/// How a turn stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Just made.
    Queued,
    /// At work.
    Running,
    /// Waiting for the client.
    Waiting,
    /// Over.
    Ended(Timestamp, Box<TurnEnded>),
}

/// A turn.
pub fn turn(turn: &Turn) -> Value {
    let started_at = turn.started_at.seconds();
    let mut object = Object::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", json!(turn_id(turn.session, turn.id)));
    put("object", json!("agent.session.turn"));
    put("session_id", json!(session_id(turn.session)));
    put("agent_id", json!(turn.agent));
    put("subagent_id", Value::Null);
    put("created_at", json!(started_at));
    let (status, started, completed, used, error) = match &turn.progress {
        Progress::Queued => ("queued", Value::Null, Value::Null, Value::Null, Value::Null),
        Progress::Running => ("in_progress", json!(started_at), Value::Null, Value::Null, Value::Null),
        Progress::Waiting => ("waiting", json!(started_at), Value::Null, Value::Null, Value::Null),
        Progress::Ended(at, ended) => {
            let (status, error) = ending(&ended.status);
            (status, json!(started_at), json!(at.seconds()), usage(&ended.usage), error)
        }
    };
    put("status", json!(status));
    put("started_at", started);
    put("completed_at", completed);
    put("usage", used);
    put("error", error);
    put("prompt_cache_options", Value::Null);
    Value::Object(object)
}

/// The status and the error of a turn that is over. This wire knows no incomplete turns.
fn ending(status: &TurnStatus) -> (&'static str, Value) {
    match status {
        TurnStatus::Completed => ("completed", Value::Null),
        TurnStatus::Cancelled => ("cancelled", Value::Null),
        TurnStatus::Failed(error) => ("failed", json!({ "code": error.code, "message": error.message })),
        TurnStatus::Incomplete(why) => {
            let (code, message) = match why {
                Shortfall::MaxOutputTokens => ("max_output_tokens", "The limit on output tokens was reached."),
                Shortfall::ContentFilter => ("invalid_request", "The provider's content filter stopped the answer."),
                Shortfall::Interrupted => ("connection_failed", "The model's stream was cut off."),
            };
            ("failed", json!({ "code": code, "message": message }))
        }
    }
}

/// The event type of a turn that is over.
pub fn ended_type(status: &TurnStatus) -> &'static str {
    match ending(status).0 {
        "completed" => "agent.session.turn.completed",
        "cancelled" => "agent.session.turn.cancelled",
        _ => "agent.session.turn.failed",
    }
}

/// A page of a list, in the shape that the SDK's cursor pages read.
pub fn page(data: Vec<Value>, has_more: bool) -> Value {
    let id = |object: Option<&Value>| object.and_then(|object| object.get("id")).cloned();
    json!({
        "object": "list",
        "first_id": id(data.first()),
        "last_id": id(data.last()),
        "has_more": has_more,
        "data": data,
    })
}
