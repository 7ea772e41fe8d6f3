//! Reads what a follower has missed: pages of the journal, and at its end the frames of what is being written.

use mainstay_session::{
    Event,
    feed::{Cursor, Moment, Recorded, expand},
};
use mainstay_vocabulary::{Sequence, SessionId, Tenant};

use crate::{error::Error, journal::Journal};

/// Events read at once.
const PAGE: usize = 500;

/// Where a follower stands in the journal.
#[derive(Debug)]
pub(crate) struct CatchUp {
    session: SessionId,
    read_to: Sequence,
    /// Events of an inference whose end was not on the page.
    held: Vec<Recorded>,
}

impl CatchUp {
    /// Begins after an event.
    pub(crate) const fn after(session: SessionId, sequence: Sequence) -> Self {
        Self { session, read_to: sequence, held: Vec::new() }
    }

    /// The next moments after `last`, and whether the end of the journal is reached.
    pub(crate) async fn next(
        &mut self,
        journal: &Journal,
        tenant: &Tenant,
        last: Cursor,
    ) -> Result<(Vec<Moment>, bool), Error> {
        // Frames first: what they lose meanwhile is in the events that are read next.
        let slices = journal.slices(tenant, self.session).await?;
        let page = journal.read(tenant, self.session, self.read_to, PAGE).await?;
        let is_end = page.len() < PAGE;
        self.read_to = page.last().map_or(self.read_to, |recorded| recorded.sequence);
        self.held.extend(page);
        let whole = if is_end { self.held.len() } else { whole_inferences(&self.held) };
        let rest = self.held.split_off(whole);
        let events = std::mem::replace(&mut self.held, rest);
        let mut moments = expand(&events, if is_end { &slices } else { &[] });
        moments.retain(|moment| moment.cursor > last);
        Ok((moments, is_end))
    }
}

/// How many events from the start hold no inference without its end.
fn whole_inferences(events: &[Recorded]) -> usize {
    let mut open = false;
    let mut whole = 0;
    for (index, recorded) in events.iter().enumerate() {
        match &*recorded.event {
            Event::InferenceIntended(_) => open = true,
            Event::InferenceEnded(_) => open = false,
            _ => {}
        }
        if !open {
            whole = index + 1;
        }
    }
    whole
}
