//! Environments: there is one, in which nothing runs on the server, because the vendor's clients must name one.

use axum::{
    Router,
    extract::State as Shared,
    routing::{any, get, post},
};
use mainstay_wire::managed::{ENVIRONMENT, types};

use super::{PAGE, Part};
use crate::{auth::Authenticated, error::Error, json::Json, path::Ids, query::Query, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/environments", get(list).post(create))
        .route("/environments/{environment_id}", get(retrieve).post(change).delete(change))
        .route("/environments/{environment_id}/archive", post(change))
        .route("/environments/{environment_id}/work", any(work))
        .route("/environments/{environment_id}/work/{*rest}", any(work))
}

async fn list(_: Authenticated, Shared(state): Shared<AppState>, query: Query) -> Result<Json, Error> {
    Part::read(&query, PAGE)?;
    Ok(Json(types::page(vec![types::environment(state.began)], None)))
}

async fn retrieve(_: Authenticated, Shared(state): Shared<AppState>, Ids(id): Ids<String>) -> Result<Json, Error> {
    known(&id)?;
    Ok(Json(types::environment(state.began)))
}

async fn create(_: Authenticated) -> Error {
    Error::unsupported("Creating environments")
}

async fn change(_: Authenticated, Ids(id): Ids<String>) -> Result<Json, Error> {
    known(&id)?;
    Err(Error::unsupported("Changing environments"))
}

async fn work(_: Authenticated) -> Error {
    Error::unsupported("The work queue of environments")
}

fn known(id: &str) -> Result<(), Error> {
    if id == ENVIRONMENT { Ok(()) } else { Err(Error::not_found("There is no such environment.")) }
}
