//! Routes of the native wire. Their paths are whole: vendors' wires have sessions, too.

mod approval;
mod journal;
mod session;

use axum::Router;

use crate::state::AppState;

/// Its routes.
pub(crate) fn routes() -> Router<AppState> {
    Router::new().merge(session::routes()).merge(journal::routes()).merge(approval::routes())
}
