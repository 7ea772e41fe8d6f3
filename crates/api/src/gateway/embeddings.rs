//! `POST /embeddings`.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use mainstay_wire::embeddings;

use super::failure;
use crate::{auth::Authenticated, body::JsonObject, error::Error, json::Json, state::AppState};

pub(super) async fn create(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    body: JsonObject,
) -> Result<Response, Error> {
    let call = embeddings::read(body.object)?;
    let raw = Arc::from(&body.raw.bytes[..]);
    match state.engine.embed(&caller, &call.model, call.request, raw).await {
        Ok(found) => Ok(Json(embeddings::object(&call.model, call.encoding, &found)).into_response()),
        Err(refused) => Ok(failure::refused(refused, None)),
    }
}
