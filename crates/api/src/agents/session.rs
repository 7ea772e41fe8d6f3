//! Sessions: `/agents/sessions`.

use std::sync::Arc;

use axum::{
    Router,
    extract::State as Shared,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use mainstay_runtime::{Caller, Direction, Listing};
use mainstay_session::{Command, State, event::Kind};
use mainstay_vocabulary::SessionId;
use mainstay_wire::agents::{
    View, agent_id,
    command::{self, CreateSession},
    types,
};
use serde_json::json;

use super::{Part, agent, event, find, read_session_id, wrong_after};
use crate::{
    auth::Authenticated, body::JsonObject, error::Error, idempotency, json::Json, path::Ids, query::Query,
    state::AppState,
};

/// Most sessions that one request looks at to find those that match its filters.
const MAX_SCANNED: usize = 2_000;

/// Sessions asked of the engine at a time.
const PAGE: usize = 100;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/agents/sessions", post(create).get(list))
        .route("/agents/sessions/{session_id}", get(retrieve).post(update).delete(delete))
}

async fn create(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Response, Error> {
    let idempotent = idempotency::of(&headers, "agents.sessions.create", "", &body.raw)?;
    let request = CreateSession::read(body.object)?;
    let (stream, obfuscate) = (request.stream, request.obfuscate);
    if let Some(accepted) = state.engine.replayed(&caller, idempotent.as_ref(), None).await? {
        if stream {
            let follow = state.engine.follow(&caller, accepted.session, mainstay_runtime::From::Start).await?;
            let view = View::new(State::unborn(accepted.session));
            return Ok(event::response(&state, event::Tail::new(follow, view, obfuscate)));
        }
        return Ok(Json(types::session(&accepted.state)).into_response());
    }
    let saved = match request.agent_id {
        Some(id) => Some(agent::saved(&state, &caller, (id, None)).await?),
        None => None,
    };
    let command = request.command(saved.as_ref(), state.engine.default_limits())?;
    let session = state.engine.session_id(&caller, idempotent.as_ref(), None);
    if stream {
        let (_, follow) = state.engine.submit_and_follow(&caller, session, command, idempotent).await?;
        let view = View::new(State::unborn(session));
        return Ok(event::response(&state, event::Tail::new(follow, view, obfuscate)));
    }
    let accepted = state.engine.submit(&caller, session, command, idempotent).await?;
    Ok(Json(types::session(&accepted.state)).into_response())
}

async fn retrieve(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    Ok(Json(types::session(&*find(&state, &caller, &id).await?)))
}

async fn update(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "agents.sessions.update", &id, &body.raw)?;
    let session = find(&state, &caller, &id).await?;
    let Some(command) = command::update_session(&session, body.object)? else {
        return Ok(Json(types::session(&session)));
    };
    let accepted = state.engine.submit(&caller, session.session, command, idempotent).await?;
    Ok(Json(types::session(&accepted.state)))
}

async fn delete(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let session = find(&state, &caller, &id).await?;
    state.engine.submit(&caller, session.session, Command::Delete, None).await?;
    Ok(Json(json!({ "id": id, "object": "agent.session.deleted", "deleted": true })))
}

async fn list(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query)?;
    let after = part.after.as_deref().map(read_session_id).transpose().map_err(|_| wrong_after())?;
    let (sessions, has_more) = scan(&state, &caller, (after, &part), &query).await?;
    let data = sessions.iter().map(|session| types::session(session)).collect();
    Ok(Json(types::page(data, has_more)))
}

/// The sessions that match, at most as many as wanted, and whether there may be more.
async fn scan(
    state: &AppState,
    caller: &Caller,
    (mut after, part): (Option<SessionId>, &Part),
    query: &Query,
) -> Result<(Vec<Arc<State>>, bool), Error> {
    let direction = if part.is_ascending { Direction::Ascending } else { Direction::Descending };
    let is_filtered = query.get("agent_id").is_some() || query.pairs("metadata").next().is_some();
    let size = if is_filtered { PAGE } else { PAGE.min(part.limit + 1) };
    let mut found = Vec::new();
    for _ in 0..MAX_SCANNED / size {
        let page = state.engine.list(caller, Listing { kind: Kind::Agent, after, direction, limit: size }).await?;
        let is_last = page.len() < size;
        after = page.last().map(|session| session.session).or(after);
        found.extend(page.into_iter().filter(|session| matches(session, query)));
        if found.len() > part.limit || is_last {
            let has_more = found.len() > part.limit;
            found.truncate(part.limit);
            return Ok((found, has_more));
        }
    }
    Ok((found, true))
}

fn matches(session: &State, query: &Query) -> bool {
    let is_tagged = |(key, value)| session.metadata.get(key).and_then(serde_json::Value::as_str) == Some(value);
    query.get("agent_id").is_none_or(|wanted| agent_id(session) == wanted) && query.pairs("metadata").all(is_tagged)
}
