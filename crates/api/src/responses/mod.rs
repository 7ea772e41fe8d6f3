//! Routes of the Responses wire, relative to `/v1`: what `wire::responses` reads and shows, this finds, sends and
//! follows. Start with `create`.

mod compact;
mod create;
mod follow;
pub(crate) mod input;
pub(crate) mod lookup;
pub(crate) mod page;
mod place;
mod prompt;
mod socket;
mod stored;

use axum::{
    Router,
    routing::{get, post},
};

use crate::state::AppState;

/// Its routes.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/responses", post(create::create).get(socket::upgrade))
        .route("/responses/{id}", get(stored::retrieve).delete(stored::delete))
        .route("/responses/{id}/cancel", post(stored::cancel))
        .route("/responses/{id}/input_items", get(stored::input_items))
        .route("/responses/compact", post(compact::compact))
        .route("/responses/input_tokens", post(compact::count))
}
