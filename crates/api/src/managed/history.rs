//! A session's events out of its journal, for lists and for cursors. The view is empty where a turn starts, so reading
//! begins there, and its cost does not grow with the session.

use std::sync::Arc;

use mainstay_runtime::{Caller, Engine};
use mainstay_session::{
    Event, State,
    feed::{Cursor, Moment, Recorded, What},
};
use mainstay_vocabulary::{ItemId, Sequence};
use mainstay_wire::managed::{Frame, Place, View, item_event_id};

use crate::error::Error;

/// Journal events read at a time.
const STEP: u64 = 128;

/// Most journal events that one request looks at; a page is cut short there.
const MAX_READ: u64 = 20_000;

/// Reads one session's events.
pub(super) struct History<'a> {
    pub(super) engine: &'a Engine,
    pub(super) caller: &'a Caller,
    pub(super) session: Arc<State>,
}

/// Events of a part of the journal.
pub(super) struct Found {
    pub(super) frames: Vec<Frame>,
    /// The place that reading came to before the end, where it was cut short.
    pub(super) cut: Option<Place>,
}

impl History<'_> {
    /// Up to `most` events after `after` that are wanted, oldest first.
    pub(super) async fn forward(
        &self,
        after: Option<Place>,
        most: usize,
        wanted: impl Fn(&Frame) -> bool,
    ) -> Result<Found, Error> {
        let from = match after {
            Some(place) => self.turn_at(place.cursor.sequence).await?,
            None => Sequence(1),
        };
        let begin = after.map_or(from, |place| place.cursor.sequence);
        let end = self.session.sequence.min(Sequence(begin.0.saturating_add(MAX_READ)));
        let mut fold = Fold::new(self, from);
        let mut frames = Vec::new();
        while frames.len() < most && fold.next <= end {
            frames.extend(fold.step(end, after).await?.into_iter().filter(&wanted));
        }
        frames.truncate(most);
        let cut = (end < self.session.sequence && frames.len() < most).then(|| self.end_of(end));
        Ok(Found { frames, cut })
    }

    /// Up to `most` events before `before` that are wanted, newest first.
    pub(super) async fn backward(
        &self,
        before: Option<Place>,
        most: usize,
        wanted: impl Fn(&Frame) -> bool,
    ) -> Result<Found, Error> {
        let begin = before.unwrap_or_else(|| self.end_of(self.session.sequence));
        let (mut until, mut frames) = (begin, Vec::new());
        loop {
            let from = self.turn_at(until.cursor.sequence).await?;
            let mut fold = Fold::new(self, from);
            let mut chunk = Vec::new();
            while fold.next <= until.cursor.sequence {
                let shown = fold.step(until.cursor.sequence, None).await?;
                chunk.extend(shown.into_iter().filter(|frame| frame.place < until && wanted(frame)));
            }
            frames.extend(chunk.into_iter().rev());
            if frames.len() >= most || from.0 <= 1 {
                frames.truncate(most);
                return Ok(Found { frames, cut: None });
            }
            let cursor = Cursor { sequence: from, ordinal: 0 };
            until = Place { session: self.session.session, cursor, part: 0 };
            if begin.cursor.sequence.0 - from.0 > MAX_READ {
                return Ok(Found { frames, cut: Some(until) });
            }
            // The start of the chunk's turn is shown; what comes before is the chunk before.
            until.cursor.sequence = Sequence(from.0 - 1);
            until.part = u32::MAX;
        }
    }

    /// The place of the event that shows an item; `None` where no event does.
    pub(super) async fn place_of(&self, item: ItemId) -> Result<Option<Place>, Error> {
        let is_here = item.session == self.session.session && (1..=self.session.sequence.0).contains(&item.sequence.0);
        if !is_here {
            return Ok(None);
        }
        let from = self.turn_at(item.sequence).await?;
        let end = self.session.sequence.min(Sequence(item.sequence.0.saturating_add(MAX_READ)));
        let (mut fold, id) = (Fold::new(self, from), item_event_id(item));
        while fold.next <= end {
            if let Some(frame) = fold.step(end, None).await?.into_iter().find(|frame| frame.id == id) {
                return Ok(Some(frame.place));
            }
        }
        Ok(None)
    }

    /// The start of the turn that holds a place, or of the journal.
    pub(super) async fn turn_at(&self, place: Sequence) -> Result<Sequence, Error> {
        let mut end = place.0.min(self.session.sequence.0);
        while end > 0 {
            let begin = end.saturating_sub(STEP);
            let events = self.read(Sequence(begin), end - begin).await?;
            let starts = |recorded: &&Recorded| matches!(*recorded.event, Event::TurnStarted(_));
            if let Some(start) = events.iter().rfind(starts) {
                return Ok(start.sequence);
            }
            end = begin;
        }
        Ok(Sequence(1))
    }

    /// The input that stands at a place.
    pub(super) async fn input(&self, place: Sequence) -> Result<Option<Recorded>, Error> {
        Ok(self.read(Sequence(place.0.saturating_sub(1)), 1).await?.pop())
    }

    async fn read(&self, after: Sequence, limit: u64) -> Result<Vec<Recorded>, Error> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.engine.read(self.caller, self.session.session, after, limit).await?)
    }

    fn end_of(&self, sequence: Sequence) -> Place {
        Place { session: self.session.session, cursor: Cursor { sequence, ordinal: 0 }, part: u32::MAX }
    }
}

/// Folds the journal from the start of a turn.
struct Fold<'a> {
    history: &'a History<'a>,
    view: View,
    next: Sequence,
}

impl<'a> Fold<'a> {
    fn new(history: &'a History<'a>, from: Sequence) -> Self {
        let view = View::new(history.session.session, history.session.agent.clone());
        Self { history, view, next: from }
    }

    /// The events of the next part of the journal, at most up to `end`.
    async fn step(&mut self, end: Sequence, after: Option<Place>) -> Result<Vec<Frame>, Error> {
        let limit = STEP.min(end.0.saturating_sub(self.next.0) + 1);
        let events = self.history.read(Sequence(self.next.0 - 1), limit).await?;
        self.next = events.last().map_or(Sequence(u64::MAX), |last| last.sequence.next());
        let mut frames = Vec::new();
        for recorded in events {
            let cursor = Cursor { sequence: recorded.sequence, ordinal: 0 };
            let moment = Moment { cursor, what: What::Event(recorded.event, recorded.at) };
            for input in self.view.missing(&moment) {
                if let Some(input) = self.history.input(input).await? {
                    self.view.learn(&input);
                }
            }
            frames.extend(self.view.project(&moment, after));
        }
        Ok(frames)
    }
}
