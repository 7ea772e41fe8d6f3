//! `POST /responses`: starts a turn and answers at once, at its end, or with its stream. A client that leaves changes
//! nothing about the turn.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use mainstay_runtime::Engine;
use mainstay_wire::responses::View;

use super::{
    follow, input, lookup,
    place::{self, Wanted},
    prompt,
};
use crate::{
    auth::Authenticated, body::JsonObject, error::Error, gateway::responses as passing, idempotency, json::Json, sse,
    state::AppState,
};

pub(super) async fn create(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Response, Error> {
    let engine = &state.engine;
    let idempotent = idempotency::of(&headers, "responses.create", "", &body.raw)?;
    // A key is kept in a session's journal, for a request that comes twice.
    if idempotent.is_none()
        && let Some(call) = passing::passes(engine, &body.object, &headers)
    {
        drop(body.object);
        return passing::pass(&state, &caller, call, body.raw).await;
    }
    let mut request = prompt::read(engine, &caller, body.object).await?;
    drop(body.raw);
    check_model(engine, &request.spec.model)?;
    let items = input::resolve(engine, &caller, std::mem::take(&mut request.input)).await?;
    let (shape, stream, background) = (request.shape, request.stream, request.background);
    let wanted = Wanted { request, items, before: None, idempotent };
    let started = place::start(engine, &caller, wanted).await?;
    if stream {
        let view = View::new(started.head, shape, 0);
        return Ok(sse::response(follow::frames(view, started.follow), &state.settings));
    }
    let view = View::without_frames(started.head, shape);
    let view = match (background, started.replayed) {
        (true, true) => lookup::fold(engine, &caller, view).await?,
        (true, false) => view,
        (false, _) => follow::until_over(view, started.follow).await?,
    };
    Ok(Json(view.object()).into_response())
}

pub(super) fn check_model(engine: &Engine, name: &str) -> Result<(), Error> {
    if engine.models().iter().any(|model| model.name == name) {
        return Ok(());
    }
    let message = format!("The requested model '{name}' does not exist.");
    Err(Error::invalid(message).with_code("model_not_found").with_param("model"))
}
