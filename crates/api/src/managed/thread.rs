//! A session's only thread and what is mounted into it, which is nothing: `/sessions/{id}/threads`, `…/resources`.

use axum::{
    Router,
    extract::State as Shared,
    http::HeaderMap,
    response::Response,
    routing::{get, post},
};
use mainstay_runtime::Caller;
use mainstay_session::State;
use mainstay_wire::managed::{thread_id, types};
use std::sync::Arc;

use super::{PAGE, Part, event, find};
use crate::{auth::Authenticated, error::Error, json::Json, path::Ids, query::Query, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/sessions/{session_id}/threads", get(list))
        .route("/sessions/{session_id}/threads/{thread_id}", get(retrieve))
        .route("/sessions/{session_id}/threads/{thread_id}/archive", post(archive))
        .route("/sessions/{session_id}/threads/{thread_id}/events", get(events))
        .route("/sessions/{session_id}/threads/{thread_id}/stream", get(follow))
        .route("/sessions/{session_id}/resources", get(resources).post(add))
        .route("/sessions/{session_id}/resources/{resource_id}", get(resource).post(resource).delete(resource))
}

async fn list(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    Part::read(&query, PAGE)?;
    let session = find(&state, &caller, &id).await?;
    let mut statuses = query.all("statuses").peekable();
    let is_wanted = statuses.peek().is_none() || statuses.any(|status| status == types::status(&session));
    Ok(Json(types::page(is_wanted.then(|| types::thread(&session)).into_iter().collect(), None)))
}

async fn retrieve(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(ids): Ids<(String, String)>,
) -> Result<Json, Error> {
    Ok(Json(types::thread(&*find_thread(&state, &caller, &ids).await?)))
}

async fn archive(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(ids): Ids<(String, String)>,
) -> Result<Json, Error> {
    find_thread(&state, &caller, &ids).await?;
    Err(Error::invalid("The primary thread cannot be archived; archive the session.").with_code("primary_thread"))
}

async fn events(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(ids): Ids<(String, String)>,
    query: Query,
) -> Result<Json, Error> {
    let session = find_thread(&state, &caller, &ids).await?;
    event::page(&state, &caller, session, &query).await
}

async fn follow(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(ids): Ids<(String, String)>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let session = find_thread(&state, &caller, &ids).await?;
    event::stream_of(&state, caller, session, (&query, &headers)).await
}

async fn find_thread(state: &AppState, caller: &Caller, (id, thread): &(String, String)) -> Result<Arc<State>, Error> {
    let session = find(state, caller, id).await?;
    let is_it = *thread == thread_id(session.session);
    if is_it { Ok(session) } else { Err(Error::not_found("There is no such thread in this session.")) }
}

async fn resources(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    Part::read(&query, PAGE)?;
    find(&state, &caller, &id).await?;
    Ok(Json(types::page(Vec::new(), None)))
}

async fn add(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    find(&state, &caller, &id).await?;
    Err(Error::unsupported("Mounting resources into a session"))
}

async fn resource(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids((id, _)): Ids<(String, String)>,
) -> Result<Json, Error> {
    find(&state, &caller, &id).await?;
    Err(Error::not_found("There is no such resource in this session."))
}
