//! Routes of the Claude Managed Agents wire, relative to `/anthropic/v1`. A file per noun; `history` reads the journal
//! for lists and cursors, `shape` gives errors this vendor's shape.

mod agent;
mod environment;
mod event;
mod history;
mod model;
mod session;
mod shape;
mod thread;
mod unserved;

use std::sync::Arc;

use axum::{Router, middleware::from_fn};
use mainstay_runtime::Caller;
use mainstay_session::{State, event::Kind};
use mainstay_vocabulary::SessionId;
use mainstay_wire::managed::{session_id, types};
use serde_json::Value;

use crate::{error::Error, json::Json, query::Query, state::AppState};

/// Its routes.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .merge(agent::routes())
        .merge(session::routes())
        .merge(event::routes())
        .merge(thread::routes())
        .merge(environment::routes())
        .merge(model::routes())
        .merge(unserved::routes())
}

/// This vendor's routes: errors in its shape, also for paths that nobody knows.
pub(crate) fn shaped(routes: Router<AppState>) -> Router<AppState> {
    routes
        .method_not_allowed_fallback(crate::router::method_not_allowed)
        .fallback(crate::router::not_found)
        .layer(from_fn(shape::shape))
}

/// Single routes of this vendor among another's: errors in its shape.
pub(crate) fn shaped_alone(routes: Router<AppState>) -> Router<AppState> {
    routes.layer(from_fn(shape::shape))
}

/// A session that the path names.
async fn find(state: &AppState, caller: &Caller, id: &str) -> Result<Arc<State>, Error> {
    let session = state.engine.state(caller, read_session_id(id).ok_or_else(no_session)?).await?;
    if session.kind == Kind::Agent { Ok(session) } else { Err(no_session()) }
}

fn read_session_id(text: &str) -> Option<SessionId> {
    text.parse().ok().filter(|id| session_id(*id) == text)
}

fn no_session() -> Error {
    Error::not_found("There is no such session.")
}

/// Which part of a list is wanted: where it goes on, and how much.
struct Part {
    page: Option<String>,
    limit: usize,
}

impl Part {
    /// From the parameters `page` and `limit`.
    fn read(query: &Query, (default, most): (u64, u64)) -> Result<Self, Error> {
        let limit = usize::try_from(query.number("limit", default, 1..=most)?).unwrap_or(1);
        Ok(Self { page: query.get("page").map(str::to_owned), limit })
    }

    /// What `page` says, read by `read`.
    fn cursor<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
        let found = self.page.as_deref().map(|page| read(page.strip_prefix("page_")?));
        match found {
            None => Ok(None),
            Some(Some(cursor)) => Ok(Some(cursor)),
            Some(None) => Err(Error::invalid("'page' is not a cursor of this list.").with_param("page")),
        }
    }

    /// A page out of one row more than wanted; `id` names the last row of the page.
    fn page<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> String, show: impl Fn(&T) -> Value) -> Json {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| has_more).map(|last| format!("page_{}", id(last)));
        Json(types::page(rows.iter().map(show).collect(), next))
    }
}

/// Default and most elements of a page.
const PAGE: (u64, u64) = (20, 100);
