//! What people are asked across sessions, and their answers: `/approvals` and `/effects`.

use axum::{
    Router,
    extract::State as Shared,
    http::HeaderMap,
    routing::{get, post},
};
use mainstay_runtime::Caller;
use mainstay_session::{Refusal, State};
use mainstay_vocabulary::{Sequence, SessionId};
use mainstay_wire::native::approval::{self, Decision, Kind, read_request_id};

use crate::{
    agents::{self, Part},
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
        .route("/mainstay/v1/approvals", get(approvals))
        .route("/mainstay/v1/approvals/{question_id}", post(answer))
        .route("/mainstay/v1/effects", get(effects))
        .route("/mainstay/v1/effects/{question_id}", post(resolve))
}

async fn approvals(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    query: Query,
) -> Result<Json, Error> {
    list(&state, &caller, &query, Kind::Approval).await
}

async fn effects(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    query: Query,
) -> Result<Json, Error> {
    list(&state, &caller, &query, Kind::Unknown).await
}

/// A page holds all questions of so many sessions.
async fn list(state: &AppState, caller: &Caller, query: &Query, kind: Kind) -> Result<Json, Error> {
    let part = Part::read(query)?;
    let after = part.after.as_deref().map(agents::read_session_id).transpose().map_err(|_| agents::wrong_after())?;
    let mut asking = state.engine.asking(caller, after, part.limit + 1).await?;
    let has_more = asking.len() > part.limit;
    asking.truncate(part.limit);
    let last = asking.last().map(|session| session.session);
    let data = asking.iter().flat_map(|session| approval::list(session, kind)).collect();
    Ok(Json(approval::page(data, last, has_more)))
}

async fn answer(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    decide(&state, &caller, (&id, Kind::Approval), (headers, body)).await
}

async fn resolve(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    decide(&state, &caller, (&id, Kind::Unknown), (headers, body)).await
}

async fn decide(
    state: &AppState,
    caller: &Caller,
    (id, kind): (&str, Kind),
    (headers, body): (HeaderMap, JsonObject),
) -> Result<Json, Error> {
    let not_found = || Error::not_found("There is no such question.").with_param("question_id");
    let (session, asked): (SessionId, Sequence) = read_request_id(id).ok_or_else(not_found)?;
    let idempotent = idempotency::of(&headers, "approvals.answer", id, &body.raw)?;
    let decision = Decision::read(body.object, kind)?;
    if let Some(accepted) = state.engine.replayed(caller, idempotent.as_ref(), Some(session)).await? {
        return Ok(Json(after(&accepted.state)));
    }
    let before = state.engine.state(caller, session).await.map_err(|_| not_found())?;
    let command = decision.command(&before, asked).ok_or(Refusal::ApprovalNotOpen(asked))?;
    let accepted = state.engine.submit(caller, session, command, idempotent).await?;
    Ok(Json(after(&accepted.state)))
}

/// What the session asks after an answer.
fn after(state: &State) -> serde_json::Value {
    let mut open = approval::list(state, Kind::Approval);
    open.extend(approval::list(state, Kind::Unknown));
    approval::page(open, Some(state.session), false)
}
