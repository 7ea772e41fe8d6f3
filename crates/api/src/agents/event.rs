//! Events into a session and out of it: `/agents/sessions/{id}/events`.

use std::collections::VecDeque;

use axum::{
    Router,
    extract::State as Shared,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::get,
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use mainstay_runtime::{Caller, Follow, From as Start};
use mainstay_session::{
    State,
    feed::{Cursor, Moment},
};
use mainstay_vocabulary::Sequence;
use mainstay_wire::agents::{Place, View, command};

use super::find;
use crate::{
    auth::Authenticated, body::JsonObject, error::Error, idempotency, path::Ids, query::Query, sse, state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/agents/sessions/{session_id}/events", get(follow).post(create))
}

async fn create(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<StatusCode, Error> {
    let idempotent = idempotency::of(&headers, "agents.sessions.events.create", &id, &body.raw)?;
    let session = find(&state, &caller, &id).await?;
    let command = command::events(body.object)?;
    state.engine.submit(&caller, session.session, command, idempotent).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn follow(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let obfuscate = query.flag("include_obfuscation", true)?;
    let session = find(&state, &caller, &id).await?;
    let tail = match cursor(&headers, &query)? {
        Some(text) => from(&state, &caller, read_cursor(text, &session)?, obfuscate).await?,
        None => live(&state, &caller, &session, obfuscate).await?,
    };
    Ok(response(&state, tail))
}

/// The id of the last event that the client has.
fn cursor<'a>(headers: &'a HeaderMap, query: &'a Query) -> Result<Option<&'a str>, Error> {
    let wrong = || Error::invalid("Last-Event-ID is not the id of an event.").with_param("Last-Event-ID");
    let header = headers.get("last-event-id").map(|id| id.to_str().map_err(|_| wrong())).transpose()?;
    Ok(header.filter(|id| !id.is_empty()).or_else(|| query.get("after")))
}

fn read_cursor(text: &str, session: &State) -> Result<Place, Error> {
    let place = text
        .parse()
        .ok()
        .filter(|place: &Place| place.session == session.session && place.cursor.sequence <= session.sequence);
    place.ok_or_else(|| Error::invalid("The cursor is not the id of an event of this session.").with_param("after"))
}

/// From right after an event. The stream is folded from the session's beginning and shown from there on, so the cost
/// grows with the session's length; what is shown does not depend on where it was cut.
async fn from(state: &AppState, caller: &Caller, after: Place, obfuscate: bool) -> Result<Tail, Error> {
    let follow = state.engine.follow(caller, after.session, Start::Start).await?;
    let view = View::new((*follow.state).clone());
    Ok(Tail { after: Some(after), ..Tail::new(follow, view, obfuscate) })
}

/// From now on: from the session as it stands where it is idle, else from right after its last journaled event, so
/// that an item that is being written comes whole.
async fn live(state: &AppState, caller: &Caller, session: &State, obfuscate: bool) -> Result<Tail, Error> {
    let session = session.session;
    let follow = state.engine.follow(caller, session, Start::Now).await?;
    let now = (*follow.state).clone();
    let Some(turn) = &now.turn else { return Ok(Tail::new(follow, View::new(now), obfuscate)) };
    let before = Sequence(turn.id.0.saturating_sub(1));
    let follow = state.engine.follow(caller, session, Start::After(before)).await?;
    let cursor = Cursor { sequence: now.sequence, ordinal: 0 };
    let after = Place { session, cursor, part: u32::MAX };
    Ok(Tail { after: Some(after), ..Tail::new(follow, View::in_turn(now), obfuscate) })
}

/// A session's events as they come.
pub(super) struct Tail {
    follow: Follow,
    view: View,
    after: Option<Place>,
    obfuscate: bool,
    moments: VecDeque<Moment>,
    frames: VecDeque<Bytes>,
}

impl Tail {
    pub(super) const fn new(follow: Follow, view: View, obfuscate: bool) -> Self {
        Self { follow, view, after: None, obfuscate, moments: VecDeque::new(), frames: VecDeque::new() }
    }

    /// The next frame; `None` when the session was deleted, cannot be read, or the server stops.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            if let Some(moment) = self.moments.pop_front() {
                let frames = self.view.project(&moment, self.after);
                self.frames.extend(frames.iter().map(|frame| Bytes::from(frame.encode(self.obfuscate))));
                continue;
            }
            if self.view.state().deleted {
                return None;
            }
            match self.follow.next().await? {
                Ok(moments) => self.moments.extend(moments),
                Err(error) => {
                    tracing::warn!(%error, "an event stream broke off");
                    return None;
                }
            }
        }
    }

    fn into_stream(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, |mut tail| async move {
            let frame = tail.next().await?;
            Some((frame, tail))
        })
    }
}

/// The response that streams it.
pub(super) fn response(state: &AppState, tail: Tail) -> Response {
    sse::response(tail.into_stream(), &state.settings)
}
