//! Saved agents and their versions: `/agents`.

use axum::{
    Router,
    extract::State as Shared,
    http::HeaderMap,
    routing::{get, post},
};
use mainstay_session::{Command, Refusal, registry::Version};
use mainstay_vocabulary::AgentId;
use mainstay_wire::managed::{command, types};

use super::{PAGE, Part};
use crate::{
    agents::agent::{all, save},
    auth::Authenticated,
    body::JsonObject,
    error::Error,
    idempotency,
    json::Json,
    path::Ids,
    query::Query,
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/agents", post(create).get(list))
        .route("/agents/{agent_id}", get(retrieve).post(update))
        .route("/agents/{agent_id}/archive", post(archive))
        .route("/agents/{agent_id}/versions", get(versions))
}

async fn create(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "managed.agents.create", "", &body.raw)?;
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
    query: Query,
) -> Result<Json, Error> {
    let version = query.number("version", 0, 1..=u64::from(u32::MAX))?;
    let version = u32::try_from(version).ok().filter(|version| *version > 0);
    Ok(Json(types::agent(&state.engine.saved_agent(&caller, read_id(&id)?, version).await?)))
}

async fn update(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(text): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "managed.agents.update", &text, &body.raw)?;
    let id = read_id(&text)?;
    let named = command::named_version(&body.object)?;
    let change = |known: &Version| {
        if named.is_some_and(|named| named != known.number) {
            return Err(Error::from(Refusal::AgentChanged).with_param("version"));
        }
        Ok(command::update_agent(known, body.object.clone())?)
    };
    Ok(Json(types::agent(&save(&state, &caller, (id, idempotent), change).await?)))
}

async fn archive(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let id = read_id(&id)?;
    let (registry, _) = state.engine.registry(&caller).await?;
    state.engine.submit(&caller, registry, Command::ArchiveAgent(id), None).await?;
    Ok(Json(types::agent(&state.engine.saved_agent(&caller, id, None).await?)))
}

/// Newest first.
async fn list(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query, PAGE)?;
    let before: Option<AgentId> = part.cursor(|text| text.parse().ok())?;
    let (times, archived) = (query.times()?, query.flag("include_archived", false)?);
    let (_, registry) = state.engine.registry(&caller).await?;
    let agents = registry.registry.agents.iter().rev();
    let agents = agents.filter(|(id, agent)| {
        before.is_none_or(|before| **id < before)
            && times.hold(agent.created_at)
            && (archived || agent.archived_at.is_none())
    });
    let ids: Vec<_> = agents.take(part.limit + 1).map(|(id, _)| *id).collect();
    let agents = all(&state, &caller, ids).await?;
    Ok(part.page(agents, |agent| agent.agent.to_string(), types::agent))
}

/// Newest first.
async fn versions(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query, PAGE)?;
    let before = part.cursor(|text| text.parse().ok())?;
    let versions = state.engine.agent_versions(&caller, read_id(&id)?, before, part.limit + 1).await?;
    Ok(part.page(versions, |version| version.number.to_string(), types::agent))
}

pub(super) fn read_id(text: &str) -> Result<AgentId, Error> {
    command::read_agent_id(text).ok_or_else(|| Refusal::AgentNotFound.into())
}
