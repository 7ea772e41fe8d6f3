//! Routes of the responses wire, relative to `/v1`.

use axum::Router;

use crate::state::AppState;

/// Its routes.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
}
