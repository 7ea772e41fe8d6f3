//! Reads what a follower has missed: pages of the journal, and at its end the frames of what is being written.

use mainstay_session::{
    Event,
    feed::{Cursor, Moment, Recorded, Slice, expand},
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
    /// Whether an inference may be open where `held` begins.
    is_open: bool,
}

impl CatchUp {
    /// Begins after an event.
    pub(crate) const fn after(session: SessionId, sequence: Sequence) -> Self {
        Self { session, read_to: sequence, held: Vec::new(), is_open: sequence.0 > 0 }
    }

    /// The next moments after `last`, and whether the end of the journal is reached.
    pub(crate) async fn next(
        &mut self,
        journal: &Journal,
        tenant: &Tenant,
        last: Cursor,
    ) -> Result<(Vec<Moment>, bool), Error> {
        let mut slices = None;
        if self.read(journal, tenant).await? < PAGE {
            let found = journal.slices(tenant, self.session).await?;
            // Frames stand after the last event only as long as no event follows. Another one, a steering input maybe,
            // could stand behind deltas that were not among them, or have ended the inference and dropped them.
            if self.read(journal, tenant).await? == 0 {
                slices = Some(found);
            }
        }
        Ok((self.take(slices.as_deref(), last), slices.is_some()))
    }

    /// Reads a page; answers how many events it had.
    async fn read(&mut self, journal: &Journal, tenant: &Tenant) -> Result<usize, Error> {
        let page = journal.read(tenant, self.session, self.read_to, PAGE).await?;
        self.read_to = page.last().map_or(self.read_to, |recorded| recorded.sequence);
        let count = page.len();
        self.held.extend(page);
        Ok(count)
    }

    /// All that is held where the journal's end is reached and `slices` stand there; else whole inferences only.
    fn take(&mut self, slices: Option<&[Slice]>, last: Cursor) -> Vec<Moment> {
        let whole = if slices.is_some() { self.held.len() } else { whole_inferences(&self.held, self.is_open) };
        self.is_open &= whole == 0;
        let rest = self.held.split_off(whole);
        let events = std::mem::replace(&mut self.held, rest);
        let mut moments = expand(&events, slices.unwrap_or_default());
        moments.retain(|moment| moment.cursor > last);
        moments
    }
}

/// How many events from the start hold no inference without its end. Where one is `open` at the start, what comes before
/// the first sign of its end belongs to it.
fn whole_inferences(events: &[Recorded], mut open: bool) -> usize {
    let mut whole = 0;
    for (index, recorded) in events.iter().enumerate() {
        match &*recorded.event {
            Event::InferenceIntended(_) => {
                whole = index;
                open = true;
            }
            Event::InferenceEnded(_) | Event::TurnStarted(_) | Event::TurnEnded(_) => open = false,
            _ => {}
        }
        if !open {
            whole = index + 1;
        }
    }
    whole
}
