//! Responses that were made before: read, streamed again from any place, cancelled, deleted.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use mainstay_runtime::From;
use mainstay_session::{Command, Event};
use mainstay_vocabulary::{ItemId, Sequence};
use mainstay_wire::responses::{View, item::Shape, response_id};
use serde_json::json;

use super::{
    follow, lookup,
    page::{page_json, page_of, shape_of},
};
use crate::{auth::Authenticated, error::Error, json::Json, path::Ids, query::Query, sse, state::AppState};

pub(super) async fn retrieve(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Response, Error> {
    let engine = &state.engine;
    let turn = lookup::turn_of(&id)?;
    let shape = shape_of(&query)?;
    let stream = query.flag("stream", false)?;
    let from = match query.get("starting_after") {
        None => 0,
        Some(_) if !stream => {
            let message = "'starting_after' goes with 'stream=true'.";
            return Err(Error::invalid(message).with_param("starting_after"));
        }
        Some(_) => query.number("starting_after", 0, 0..=u64::MAX - 1)? + 1,
    };
    let head = lookup::head(engine, &caller, turn).await?;
    if stream {
        let before = From::After(Sequence(turn.sequence.0 - 1));
        let moments = engine.follow(&caller, turn.session, before).await?;
        let frames = follow::frames(View::new(head, shape, from), moments);
        return Ok(sse::response(frames, &state.settings));
    }
    let view = lookup::fold(engine, &caller, View::without_frames(head, shape)).await?;
    Ok(Json(view.object()).into_response())
}

pub(super) async fn cancel(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let engine = &state.engine;
    let turn = lookup::turn_of(&id)?;
    let head = lookup::head(engine, &caller, turn).await?;
    if !head.is_background() {
        let message = "Cannot cancel a synchronous response; only background responses can be cancelled.";
        return Err(Error::invalid(message).with_code("invalid_request_error"));
    }
    let view = View::without_frames(head, Shape::default());
    let now = lookup::fold(engine, &caller, view.clone()).await?;
    if now.standing().is_final() {
        return Ok(Json(now.object()));
    }
    engine.submit(&caller, turn.session, Command::Cancel { turn: Some(turn) }, None).await?;
    Ok(Json(lookup::fold(engine, &caller, view).await?.object()))
}

pub(super) async fn delete(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let engine = &state.engine;
    let turn = lookup::turn_of(&id)?;
    lookup::session_of(engine, &caller, turn).await?;
    let command = Command::All(vec![Command::Cancel { turn: Some(turn) }, Command::HideTurn(turn)]);
    engine.submit(&caller, turn.session, command, None).await?;
    Ok(Json(json!({ "id": response_id(turn), "object": "response", "deleted": true })))
}

pub(super) async fn input_items(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    let turn = lookup::turn_of(&id)?;
    let (page, shape) = (page_of(&query)?, shape_of(&query)?);
    let recorded = lookup::input(&state.engine, &caller, turn).await?;
    let Event::InputAccepted(input) = &*recorded.event else { return Err(lookup::not_found(&id)) };
    let item_id = |ordinal| ItemId { session: turn.session, sequence: recorded.sequence, ordinal };
    let items: Vec<_> = (0..).map(item_id).zip(input.items.iter().cloned()).collect();
    page_json(&items, page, shape)
}
