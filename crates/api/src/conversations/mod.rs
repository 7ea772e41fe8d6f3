//! Routes of the Conversations wire, relative to `/v1`. A conversation is a session that Responses append to; its
//! items are its context. Start with `conversation`.

mod conversation;
mod item;

use axum::{
    Router,
    routing::{get, post},
};

use crate::state::AppState;

/// Its routes.
pub(crate) fn routes() -> Router<AppState> {
    let one = get(conversation::retrieve).post(conversation::update).delete(conversation::delete);
    Router::new()
        .route("/conversations", post(conversation::create))
        .route("/conversations/{id}", one)
        .route("/conversations/{id}/items", get(item::list).post(item::create))
        .route("/conversations/{id}/items/{item}", get(item::retrieve).delete(item::delete))
}
