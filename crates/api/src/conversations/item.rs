//! Items of a conversation: what its context holds, which is what the next turn sends to a model.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use mainstay_runtime::{Caller, Engine};
use mainstay_session::Command;
use mainstay_vocabulary::{Item, ItemId, SessionId, item::ItemStatus};
use mainstay_wire::{
    conversations::{conversation_json, read_items},
    responses::{item::item_json, page::list_json},
};

use super::conversation::find;
use crate::{
    auth::Authenticated,
    body::JsonObject,
    error::Error,
    idempotency,
    json::Json,
    path::Ids,
    query::Query,
    responses::{
        input,
        page::{page_json, page_of, shape_of},
    },
    state::AppState,
};

pub(super) async fn create(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
    (query, headers): (Query, HeaderMap),
    body: JsonObject,
) -> Result<Json, Error> {
    let engine = &state.engine;
    let shape = shape_of(&query)?;
    let idempotent = idempotency::of(&headers, "conversations.items.create", &id, &body.raw)?;
    let items = read_items(body.object)?;
    let session = find(engine, &caller, &id).await?.session;
    let items = input::resolve(engine, &caller, items).await?;
    let command = Command::AddItems(items.clone());
    let accepted = engine.submit(&caller, session, command, idempotent).await?;
    let item_id = |ordinal| ItemId { session, sequence: accepted.first, ordinal };
    Ok(Json(list_json((0..).map(item_id).zip(&items), items.len(), shape)))
}

pub(super) async fn list(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    let (page, shape) = (page_of(&query)?, shape_of(&query)?);
    let session = find(&state.engine, &caller, &id).await?.session;
    let items = state.engine.context(&caller, session).await?;
    page_json(&items, page, shape)
}

pub(super) async fn retrieve(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids((id, item)): Ids<(String, String)>,
    query: Query,
) -> Result<Json, Error> {
    let shape = shape_of(&query)?;
    let session = find(&state.engine, &caller, &id).await?.session;
    let (id, item) = item_of(&state.engine, &caller, session, &item).await?;
    Ok(Json(item_json(id, &item, ItemStatus::Completed, shape)))
}

/// Deleting an item returns the conversation that it was in.
pub(super) async fn delete(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids((id, item)): Ids<(String, String)>,
) -> Result<Json, Error> {
    let engine = &state.engine;
    let session = find(engine, &caller, &id).await?.session;
    let (item, _) = item_of(engine, &caller, session, &item).await?;
    let accepted = engine.submit(&caller, session, Command::HideItem(item), None).await?;
    Ok(Json(conversation_json(&accepted.state)))
}

async fn item_of(
    engine: &Engine,
    caller: &Caller,
    session: SessionId,
    text: &str,
) -> Result<(ItemId, Arc<Item>), Error> {
    let not_found = || {
        let shown: String = text.chars().take(96).collect();
        Error::not_found(format!("Item with id '{shown}' not found in this conversation."))
    };
    let id: ItemId = text.parse().map_err(|_| not_found())?;
    let items = engine.context(caller, session).await?;
    items.into_iter().find(|(known, _)| *known == id).ok_or_else(not_found)
}
