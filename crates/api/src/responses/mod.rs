//! Routes of the Responses wire, relative to `/v1`: what `wire::responses` reads and shows, this finds, sends and
//! follows. Start with `create`.

mod create;
mod follow;
pub(crate) mod input;
mod lookup;
pub(crate) mod page;
mod place;
mod stored;

use axum::{
    Router,
    extract::Request,
    routing::{get, post},
};

use crate::{auth::Authenticated, error::Error, state::AppState};

/// Its routes.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/responses", post(create::create))
        .route("/responses/{id}", get(stored::retrieve).delete(stored::delete))
        .route("/responses/{id}/cancel", post(stored::cancel))
        .route("/responses/{id}/input_items", get(stored::input_items))
        .route("/responses/compact", post(unserved))
        .route("/responses/input_tokens", post(unserved))
}

async fn unserved(_: Authenticated, request: Request) -> Error {
    let message = format!("{} is not served by this server.", request.uri().path());
    Error::not_found(message).with_code("unsupported_operation")
}
