//! Events into a session, out of it, and its history: `/sessions/{id}/events`.

use std::{collections::VecDeque, sync::Arc};

use axum::{Router, extract::State as Shared, http::HeaderMap, response::Response, routing::get};
use bytes::Bytes;
use futures_util::{Stream, stream};
use mainstay_runtime::{Accepted, Caller, Error as Failure, Follow, From as Start, Idempotent};
use mainstay_session::{
    Refusal, State,
    feed::{Cursor, Moment},
};
use mainstay_vocabulary::Sequence;
use mainstay_wire::managed::{
    Frame, Place, Seen, View,
    command::Events,
    project::sent,
    types::{self, EVENT_TYPES},
};

use super::{Part, find, history::History};
use crate::{
    auth::Authenticated, body::JsonObject, error::Error, idempotency, json::Json, path::Ids, query::Query, sse,
    state::AppState,
};

/// Default and most events of a page.
const PAGE: (u64, u64) = (100, 1_000);

/// How often a request is tried again because a turn ended meanwhile.
const MAX_TRIES: usize = 4;

/// Most journal events of one batch that are looked through for what the client sent.
const MAX_BATCH: u64 = 1_000;

/// What `event_deltas` may ask to preview.
const PREVIEWS: [&str; 2] = ["agent.message", "agent.thinking"];

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/sessions/{session_id}/events", get(list).post(send))
        .route("/sessions/{session_id}/events/stream", get(follow))
}

async fn send(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "managed.sessions.events.send", &id, &body.raw)?;
    let session = find(&state, &caller, &id).await?;
    let events = Events::read(session.session, body.object)?;
    let Some(accepted) = submit(&state, &caller, session, (&events, idempotent)).await? else {
        return Ok(Json(types::page(Vec::new(), None)));
    };
    let count = (accepted.sequence.0 + 1).saturating_sub(accepted.first.0).min(MAX_BATCH);
    let before = Sequence(accepted.first.0.saturating_sub(1));
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let batch = state.engine.read(&caller, accepted.session, before, limit).await?;
    Ok(Json(types::page(sent(accepted.session, &batch, events.count()), None)))
}

/// Sends the events. `None` where they only interrupt what does not run.
async fn submit(
    state: &AppState,
    caller: &Caller,
    mut session: Arc<State>,
    (events, idempotent): (&Events, Option<Idempotent>),
) -> Result<Option<Accepted>, Error> {
    for _ in 0..MAX_TRIES {
        let Some(command) = events.command(session.turn.is_none()) else { return Ok(None) };
        match state.engine.submit(caller, session.session, command, idempotent.clone()).await {
            // The turn ended between the look and the interrupt.
            Err(Failure::Refused(Refusal::NothingToCancel)) => {
                session = state.engine.state(caller, session.session).await?;
            }
            other => return Ok(Some(other?)),
        }
    }
    Err(Refusal::NothingToCancel.into())
}

async fn list(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    let session = find(&state, &caller, &id).await?;
    page(&state, &caller, session, &query).await
}

/// A page of a session's history.
pub(super) async fn page(state: &AppState, caller: &Caller, session: Arc<State>, query: &Query) -> Result<Json, Error> {
    let part = Part::read(query, PAGE)?;
    let cursor = part.cursor(|text| read_place(text, &session))?;
    let times = query.times()?;
    let types: Vec<_> = query.all("types").collect();
    if let Some(unknown) = types.iter().find(|kind| !EVENT_TYPES.contains(kind)) {
        return Err(Error::invalid(format!("'{unknown}' is no type of an event.")).with_param("types"));
    }
    let wanted = |frame: &Frame| (types.is_empty() || types.contains(&frame.kind)) && times.hold(frame.at);
    let history = History { engine: &state.engine, caller, session };
    let mut found = match query.choice("order", &["asc", "desc"])? {
        Some("desc") => history.backward(cursor, part.limit + 1, wanted).await?,
        _ => history.forward(cursor, part.limit + 1, wanted).await?,
    };
    let has_more = found.frames.len() > part.limit;
    found.frames.truncate(part.limit);
    let last = if has_more { found.frames.last().map(|frame| frame.place) } else { found.cut };
    let next = last.map(|place| format!("page_{}_{}", place.cursor.sequence.0, place.part));
    let data = found.frames.into_iter().map(|frame| frame.body.into()).collect();
    Ok(Json(types::page(data, next)))
}

fn read_place(text: &str, session: &State) -> Option<Place> {
    let (sequence, part) = text.split_once('_')?;
    let sequence: u64 = sequence.parse().ok().filter(|sequence| (1..=session.sequence.0).contains(sequence))?;
    let cursor = Cursor { sequence: Sequence(sequence), ordinal: 0 };
    Some(Place { session: session.session, cursor, part: part.parse().ok()? })
}

async fn follow(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let session = find(&state, &caller, &id).await?;
    stream_of(&state, caller, session, (&query, &headers)).await
}

/// A session's events as they come, or from right after the event or delta that the client names.
pub(super) async fn stream_of(
    state: &AppState,
    caller: Caller,
    session: Arc<State>,
    (query, headers): (&Query, &HeaderMap),
) -> Result<Response, Error> {
    let previews: Vec<_> = query.all("event_deltas").map(preview).collect::<Result<_, _>>()?;
    let begin = match cursor(headers, query)? {
        None => now(state, &caller, &session).await?,
        Some(text) => from(state, &caller, &session, text).await?,
    };
    let view = View::new(session.session, session.agent.clone());
    let (moments, frames) = (VecDeque::new(), VecDeque::new());
    let engine = Arc::clone(&state.engine);
    let tail = Tail { engine, caller, session, begin, view, previews, moments, frames };
    Ok(sse::response(tail.into_stream(), &state.settings))
}

fn preview(text: &str) -> Result<&'static str, Error> {
    PREVIEWS.into_iter().find(|known| *known == text).ok_or_else(|| {
        Error::invalid(format!("'event_deltas' may name {}.", PREVIEWS.join(" and "))).with_param("event_deltas")
    })
}

/// The last event or delta that the client has.
fn cursor<'a>(headers: &'a HeaderMap, query: &'a Query) -> Result<Option<&'a str>, Error> {
    let header = headers.get("last-event-id").map(|id| id.to_str().map_err(|_| wrong_cursor())).transpose()?;
    Ok(header.filter(|id| !id.is_empty()).or_else(|| query.get("after")))
}

fn wrong_cursor() -> Error {
    let message = "The cursor is not the id of an event of this session. '0' stands before the first one.";
    Error::invalid(message).with_param("after")
}

/// Where a stream begins: what is followed, and the last place that the client has.
struct Begin {
    follow: Follow,
    after: Option<Place>,
}

/// From now on: of a turn that runs, from right after its last journaled event, so that an item that is being written
/// is previewed whole.
async fn now(state: &AppState, caller: &Caller, session: &State) -> Result<Begin, Error> {
    let follow = state.engine.follow(caller, session.session, Start::Now).await?;
    let now = Arc::clone(&follow.state);
    let Some(turn) = &now.turn else { return Ok(Begin { follow, after: None }) };
    let before = Sequence(turn.id.0.saturating_sub(1));
    let follow = state.engine.follow(caller, session.session, Start::After(before)).await?;
    let cursor = Cursor { sequence: now.sequence, ordinal: 0 };
    Ok(Begin { follow, after: Some(Place { session: session.session, cursor, part: u32::MAX }) })
}

/// From right after what the client has, folded from the start of that turn.
async fn from(state: &AppState, caller: &Caller, session: &Arc<State>, text: &str) -> Result<Begin, Error> {
    let history = History { engine: &state.engine, caller, session: Arc::clone(session) };
    let is_here = |place: &Place| place.session == session.session && place.cursor.sequence <= session.sequence;
    let after = match text.parse().map_err(|_| wrong_cursor())? {
        Seen::Nothing => None,
        Seen::Place(place) => Some(Some(place).filter(is_here).ok_or_else(wrong_cursor)?),
        Seen::Item(item) => Some(history.place_of(item).await?.ok_or_else(wrong_cursor)?),
    };
    let start = match after {
        Some(place) => history.turn_at(place.cursor.sequence).await?,
        None => Sequence(1),
    };
    let before = Start::After(Sequence(start.0.saturating_sub(1)));
    Ok(Begin { follow: state.engine.follow(caller, session.session, before).await?, after })
}

/// A session's events as they come.
struct Tail {
    engine: Arc<mainstay_runtime::Engine>,
    caller: Caller,
    session: Arc<State>,
    begin: Begin,
    view: View,
    previews: Vec<&'static str>,
    moments: VecDeque<Moment>,
    frames: VecDeque<Bytes>,
}

impl Tail {
    /// The next frame; `None` when the session was deleted, cannot be read, or the server stops.
    async fn next(&mut self) -> Option<Bytes> {
        let found = self.advance().await;
        if let Err(error) = &found {
            tracing::warn!(%error, "an event stream broke off");
        }
        found.ok().flatten()
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(Some(frame));
            }
            if let Some(moment) = self.moments.pop_front() {
                self.learn(&moment).await?;
                let frames = self.view.project(&moment, self.begin.after);
                let shown = frames.iter().filter(|frame| frame.preview.is_none_or(|of| self.previews.contains(&of)));
                self.frames.extend(shown.map(|frame| Bytes::from(frame.encode())));
                continue;
            }
            if self.view.is_over() {
                return Ok(None);
            }
            match self.begin.follow.next().await {
                Some(moments) => self.moments.extend(moments?),
                None => return Ok(None),
            }
        }
    }

    /// Reads inputs that stand before the turn where the stream began.
    async fn learn(&mut self, moment: &Moment) -> Result<(), Failure> {
        for input in self.view.missing(moment) {
            let before = Sequence(input.0.saturating_sub(1));
            if let Some(found) = self.engine.read(&self.caller, self.session.session, before, 1).await?.first() {
                self.view.learn(found);
            }
        }
        Ok(())
    }

    fn into_stream(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, |mut tail| async move {
            let frame = tail.next().await?;
            Some((frame, tail))
        })
    }
}
