//! The journal of a session, in pages: `/sessions/{id}/journal`.

use axum::{Router, extract::State as Shared, routing::get};
use mainstay_vocabulary::Sequence;
use mainstay_wire::native::journal;

use crate::{agents, auth::Authenticated, error::Error, json::Json, path::Ids, query::Query, state::AppState};

/// Most events of a page, and what a page holds unless it is asked otherwise.
const PAGE: (u64, u64) = (500, 100);

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/mainstay/v1/sessions/{session_id}/journal", get(list))
}

async fn list(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    let after = query.number("after_sequence", 0, 0..=u64::MAX)?;
    let limit = query.number("limit", PAGE.1, 1..=PAGE.0)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let session = agents::find(&state, &caller, &id).await?;
    let mut events = state.engine.read(&caller, session.session, Sequence(after), limit + 1).await?;
    let has_more = events.len() > limit;
    events.truncate(limit);
    let data = events.iter().map(|event| journal::record(session.session, event)).collect();
    Ok(Json(journal::page(data, has_more)))
}
