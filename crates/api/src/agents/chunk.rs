//! The journal in chunks: one turn each, with the input that started it. Lists read as many chunks around their
//! cursor as they need, so that their cost does not grow with the session.

use std::sync::Arc;

use mainstay_runtime::{Caller, Engine};
use mainstay_session::{Event, State, feed::Recorded};
use mainstay_vocabulary::Sequence;
use mainstay_wire::agents::Turns;

use crate::error::Error;

/// Events read at a time.
const WINDOW: u64 = 128;

/// Most events of one chunk; a turn is bounded by its limit on steps, this bounds what lies between turns.
const MAX_EVENTS: usize = 50_000;

/// Reads a session's chunks.
pub(super) struct Chunks<'a> {
    pub(super) engine: &'a Engine,
    pub(super) caller: &'a Caller,
    pub(super) session: Arc<State>,
}

/// The events from the start of a turn to the start of the next.
pub(super) struct Chunk {
    first: Sequence,
    last: Sequence,
    /// What they show.
    pub(super) turns: Turns,
    /// What they are.
    pub(super) events: Vec<Recorded>,
}

impl Chunks<'_> {
    /// The chunk that holds a place.
    pub(super) async fn at(&self, place: Sequence) -> Result<Chunk, Error> {
        let (before, mut events) = self.back_from(place).await?;
        self.extend(place, &mut events).await?;
        let first = events.first().map_or(place, |event| event.sequence);
        let last = events.last().map_or(place, |event| event.sequence);
        let turns = self.fold(&before, &events).await?;
        Ok(Chunk { first, last, turns, events })
    }

    /// The chunk after.
    pub(super) async fn after(&self, chunk: &Chunk) -> Result<Option<Chunk>, Error> {
        if chunk.last >= self.session.sequence { Ok(None) } else { self.at(chunk.last.next()).await.map(Some) }
    }

    /// The chunk before.
    pub(super) async fn before(&self, chunk: &Chunk) -> Result<Option<Chunk>, Error> {
        if chunk.first.0 <= 1 { Ok(None) } else { self.at(Sequence(chunk.first.0 - 1)).await.map(Some) }
    }

    /// From the start of the chunk that holds `place` to `place`, behind what happened to be read before it.
    async fn back_from(&self, place: Sequence) -> Result<(Vec<Recorded>, Vec<Recorded>), Error> {
        let mut events: Vec<Recorded> = Vec::new();
        let mut end = place.0;
        loop {
            let begin = end.saturating_sub(WINDOW);
            let mut window = self.read(Sequence(begin), end - begin).await?;
            window.append(&mut events);
            events = window;
            if let Some(start) = events.iter().rposition(starts_turn) {
                let own = events.split_off(start);
                return Ok((events, own));
            }
            if begin == 0 {
                return Ok((Vec::new(), events));
            }
            bound(&events)?;
            end = begin;
        }
    }

    /// Adds what follows `place` in its chunk.
    async fn extend(&self, place: Sequence, events: &mut Vec<Recorded>) -> Result<(), Error> {
        let mut last = place;
        while last < self.session.sequence {
            let limit = WINDOW.min(self.session.sequence.0 - last.0);
            let mut window = self.read(last, limit).await?;
            let Some(end) = window.last().map(|event| event.sequence) else { break };
            last = end;
            if let Some(next) = window.iter().position(starts_turn) {
                window.truncate(next);
                events.append(&mut window);
                break;
            }
            events.append(&mut window);
            bound(events)?;
        }
        Ok(())
    }

    /// What the chunk shows. Its inputs may stand before it.
    async fn fold(&self, before: &[Recorded], events: &[Recorded]) -> Result<Turns, Error> {
        let turns = Turns::read(&self.session, before, events);
        if turns.missing.is_empty() {
            return Ok(turns);
        }
        let mut inputs = before.to_vec();
        for input in &turns.missing {
            inputs.extend(self.read(Sequence(input.0.saturating_sub(1)), 1).await?);
        }
        Ok(Turns::read(&self.session, &inputs, events))
    }

    async fn read(&self, after: Sequence, limit: u64) -> Result<Vec<Recorded>, Error> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.engine.read(self.caller, self.session.session, after, limit).await?)
    }
}

fn bound(events: &[Recorded]) -> Result<(), Error> {
    if events.len() > MAX_EVENTS {
        return Err(Error::unsupported("Listing a turn of this many events"));
    }
    Ok(())
}

fn starts_turn(recorded: &Recorded) -> bool {
    matches!(*recorded.event, Event::TurnStarted(_))
}
