//! Sessions in short, and forks of them: `/sessions`.

use axum::{
    Router,
    extract::State as Shared,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use mainstay_runtime::{Caller, Direction, Listing};
use mainstay_session::{Command, State, event::Kind};
use mainstay_vocabulary::{Sequence, TurnId};
use mainstay_wire::native::{
    Fork,
    session::{self, Opening},
};
use serde_json::Value;

use crate::{
    agents::{self, Part},
    auth::Authenticated,
    body::JsonObject,
    error::Error,
    idempotency,
    json::Json,
    path::Ids,
    query::Query,
    responses::lookup,
    state::AppState,
};

/// Events that are read of each session to find its first words and count its turns.
const OPENING: usize = 500;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/mainstay/v1/sessions", get(list))
        .route("/mainstay/v1/sessions/{session_id}", get(retrieve))
        .route("/mainstay/v1/sessions/{session_id}/fork", post(fork))
        .route("/mainstay/v1/sessions/{session_id}/compact", post(compact))
}

async fn list(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query)?;
    let after = part.after.as_deref().map(agents::read_session_id).transpose().map_err(|_| agents::wrong_after())?;
    let direction = if part.is_ascending { Direction::Ascending } else { Direction::Descending };
    let listing = Listing { kind: Kind::Agent, after, direction, limit: part.limit + 1 };
    let mut sessions = state.engine.list(&caller, listing).await?;
    let has_more = sessions.len() > part.limit;
    sessions.truncate(part.limit);
    let mut data = Vec::with_capacity(sessions.len());
    for session in &sessions {
        match shown(&state, &caller, session).await {
            Ok(session) => data.push(session),
            // Deleted between the list and the look.
            Err(error) if error.status == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Json(session::page(data, has_more)))
}

async fn retrieve(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let session = agents::find(&state, &caller, &id).await?;
    Ok(Json(shown(&state, &caller, &session).await?))
}

async fn shown(state: &AppState, caller: &Caller, session: &State) -> Result<Value, Error> {
    let events = state.engine.read(caller, session.session, Sequence(0), OPENING).await?;
    Ok(session::session(session, &Opening::read(&events)))
}

async fn fork(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "sessions.fork", &id, &body.raw)?;
    let near = agents::read_session_id(&id).ok();
    if let Some(accepted) = state.engine.replayed(&caller, idempotent.as_ref(), near).await? {
        return Ok(Json(shown(&state, &caller, &accepted.state).await?));
    }
    let parent = agents::find(&state, &caller, &id).await?;
    let wish = Fork::read(body.object)?;
    let place = place(&state, &caller, &parent, wish.turn).await?;
    let create = state.engine.fork(&caller, parent.session, place, wish.create(&parent)).await?;
    let session = state.engine.session_id(&caller, idempotent.as_ref(), near);
    let accepted = state.engine.submit(&caller, session, Command::Create(Box::new(create)), idempotent).await?;
    Ok(Json(shown(&state, &caller, &accepted.state).await?))
}

/// Accepted, not done: the journal tells when the context began anew.
async fn compact(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "sessions.compact", &id, &body.raw)?;
    let session = agents::find(&state, &caller, &id).await?;
    let accepted = state.engine.submit(&caller, session.session, Command::Compact, idempotent).await?;
    Ok(Json(shown(&state, &caller, &accepted.state).await?))
}

/// The last place that a fork inherits: the end of the named turn, or of the last one that is over.
async fn place(state: &AppState, caller: &Caller, parent: &State, turn: Option<TurnId>) -> Result<Sequence, Error> {
    let busy = || Error::conflict("The turn is running; fork when it is over.").with_code("session_busy");
    let Some(turn) = turn else {
        return match &parent.last_turn {
            Some(last) => Ok(last.ended),
            None if parent.turn.is_none() => Ok(parent.sequence),
            None => Err(busy()),
        };
    };
    if turn.session != parent.session {
        return Err(Error::invalid("'turn_id' names a turn of another session.").with_param("turn_id"));
    }
    if parent.turn.as_ref().is_some_and(|running| running.id == turn.sequence) {
        return Err(busy());
    }
    let ended = lookup::ended_at(&state.engine, caller, parent, turn).await?;
    ended.ok_or_else(|| Error::not_found("There is no such turn in this session.").with_param("turn_id"))
}
