//! Conversations themselves.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use mainstay_runtime::{Caller, Engine, Error as Refused};
use mainstay_session::{
    Command, State as Session,
    command::Create,
    event::{Created, Kind},
};
use mainstay_vocabulary::{Object, SessionId};
use mainstay_wire::conversations::{CreateConversation, conversation_json, deleted_json, read_update, spec};

use crate::{
    auth::Authenticated, body::JsonObject, error::Error, idempotency, json::Json, path::Ids, responses::input,
    state::AppState,
};

/// The caller's conversation with this id.
pub(super) async fn find(engine: &Engine, caller: &Caller, id: &str) -> Result<Arc<Session>, Error> {
    let not_found = || {
        let shown: String = id.chars().take(96).collect();
        Error::not_found(format!("Conversation with id '{shown}' not found."))
    };
    let session: SessionId = id.parse().map_err(|_| not_found())?;
    match engine.state(caller, session).await {
        Ok(state) if state.kind == Kind::Conversation => Ok(state),
        Ok(_) | Err(Refused::NotFound) => Err(not_found()),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn create(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let engine = &state.engine;
    let idempotent = idempotency::of(&headers, "conversations.create", "", &body.raw)?;
    let CreateConversation { metadata, items } = CreateConversation::read(body.object)?;
    let items = input::resolve(engine, &caller, items).await?;
    let created = Created {
        kind: Kind::Conversation,
        spec: spec(),
        parent: None,
        metadata,
        agent: None,
        echo: Object::new(),
        unanswered: Vec::new(),
    };
    let command = Command::Create(Box::new(Create { created, items, input: None }));
    let session = engine.session_id(&caller, idempotent.as_ref(), None);
    let accepted = engine.submit(&caller, session, command, idempotent).await?;
    Ok(Json(conversation_json(&accepted.state)))
}

pub(super) async fn retrieve(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    Ok(Json(conversation_json(&*find(&state.engine, &caller, &id).await?)))
}

pub(super) async fn update(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let engine = &state.engine;
    let idempotent = idempotency::of(&headers, "conversations.update", &id, &body.raw)?;
    let metadata = read_update(body.object)?;
    let session = find(engine, &caller, &id).await?.session;
    let accepted = engine.submit(&caller, session, Command::ChangeMetadata(metadata), idempotent).await?;
    Ok(Json(conversation_json(&accepted.state)))
}

pub(super) async fn delete(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let engine = &state.engine;
    let session = find(engine, &caller, &id).await?.session;
    engine.submit(&caller, session, Command::Delete, None).await?;
    Ok(Json(deleted_json(session)))
}
