//! Saved agents: `/agents`.

use axum::{
    Router,
    extract::State as Shared,
    http::HeaderMap,
    routing::{get, post},
};
use mainstay_runtime::{Caller, Idempotent};
use mainstay_session::{Command, Refusal, registry::Version};
use mainstay_vocabulary::AgentId;
use mainstay_wire::agents::{command, types};
use serde_json::json;

use super::{Part, wrong_after};
use crate::{
    auth::Authenticated, body::JsonObject, error::Error, idempotency, json::Json, path::Ids, query::Query,
    state::AppState,
};

/// How often a change is made anew because another request was faster.
const MAX_TRIES: usize = 16;

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
    Ok(Json(types::agent(&state.engine.saved_agent(&caller, id, None).await?)))
}

async fn retrieve(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    Ok(Json(types::agent(&state.engine.saved_agent(&caller, read_id(&id)?, None).await?)))
}

async fn update(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(text): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "agents.update", &text, &body.raw)?;
    let id = read_id(&text)?;
    let change = |known: &Version| Ok(command::update_agent(known, body.object.clone())?);
    Ok(Json(types::agent(&save(&state, &caller, (id, idempotent), change).await?)))
}

/// Saves the next version of an agent. `change` makes it from the latest one, and is asked again where another request
/// was faster, so that no change is lost; `None` leaves the agent as it is.
pub(crate) async fn save(
    state: &AppState,
    caller: &Caller,
    (id, idempotent): (AgentId, Option<Idempotent>),
    change: impl Fn(&Version) -> Result<Option<Command>, Error>,
) -> Result<Version, Error> {
    let engine = &state.engine;
    if engine.replayed(caller, idempotent.as_ref(), Some(id.session)).await?.is_some() {
        return Ok(engine.saved_agent(caller, id, None).await?);
    }
    for _ in 0..MAX_TRIES {
        let known = engine.saved_agent(caller, id, None).await?;
        let Some(command) = change(&known)? else { return Ok(known) };
        match engine.submit(caller, id.session, command, idempotent.clone()).await {
            Ok(_) => return Ok(engine.saved_agent(caller, id, None).await?),
            Err(mainstay_runtime::Error::Refused(Refusal::AgentChanged)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::AgentChanged.into())
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
    let ids = agents.map(|(id, _)| *id);
    let mut ids: Vec<_> =
        if part.is_ascending { ids.take(part.limit + 1).collect() } else { ids.rev().take(part.limit + 1).collect() };
    let has_more = ids.len() > part.limit;
    ids.truncate(part.limit);
    Ok(Json(types::page(all(&state, &caller, ids).await?.iter().map(types::agent).collect(), has_more)))
}

/// The latest versions of agents, without those that were deleted meanwhile.
pub(crate) async fn all(state: &AppState, caller: &Caller, ids: Vec<AgentId>) -> Result<Vec<Version>, Error> {
    let mut agents = Vec::with_capacity(ids.len());
    for id in ids {
        match state.engine.saved_agent(caller, id, None).await {
            Ok(agent) => agents.push(agent),
            Err(mainstay_runtime::Error::Refused(Refusal::AgentNotFound)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(agents)
}

fn read_id(text: &str) -> Result<AgentId, Error> {
    command::read_agent_id(text).map_err(|_| Refusal::AgentNotFound.into())
}

/// The version of a saved agent that a new session takes over; `None` names the latest.
pub(crate) async fn saved(
    state: &AppState,
    caller: &Caller,
    (id, number): (AgentId, Option<u32>),
) -> Result<Version, Error> {
    let found = state.engine.saved_agent(caller, id, number).await;
    let version = found.map_err(|error| Error::from(error).with_param("agent_id"))?;
    if version.archived_at.is_some() { Err(Refusal::Archived.into()) } else { Ok(version) }
}
