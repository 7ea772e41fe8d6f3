//! Operations of the vendor's API that are not served: each answers by name, in the wire's shape.

use axum::{
    Router,
    routing::{MethodRouter, any},
};

use crate::{auth::Authenticated, error::Error, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/deployments", unserved("Deployments"))
        .route("/deployments/{*rest}", unserved("Deployments"))
        .route("/deployment_runs", unserved("Runs of deployments"))
        .route("/deployment_runs/{*rest}", unserved("Runs of deployments"))
        .route("/dreams", unserved("Dreams"))
        .route("/dreams/{*rest}", unserved("Dreams"))
        .route("/files", unserved("Files of this vendor's API"))
        .route("/files/{*rest}", unserved("Files of this vendor's API"))
        .route("/memory_stores", unserved("Memory stores"))
        .route("/memory_stores/{*rest}", unserved("Memory stores"))
        .route("/messages/batches", unserved("Batches of messages"))
        .route("/messages/batches/{*rest}", unserved("Batches of messages"))
        .route("/skills", unserved("Skills"))
        .route("/skills/{*rest}", unserved("Skills"))
        .route("/tunnels", unserved("Tunnels"))
        .route("/tunnels/{*rest}", unserved("Tunnels"))
        .route("/user_profiles", unserved("User profiles"))
        .route("/user_profiles/{*rest}", unserved("User profiles"))
        .route("/vaults", unserved("Vaults"))
        .route("/vaults/{*rest}", unserved("Vaults"))
}

fn unserved(what: &'static str) -> MethodRouter<AppState> {
    any(async move |_: Authenticated| -> Error { Error::unsupported(what) })
}
