//! Follows a session: first what the journal holds, then what is committed, each moment once and in order.

use std::sync::Arc;

use mainstay_session::{
    State,
    feed::{Cursor, Moment},
    spec::Retention,
};
use mainstay_vocabulary::{Sequence, SessionId, Tenant};
use tokio::sync::broadcast;

use crate::{
    catch_up::CatchUp,
    driver::View,
    engine::{Accepted, Caller, Inner},
    error::Error,
    hub::{Live, Shown},
    task::Stage,
};

/// Where following begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With what comes next.
    Now,
    /// With the first event.
    Start,
    /// After this event.
    After(Sequence),
}

/// A follower of one session.
pub struct Follow {
    /// The session before the first moment, for `From::Now`; unborn for the others.
    pub state: Arc<State>,
    inner: Arc<Inner>,
    tenant: Tenant,
    session: SessionId,
    last: Cursor,
    live: Live,
    catch_up: Option<CatchUp>,
    /// Whether nothing of it is at rest, so that what was missed is lost.
    is_volatile: bool,
}

impl Follow {
    /// What comes after a view.
    pub(crate) fn from_view(inner: Arc<Inner>, caller: &Caller, view: View, live: Live) -> Self {
        let session = view.state.session;
        let is_volatile = view.state.spec.retention == Retention::ReceiptOnly;
        let tenant = caller.tenant.clone();
        Self { state: view.state, inner, tenant, session, last: view.last, live, catch_up: None, is_volatile }
    }

    /// What comes from a command's own events on; `live` was subscribed before the command was sent.
    pub(crate) fn live(inner: Arc<Inner>, caller: &Caller, accepted: &Accepted, live: Live) -> Self {
        let state = Arc::new(State::unborn(accepted.session));
        let last = Cursor { sequence: Sequence(accepted.first.0.saturating_sub(1)), ordinal: u64::MAX };
        let is_volatile = accepted.state.spec.retention == Retention::ReceiptOnly;
        let (session, tenant) = (accepted.session, caller.tenant.clone());
        Self { state, inner, tenant, session, last, live, catch_up: None, is_volatile }
    }

    /// Everything after an event.
    pub(crate) fn after(inner: Arc<Inner>, caller: &Caller, session: SessionId, sequence: Sequence) -> Self {
        let live = inner.listen(session);
        let state = Arc::new(State::unborn(session));
        let last = Cursor { sequence, ordinal: 0 };
        let catch_up = Some(CatchUp::after(session, sequence));
        Self { state, inner, tenant: caller.tenant.clone(), session, last, live, catch_up, is_volatile: false }
    }

    /// Waits for the next moments. `None`: the server stops.
    pub async fn next(&mut self) -> Option<Result<Vec<Moment>, Error>> {
        let mut stage = self.inner.tasks.stage();
        loop {
            if self.catch_up.is_some() {
                match self.read_on().await {
                    Ok(moments) if moments.is_empty() => continue,
                    other => return Some(other),
                }
            }
            let shown = tokio::select! {
                biased;
                shown = self.live.recv() => shown,
                _ = stage.wait_for(|stage| *stage == Stage::Stopped) => return None,
            };
            let missed = match &shown {
                Ok(shown) => self.has_gap(shown),
                Err(broadcast::error::RecvError::Lagged(_)) => true,
                Err(broadcast::error::RecvError::Closed) => {
                    self.live = self.inner.listen(self.session);
                    true
                }
            };
            if missed && self.is_volatile {
                return Some(Err(Error::Overloaded("moments were missed of a response that is not stored".into())));
            }
            if missed {
                self.catch_up = Some(CatchUp::after(self.session, self.last.sequence));
            } else if let Ok(shown) = shown
                && let moments = self.unseen(&shown)
                && !moments.is_empty()
            {
                return Some(Ok(moments));
            }
        }
    }

    async fn read_on(&mut self) -> Result<Vec<Moment>, Error> {
        let Some(catch_up) = &mut self.catch_up else { return Ok(Vec::new()) };
        let (moments, is_end) = catch_up.next(&self.inner.journal, &self.tenant, self.last).await?;
        if is_end {
            self.catch_up = None;
        }
        self.last = moments.last().map_or(self.last, |moment| moment.cursor);
        Ok(moments)
    }

    /// Whether an event between the last moment and these was never shown: a commit of unknown outcome that took place.
    fn has_gap(&self, shown: &Shown) -> bool {
        let next = shown.iter().map(|moment| moment.cursor).filter(|cursor| *cursor > self.last).min();
        next.is_some_and(|next| {
            let known = if next.ordinal == 0 { self.last.sequence.next() } else { self.last.sequence };
            next.sequence > known
        })
    }

    fn unseen(&mut self, shown: &Shown) -> Vec<Moment> {
        let moments: Vec<Moment> = shown.iter().filter(|moment| moment.cursor > self.last).cloned().collect();
        self.last = moments.last().map_or(self.last, |moment| moment.cursor);
        moments
    }
}
