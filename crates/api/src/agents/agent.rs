//! Saved agents: `/agents`.

use axum::{
    Router,
    extract::State as Shared,
    http::HeaderMap,
    routing::{get, post},
};
use mainstay_runtime::Caller;
use mainstay_session::{Command, State, registry::Agent};
use mainstay_vocabulary::AgentId;
use mainstay_wire::agents::{command, types};
use serde_json::json;

use super::{Part, wrong_after};
use crate::{
    auth::Authenticated, body::JsonObject, error::Error, idempotency, json::Json, path::Ids, query::Query,
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/agents", post(create).get(list))
        .route("/agents/{agent_id}", get(retrieve).post(update).delete(delete))
}

async fn create(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "agents.create", "", &body.raw)?;
    let command = command::create_agent(body.object)?;
    let (registry, _) = state.engine.registry(&caller).await?;
    let accepted = state.engine.submit(&caller, registry, command, idempotent).await?;
    let id = AgentId { session: registry, sequence: accepted.first, ordinal: 0 };
    Ok(Json(types::agent(id, known(&accepted.state, id)?)))
}

async fn retrieve(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let (_, registry) = state.engine.registry(&caller).await?;
    let id = read_id(&id)?;
    Ok(Json(types::agent(id, known(&registry, id)?)))
}

async fn update(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(text): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "agents.update", &text, &body.raw)?;
    let (registry, saved) = state.engine.registry(&caller).await?;
    let id = read_id(&text)?;
    let command = command::update_agent(id, &known(&saved, id)?.definition, body.object)?;
    let accepted = state.engine.submit(&caller, registry, command, idempotent).await?;
    Ok(Json(types::agent(id, known(&accepted.state, id)?)))
}

async fn delete(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(text): Ids<String>,
) -> Result<Json, Error> {
    let (registry, _) = state.engine.registry(&caller).await?;
    let id = read_id(&text)?;
    state.engine.submit(&caller, registry, Command::DeleteAgent(id), None).await?;
    Ok(Json(json!({ "id": text, "object": "agent.deleted", "deleted": true })))
}

async fn list(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query)?;
    let (_, registry) = state.engine.registry(&caller).await?;
    let after = part.after.as_deref().map(read_id).transpose().map_err(|_| wrong_after())?;
    let wanted = |id: &AgentId| after.is_none_or(|after| if part.is_ascending { *id > after } else { *id < after });
    let agents = registry.registry.agents.iter().filter(|(id, _)| wanted(id));
    let show = |(id, agent): (&AgentId, &Agent)| types::agent(*id, agent);
    let mut data: Vec<_> = if part.is_ascending {
        agents.take(part.limit + 1).map(show).collect()
    } else {
        agents.rev().take(part.limit + 1).map(show).collect()
    };
    let has_more = data.len() > part.limit;
    data.truncate(part.limit);
    Ok(Json(types::page(data, has_more)))
}

fn read_id(text: &str) -> Result<AgentId, Error> {
    command::read_agent_id(text).map_err(|_| no_agent())
}

fn known(registry: &State, id: AgentId) -> Result<&Agent, Error> {
    registry.registry.agents.get(&id).ok_or_else(no_agent)
}

fn no_agent() -> Error {
    Error::not_found("There is no such agent.")
}

/// The saved agent that a new session names.
pub(super) async fn saved(state: &AppState, caller: &Caller, id: AgentId) -> Result<Agent, Error> {
    let (_, registry) = state.engine.registry(caller).await?;
    known(&registry, id).cloned().map_err(|error| error.with_param("agent_id"))
}
