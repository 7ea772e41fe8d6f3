//! What a session holds: items, turns, and the lists that stay empty here.

use std::sync::Arc;

use axum::{
    Router,
    extract::State as Shared,
    routing::{MethodRouter, get},
};
use mainstay_runtime::Caller;
use mainstay_session::State;
use mainstay_vocabulary::{ItemId, Sequence, TurnId};
use mainstay_wire::agents::{page, trace, types};
use serde_json::Value;

use super::{
    Part,
    chunk::{Chunk, Chunks},
    find, wrong_after,
};
use crate::{auth::Authenticated, error::Error, json::Json, path::Ids, query::Query, state::AppState};

/// Most chunks that are looked through for the item that `after` names: an input may have waited for as many turns as
/// a session lets inputs wait.
const MAX_SEARCHED: usize = 257;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/agents/sessions/{session_id}/items", get(items))
        .route("/agents/sessions/{session_id}/turns", get(turns))
        .route("/agents/sessions/{session_id}/turns/{turn_id}", get(turn))
        .route("/agents/sessions/{session_id}/turns/{turn_id}/items", get(turn_items))
        .route("/agents/sessions/{session_id}/subagents", nothing())
        .route("/agents/sessions/{session_id}/traces", get(traces))
        .route("/agents/sessions/{session_id}/artifacts", nothing())
        .route("/agents/sessions/{session_id}/subagents/{*rest}", get(absent))
        .route("/agents/sessions/{session_id}/artifacts/{*rest}", get(absent).delete(absent))
}

/// A list of what a session cannot have here.
fn nothing() -> MethodRouter<AppState> {
    get(
        async |Authenticated(caller): Authenticated,
               Shared(state): Shared<AppState>,
               Ids(id): Ids<String>,
               query: Query| {
            Part::read(&query)?;
            find(&state, &caller, &id).await?;
            Ok::<_, Error>(Json(types::page(Vec::new(), false)))
        },
    )
}

async fn absent(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids((id, _)): Ids<(String, String)>,
) -> Result<Json, Error> {
    find(&state, &caller, &id).await?;
    Err(Error::not_found("There is no such object in this session."))
}

async fn items(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query)?;
    let session = find(&state, &caller, &id).await?;
    let place = part.after.as_deref().map(|id| item_place(id, &session)).transpose()?;
    let chunks = Chunks { engine: &state.engine, caller: &caller, session };
    list(&chunks, (place, &part), |chunk| items_of(chunk, None)).await
}

async fn turns(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query)?;
    let session = find(&state, &caller, &id).await?;
    let place = part.after.as_deref().map(|id| read_turn(id, &session).ok_or_else(wrong_after)).transpose()?;
    let chunks = Chunks { engine: &state.engine, caller: &caller, session: Arc::clone(&session) };
    list(&chunks, (place, &part), |chunk| {
        chunk.turns.turns.iter().map(|turn| page::turn_object(&session, turn)).collect()
    })
    .await
}

async fn traces(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query)?;
    let session = find(&state, &caller, &id).await?;
    let place = part.after.as_deref().map(|id| read_turn(id, &session).ok_or_else(wrong_after)).transpose()?;
    let chunks = Chunks { engine: &state.engine, caller: &caller, session: Arc::clone(&session) };
    list(&chunks, (place, &part), |chunk| trace::trace(&session, &chunk.events).into_iter().collect()).await
}

async fn turn(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids((id, turn)): Ids<(String, String)>,
) -> Result<Json, Error> {
    let (session, _, chunk) = find_turn(&state, &caller, (&id, &turn)).await?;
    let turn = chunk.turns.turns.first().ok_or_else(no_turn)?;
    Ok(Json(page::turn_object(&session, turn)))
}

async fn turn_items(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids((id, turn)): Ids<(String, String)>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query)?;
    let (_, turn, chunk) = find_turn(&state, &caller, (&id, &turn)).await?;
    let mut data = ordered(items_of(&chunk, Some(turn)), &part);
    if let Some(after) = &part.after {
        skip_to(&mut data, after).then_some(()).ok_or_else(wrong_after)?;
    }
    Ok(Json(cut(data, &part)))
}

/// A turn that the path names, with its chunk.
async fn find_turn(
    state: &AppState,
    caller: &Caller,
    (id, turn): (&str, &str),
) -> Result<(Arc<State>, Sequence, Chunk), Error> {
    let session = find(state, caller, id).await?;
    let turn = read_turn(turn, &session).ok_or_else(no_turn)?;
    let chunk = Chunks { engine: &state.engine, caller, session: Arc::clone(&session) }.at(turn).await?;
    if chunk.turns.turns.first().is_some_and(|span| span.id == turn) {
        Ok((session, turn, chunk))
    } else {
        Err(no_turn())
    }
}

fn no_turn() -> Error {
    Error::not_found("There is no such turn in this session.")
}

/// The place of a turn of this session.
fn read_turn(text: &str, session: &State) -> Option<Sequence> {
    let id: TurnId = text.strip_prefix("turn_").and_then(|_| text.parse().ok())?;
    (id.session == session.session && (1..=session.sequence.0).contains(&id.sequence.0)).then_some(id.sequence)
}

/// The place that made an item of this session possible; it became visible there or later.
fn item_place(text: &str, session: &State) -> Result<Sequence, Error> {
    let id: ItemId = text.parse().map_err(|_| wrong_after())?;
    let is_known = id.session == session.session && (1..=session.sequence.0).contains(&id.sequence.0);
    if is_known { Ok(id.sequence) } else { Err(wrong_after()) }
}

fn items_of(chunk: &Chunk, turn: Option<Sequence>) -> Vec<Value> {
    let of = |of: &Sequence| turn.is_none_or(|turn| turn == *of);
    chunk.turns.items.iter().filter(|(turn, ..)| of(turn)).map(|(_, _, value)| value.clone()).collect()
}

/// A page of what the session's chunks hold. `place` is where to look for the object that `after` names.
async fn list(
    chunks: &Chunks<'_>,
    (place, part): (Option<Sequence>, &Part),
    rows: impl Fn(&Chunk) -> Vec<Value>,
) -> Result<Json, Error> {
    let begin = if part.is_ascending { Sequence(1) } else { chunks.session.sequence };
    let mut chunk = chunks.at(place.unwrap_or(begin)).await?;
    let mut data = Vec::new();
    if let Some(after) = &part.after {
        for searched in 0.. {
            data = ordered(rows(&chunk), part);
            if skip_to(&mut data, after) {
                break;
            }
            let next = if searched < MAX_SEARCHED { chunks.after(&chunk).await? } else { None };
            chunk = next.ok_or_else(wrong_after)?;
        }
    } else {
        data = ordered(rows(&chunk), part);
    }
    while data.len() <= part.limit {
        let next = if part.is_ascending { chunks.after(&chunk).await? } else { chunks.before(&chunk).await? };
        let Some(next) = next else { break };
        chunk = next;
        data.extend(ordered(rows(&chunk), part));
    }
    Ok(Json(cut(data, part)))
}

fn ordered(mut rows: Vec<Value>, part: &Part) -> Vec<Value> {
    if !part.is_ascending {
        rows.reverse();
    }
    rows
}

/// Drops everything up to and with the object of this id; false if it is not there.
fn skip_to(rows: &mut Vec<Value>, id: &str) -> bool {
    let found = rows.iter().position(|row| row.get("id").and_then(Value::as_str) == Some(id));
    if let Some(found) = found {
        rows.drain(..=found);
    }
    found.is_some()
}

fn cut(mut data: Vec<Value>, part: &Part) -> Value {
    let has_more = data.len() > part.limit;
    data.truncate(part.limit);
    types::page(data, has_more)
}
