//! Sessions: `/sessions`.

use std::sync::Arc;

use axum::{
    Router,
    extract::State as Shared,
    http::HeaderMap,
    routing::{get, post},
};
use mainstay_runtime::{Caller, Direction, Listing};
use mainstay_session::{Command, State, event::Kind};
use mainstay_vocabulary::SessionId;
use mainstay_wire::managed::{
    agent_id,
    command::{self, CreateSession},
    types,
};
use serde_json::json;

use super::{PAGE, Part, agent::read_id, find};
use crate::{
    agents::agent,
    auth::Authenticated,
    body::JsonObject,
    error::Error,
    idempotency,
    json::Json,
    path::Ids,
    query::{Query, Times},
    state::AppState,
};

/// Most sessions that one request looks at to find those that match its filters.
const MAX_SCANNED: usize = 2_000;

/// Sessions asked of the engine at a time.
const STEP: usize = 100;

const STATUSES: [&str; 4] = ["rescheduling", "running", "idle", "terminated"];

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/sessions", post(create).get(list))
        .route("/sessions/{session_id}", get(retrieve).post(update).delete(delete))
        .route("/sessions/{session_id}/archive", post(archive))
}

async fn create(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "managed.sessions.create", "", &body.raw)?;
    let request = CreateSession::read(body.object)?;
    if let Some(accepted) = state.engine.replayed(&caller, idempotent.as_ref(), None).await? {
        return Ok(Json(types::session(&accepted.state)));
    }
    let saved = agent::saved(&state, &caller, (read_id(&request.agent)?, request.version)).await;
    let saved = saved.map_err(|error| error.with_param("agent"))?;
    let command = request.command(&saved, state.engine.default_limits())?;
    let session = state.engine.session_id(&caller, idempotent.as_ref(), None);
    let accepted = state.engine.submit(&caller, session, command, idempotent).await?;
    Ok(Json(types::session(&accepted.state)))
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
    let idempotent = idempotency::of(&headers, "managed.sessions.update", &id, &body.raw)?;
    let session = find(&state, &caller, &id).await?;
    let Some(command) = command::update_session(&session, body.object)? else {
        return Ok(Json(types::session(&session)));
    };
    let accepted = state.engine.submit(&caller, session.session, command, idempotent).await?;
    Ok(Json(types::session(&accepted.state)))
}

async fn archive(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let session = find(&state, &caller, &id).await?;
    let accepted = state.engine.submit(&caller, session.session, Command::Archive, None).await?;
    Ok(Json(types::session(&accepted.state)))
}

async fn delete(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let session = find(&state, &caller, &id).await?;
    state.engine.submit(&caller, session.session, Command::Delete, None).await?;
    Ok(Json(json!({ "id": id, "type": "session_deleted" })))
}

async fn list(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query, PAGE)?;
    let after: Option<SessionId> = part.cursor(|text| text.parse().ok())?;
    let wanted = Wanted::read(&query)?;
    let direction = match query.choice("order", &["asc", "desc"])? {
        Some("asc") => Direction::Ascending,
        _ => Direction::Descending,
    };
    let (mut sessions, cut) = scan(&state, &caller, (after, direction), (&wanted, part.limit + 1)).await?;
    let has_more = sessions.len() > part.limit;
    sessions.truncate(part.limit);
    let last = if has_more { sessions.last().map(|session| session.session) } else { cut };
    let data = sessions.iter().map(|session| types::session(session)).collect();
    let mut page = types::page(data, last.map(|last| format!("page_{last}")));
    page["prev_page"] = json!(null);
    Ok(Json(page))
}

/// Sessions that match, at most `most`; and the last one looked at, where looking stopped before the end of the list.
async fn scan(
    state: &AppState,
    caller: &Caller,
    (mut after, direction): (Option<SessionId>, Direction),
    (wanted, most): (&Wanted<'_>, usize),
) -> Result<(Vec<Arc<State>>, Option<SessionId>), Error> {
    let mut found = Vec::new();
    for _ in 0..MAX_SCANNED / STEP {
        let listing = Listing { kind: Kind::Agent, after, direction, limit: STEP };
        let page = state.engine.list(caller, listing).await?;
        let is_last = page.len() < STEP;
        after = page.last().map(|session| session.session).or(after);
        found.extend(page.into_iter().filter(|session| wanted.holds(session)));
        if found.len() >= most || is_last {
            return Ok((found, None));
        }
    }
    Ok((found, after))
}

/// Filters of the list.
struct Wanted<'a> {
    query: &'a Query,
    times: Times,
    version: u64,
    archived: bool,
}

impl<'a> Wanted<'a> {
    fn read(query: &'a Query) -> Result<Self, Error> {
        if let Some(unknown) = query.all("statuses").find(|status| !STATUSES.contains(status)) {
            return Err(Error::invalid(format!("'{unknown}' is no status of a session.")).with_param("statuses"));
        }
        Ok(Self {
            query,
            times: query.times()?,
            version: query.number("agent_version", 0, 1..=u64::from(u32::MAX))?,
            archived: query.flag("include_archived", false)?,
        })
    }

    fn holds(&self, session: &State) -> bool {
        let query = self.query;
        let number = session.agent.as_ref().map_or(1, |agent| u64::from(agent.number.max(1)));
        let of_agent = query
            .get("agent_id")
            .is_none_or(|wanted| agent_id(session) == wanted && (self.version == 0 || self.version == number));
        let mut statuses = query.all("statuses").peekable();
        let stands = statuses.peek().is_none() || statuses.any(|status| status == types::status(session));
        // No session here has a deployment or a memory store.
        let of_others = query.get("deployment_id").is_some() || query.get("memory_store_id").is_some();
        of_agent
            && stands
            && !of_others
            && self.times.hold(session.created_at)
            && (self.archived || session.archived_at.is_none())
    }
}
