//! Uploads: a file in parts, which may come in any order and be named in another.

use std::sync::Arc;

use axum::extract::{Multipart, State};
use mainstay_runtime::Caller;
use mainstay_session::{Command, State as Session};
use mainstay_wire::{fields::Invalid, files};

use super::{find_any, form, no_file, read_id};
use crate::{auth::Authenticated, body::JsonObject, error::Error, json::Json, path::Ids, state::AppState};

pub(super) async fn create(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    body: JsonObject,
) -> Result<Json, Error> {
    let head = files::read_upload(body.object, state.engine.now())?;
    let begun = form::begin(&state, &caller, head).await?;
    shown(&begun)
}

pub(super) async fn add_part(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
    mut body: Multipart,
) -> Result<Json, Error> {
    let upload = find_upload(&state, &caller, &id).await?;
    let Some(field) = form::next(form::idle(&state), &mut body).await? else {
        return Err(Invalid::missing("data").into());
    };
    if field.name() != Some("data") {
        let name = field.name().unwrap_or_default().to_owned();
        return Err(Invalid::unserved(name).into());
    }
    let stored = form::store(&state, &caller, upload.session, field).await?;
    let now = find_any(&state, &caller, upload.session).await?;
    Ok(Json(files::part(&now, stored.first, stored.pieces)))
}

pub(super) async fn complete(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
    body: JsonObject,
) -> Result<Json, Error> {
    let upload = find_upload(&state, &caller, &id).await?;
    let parts = files::read_completion(body.object, upload.session)?;
    let complete = Command::CompleteFile(Some(parts));
    shown(&state.engine.submit(&caller, upload.session, complete, None).await?.state)
}

pub(super) async fn cancel(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let upload = find_upload(&state, &caller, &id).await?;
    if upload.file.as_ref().is_some_and(|file| file.is_whole) {
        return Err(Error::invalid("The upload is completed already."));
    }
    shown(&state.engine.submit(&caller, upload.session, Command::Delete, None).await?.state)
}

async fn find_upload(state: &AppState, caller: &Caller, id: &str) -> Result<Arc<Session>, Error> {
    let upload = read_id(id, "upload_").ok_or_else(|| Error::not_found("There is no such upload."))?;
    find_any(state, caller, upload).await
}

fn shown(state: &Session) -> Result<Json, Error> {
    files::upload(state).map(Json).ok_or_else(no_file)
}
