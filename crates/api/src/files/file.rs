//! Stored files: created from a form, listed, retrieved, erased.

use axum::extract::{Multipart, State};
use mainstay_runtime::{Caller, Direction, Listing};
use mainstay_session::{Command, event::Kind};
use mainstay_wire::{
    fields::Invalid,
    files::{self, Form},
};
use serde_json::json;

use super::{find, form, read_id};
use crate::{auth::Authenticated, error::Error, json::Json, path::Ids, query::Query, state::AppState};

/// Most files of one page.
const MAX_PAGE: u64 = 100;
/// Most files looked at for one page, where many have another purpose.
const MAX_LOOKED_AT: usize = 10_000;

pub(super) async fn create(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    mut body: Multipart,
) -> Result<Json, Error> {
    let mut said = Form::default();
    // Content that came before it was known what it is for.
    let mut early = None;
    for _ in 0..form::MAX_FIELDS {
        let Some(mut field) = form::next(form::idle(&state), &mut body).await? else { break };
        let name = field.name().unwrap_or_default().to_owned();
        if name != "file" {
            let text = form::text(form::idle(&state), field).await?;
            said.take(&name, text)?;
            continue;
        }
        let (file_name, media_type) =
            (field.file_name().unwrap_or_default().to_owned(), field.content_type().map(str::to_owned));
        if !said.is_ready() {
            let content = form::whole(form::idle(&state), &mut field, state.settings.body_limit).await?;
            let late = "Send 'purpose' before the content of a file as large as this.";
            let content = content.ok_or_else(|| Error::too_large(late).with_param("purpose").closing())?;
            early = Some((file_name, media_type, content));
            continue;
        }
        let head = said.head(&file_name, media_type.as_deref(), state.engine.now())?;
        let file = form::begin(&state, &caller, head).await?.session;
        form::store(&state, &caller, file, field).await?;
        return complete(&state, &caller, file).await;
    }
    let Some((file_name, media_type, content)) = early else { return Err(Invalid::missing("file").into()) };
    let head = said.head(&file_name, media_type.as_deref(), state.engine.now())?;
    let file = form::begin(&state, &caller, head).await?.session;
    form::store_whole(&state, &caller, file, &content).await?;
    complete(&state, &caller, file).await
}

async fn complete(state: &AppState, caller: &Caller, file: mainstay_vocabulary::SessionId) -> Result<Json, Error> {
    let whole = state.engine.submit(caller, file, Command::CompleteFile(None), None).await?.state;
    files::file(&whole).map(Json).ok_or_else(|| Error::internal("The file is not whole."))
}

pub(super) async fn retrieve(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let found = find(&state, &caller, &id).await?;
    files::file(&found).map(Json).ok_or_else(super::no_file)
}

pub(super) async fn delete(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let found = find(&state, &caller, &id).await?;
    state.engine.submit(&caller, found.session, Command::Delete, None).await?;
    Ok(Json(json!({ "id": files::file_id(found.session), "object": "file", "deleted": true })))
}

pub(super) async fn list(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    query: Query,
) -> Result<Json, Error> {
    let limit = usize::try_from(query.number("limit", MAX_PAGE, 1..=10_000)?.min(MAX_PAGE)).unwrap_or(1);
    let direction = match query.choice("order", &["asc", "desc"])? {
        Some("asc") => Direction::Ascending,
        _ => Direction::Descending,
    };
    let purpose = query.get("purpose");
    let unknown = || Error::not_found("There is no such file.").with_param("after");
    let mut after = match query.get("after") {
        Some(id) => Some(read_id(id, "file_").ok_or_else(unknown)?),
        None => None,
    };
    let mut shown = Vec::new();
    let mut looked_at = 0;
    while shown.len() <= limit && looked_at < MAX_LOOKED_AT {
        let page = state.engine.list(&caller, Listing { kind: Kind::File, after, direction, limit: 100 }).await?;
        let Some(last) = page.last() else { break };
        (after, looked_at) = (Some(last.session), looked_at + page.len());
        let fitting = page.iter().filter(|file| {
            purpose.is_none_or(|purpose| file.file.as_ref().is_some_and(|file| file.head.purpose == purpose))
        });
        shown.extend(fitting.filter_map(|state| files::file(state)));
        if page.len() < 100 {
            break;
        }
    }
    let has_more = shown.len() > limit;
    shown.truncate(limit);
    let id = |file: Option<&serde_json::Value>| file.map(|file| file["id"].clone());
    Ok(Json(json!({
        "object": "list", "first_id": id(shown.first()), "last_id": id(shown.last()), "has_more": has_more,
        "data": shown,
    })))
}
