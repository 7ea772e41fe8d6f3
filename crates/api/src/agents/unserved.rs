//! Operations of the vendor's API that are not served yet: each answers by name, in the wire's shape.

use axum::{
    Router,
    routing::{MethodRouter, any},
};

use crate::{auth::Authenticated, error::Error, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/agents/environments", unserved("Agent environments"))
        .route("/agents/environments/{*rest}", unserved("Agent environments"))
        .route("/vaults", unserved("Vaults"))
        .route("/vaults/{*rest}", unserved("Vaults"))
}

fn unserved(what: &'static str) -> MethodRouter<AppState> {
    any(async move |_: Authenticated| -> Error { Error::unsupported(what) })
}
