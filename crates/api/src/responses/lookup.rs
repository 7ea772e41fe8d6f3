//! Finding a Response by its id: the id names the session and the place of the turn, so three small reads do.

use std::sync::Arc;

use mainstay_runtime::{Caller, Engine, Error as Refused};
use mainstay_session::{
    Event, State,
    event::{Kind, TurnStarted},
    feed::{Cursor, Moment, Recorded, What},
    spec::Retention,
};
use mainstay_vocabulary::{Sequence, Timestamp, TurnId};
use mainstay_wire::responses::{Head, View, response_id};

use crate::error::Error;

/// Events that are read at once: most turns of this wire are shorter.
const PAGE: usize = 64;

/// No such Response.
pub(super) fn not_found(id: &str) -> Error {
    let shown: String = id.chars().take(96).collect();
    Error::not_found(format!("Response with id '{shown}' not found."))
}

/// A Response's id from a path.
pub(super) fn turn_of(id: &str) -> Result<TurnId, Error> {
    id.parse().map_err(|_| not_found(id))
}

/// The session of a Response that was stored and not deleted.
pub(super) async fn session_of(engine: &Engine, caller: &Caller, turn: TurnId) -> Result<Arc<State>, Error> {
    let missing = || not_found(&response_id(turn));
    let state = match engine.state(caller, turn.session).await {
        Err(Refused::NotFound) => return Err(missing()),
        other => other?,
    };
    let is_shown = matches!(state.kind, Kind::Response | Kind::Conversation)
        && state.spec.retention == Retention::Keep
        && turn.sequence.0 > 0
        && turn.sequence <= state.sequence
        && !engine.is_turn_hidden(caller, turn).await?;
    if !is_shown {
        return Err(missing());
    }
    started(engine, caller, turn).await.map(|_| state)
}

async fn event_at(engine: &Engine, caller: &Caller, turn: TurnId, at: Sequence) -> Result<Option<Recorded>, Error> {
    let before = Sequence(at.0.saturating_sub(1));
    Ok(engine.read(caller, turn.session, before, 1).await?.into_iter().find(|recorded| recorded.sequence == at))
}

async fn started(engine: &Engine, caller: &Caller, turn: TurnId) -> Result<(TurnStarted, Timestamp), Error> {
    let missing = || not_found(&response_id(turn));
    let recorded = event_at(engine, caller, turn, turn.sequence).await?.ok_or_else(missing)?;
    let Event::TurnStarted(started) = &*recorded.event else { return Err(missing()) };
    Ok((started.clone(), recorded.at))
}

/// What a Response is known by.
pub(super) async fn head(engine: &Engine, caller: &Caller, turn: TurnId) -> Result<Head, Error> {
    let state = session_of(engine, caller, turn).await?;
    let (started, created_at) = started(engine, caller, turn).await?;
    let damaged = || Error::internal("The response cannot be read.").with_code("corrupt");
    let input = event_at(engine, caller, turn, started.input).await?.ok_or_else(damaged)?;
    let Event::InputAccepted(input) = &*input.event else { return Err(damaged()) };
    let spec = if started.spec_at == state.spec_at {
        Arc::clone(&state.spec)
    } else {
        match &*event_at(engine, caller, turn, started.spec_at).await?.ok_or_else(damaged)?.event {
            Event::SessionCreated(created) => Arc::clone(&created.spec),
            Event::SpecChanged(spec) => Arc::clone(spec),
            _ => return Err(damaged()),
        }
    };
    let conversation = (state.kind == Kind::Conversation).then_some(turn.session);
    Ok(Head { turn, created_at, spec, options: input.options.clone(), conversation })
}

/// The input that started a Response.
pub(super) async fn input(engine: &Engine, caller: &Caller, turn: TurnId) -> Result<Recorded, Error> {
    session_of(engine, caller, turn).await?;
    let (started, _) = started(engine, caller, turn).await?;
    let input = event_at(engine, caller, turn, started.input).await?;
    input.ok_or_else(|| not_found(&response_id(turn)))
}

/// Folds what the journal holds of a Response.
pub(super) async fn fold(engine: &Engine, caller: &Caller, mut view: View) -> Result<View, Error> {
    let turn = view.head().turn;
    let mut after = Sequence(turn.sequence.0.saturating_sub(1));
    loop {
        let events = engine.read(caller, turn.session, after, PAGE).await?;
        for Recorded { sequence, at, event } in &events {
            let cursor = Cursor { sequence: *sequence, ordinal: 0 };
            view.apply(&Moment { cursor, what: What::Event(Arc::clone(event), *at) });
            after = *sequence;
        }
        if view.standing().is_final() || events.len() < PAGE {
            return Ok(view);
        }
    }
}

/// Where a turn ended; `None` while it runs.
pub(crate) async fn ended_at(
    engine: &Engine,
    caller: &Caller,
    state: &State,
    turn: TurnId,
) -> Result<Option<Sequence>, Error> {
    if let Some(last) = state.last_turn.as_ref().filter(|last| last.id == turn.sequence) {
        return Ok(Some(last.ended));
    }
    let mut after = turn.sequence;
    loop {
        let events = engine.read(caller, turn.session, after, PAGE).await?;
        let is_end = |event: &Event| matches!(event, Event::TurnEnded(ended) if ended.turn == turn.sequence);
        if let Some(end) = events.iter().find(|recorded| is_end(&recorded.event)) {
            return Ok(Some(end.sequence));
        }
        match events.last() {
            Some(last) if events.len() == PAGE => after = last.sequence,
            _ => return Ok(None),
        }
    }
}
