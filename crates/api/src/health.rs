//! Whether the server lives and takes requests. No key needed, nothing about the contents said.

use axum::{Router, extract::State, routing::get};

use crate::{error::Error, state::AppState};

/// `/healthz` and `/readyz`.
pub(crate) fn routes() -> Router<AppState> {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready))
}

async fn ready(State(state): State<AppState>) -> Result<&'static str, Error> {
    if *state.settings.stop.borrow() {
        return Err(Error::unavailable("The server is stopping."));
    }
    // A node that drives nothing yet cannot book an inference; it has its share in a moment.
    if state.engine.standing().is_some_and(|standing| standing.driven == 0) {
        return Err(Error::unavailable("The node drives no shard yet."));
    }
    Ok("ready\n")
}
