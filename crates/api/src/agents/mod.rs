//! Routes of the Agents wire, relative to `/v1`. A file per noun; `chunk` reads the journal for the lists.

pub(crate) mod agent;
mod automation;
mod chunk;
mod event;
mod listing;
mod session;
mod unserved;

use axum::Router;
use mainstay_runtime::Caller;
use mainstay_session::{State, event::Kind};
use mainstay_vocabulary::SessionId;
use std::sync::Arc;

use crate::{error::Error, query::Query, state::AppState};

/// Its routes.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .merge(agent::routes())
        .merge(automation::routes())
        .merge(session::routes())
        .merge(event::routes())
        .merge(listing::routes())
        .merge(unserved::routes())
}

/// A session of an agent that the path names.
pub(crate) async fn find(state: &AppState, caller: &Caller, id: &str) -> Result<Arc<State>, Error> {
    let id = read_session_id(id)?;
    let session = state.engine.state(caller, id).await?;
    if session.kind == Kind::Agent { Ok(session) } else { Err(no_session()) }
}

/// A session's id, read from its text.
pub(crate) fn read_session_id(id: &str) -> Result<SessionId, Error> {
    let known = id.strip_prefix("sess_").and_then(|_| id.parse().ok());
    known.ok_or_else(no_session)
}

fn no_session() -> Error {
    Error::not_found("There is no such session.")
}

/// Which part of a list is wanted.
pub(crate) struct Part {
    /// The id of the element before the first one.
    pub(crate) after: Option<String>,
    /// Most elements.
    pub(crate) limit: usize,
    /// Oldest first.
    pub(crate) is_ascending: bool,
}

impl Part {
    /// From the parameters `after`, `limit` and `order`.
    pub(crate) fn read(query: &Query) -> Result<Self, Error> {
        if query.get("before").is_some() {
            return Err(Error::unsupported("The parameter 'before'").with_param("before"));
        }
        let limit = query.number("limit", 20, 1..=100)?;
        Ok(Self {
            after: query.get("after").map(str::to_owned),
            limit: usize::try_from(limit).unwrap_or(100),
            is_ascending: query.choice("order", &["asc", "desc"])? == Some("asc"),
        })
    }
}

/// `after` names nothing in the list.
pub(crate) fn wrong_after() -> Error {
    Error::invalid("'after' is not the id of an object of this list.").with_param("after")
}
