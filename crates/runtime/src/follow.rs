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
    hub::Shown,
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
    live: broadcast::Receiver<Shown>,
    catch_up: Option<CatchUp>,
    /// Whether nothing of it is at rest, so that what was missed is lost.
    is_volatile: bool,
}

impl Follow {
    /// What comes after a view.
    pub(crate) fn from_view(inner: Arc<Inner>, caller: &Caller, view: View, live: broadcast::Receiver<Shown>) -> Self {
        let session = view.state.session;
        let is_volatile = view.state.spec.retention == Retention::ReceiptOnly;
        let tenant = caller.tenant.clone();
        Self { state: view.state, inner, tenant, session, last: view.last, live, catch_up: None, is_volatile }
    }

    /// What comes from a command's own events on; `live` was subscribed before the command was sent.
    pub(crate) fn live(
        inner: Arc<Inner>,
        caller: &Caller,
        accepted: &Accepted,
        live: broadcast::Receiver<Shown>,
    ) -> Self {
        let state = Arc::new(State::unborn(accepted.session));
        let last = Cursor { sequence: Sequence(accepted.first.0 - 1), ordinal: u64::MAX };
        let is_volatile = accepted.state.spec.retention == Retention::ReceiptOnly;
        let (session, tenant) = (accepted.session, caller.tenant.clone());
        Self { state, inner, tenant, session, last, live, catch_up: None, is_volatile }
    }

    /// Everything after an event.
    pub(crate) fn after(inner: Arc<Inner>, caller: &Caller, session: SessionId, sequence: Sequence) -> Self {
        let live = inner.hub.subscribe(session);
        let state = Arc::new(State::unborn(session));
        let last = Cursor { sequence, ordinal: 0 };
        let catch_up = Some(CatchUp::after(session, sequence));
        Self { state, inner, tenant: caller.tenant.clone(), session, last, live, catch_up, is_volatile: false }
    }

    /// Waits for the next moments. `None`: the server stops.
    pub async fn next(&mut self) -> Option<Result<Vec<Moment>, Error>> {
        let mut stage = self.inner.tasks.stage();
        loop {
            if let Some(catch_up) = &mut self.catch_up {
                let (moments, is_end) = match catch_up.next(&self.inner.journal, &self.tenant, self.last).await {
                    Ok(found) => found,
                    Err(error) => return Some(Err(error)),
                };
                if is_end {
                    self.catch_up = None;
                }
                if let Some(moment) = moments.last() {
                    self.last = moment.cursor;
                    return Some(Ok(moments));
                }
                continue;
            }
            let shown = tokio::select! {
                biased;
                shown = self.live.recv() => shown,
                _ = stage.wait_for(|stage| *stage == Stage::Stopped) => return None,
            };
            match shown {
                Ok(shown) => {
                    let moments: Vec<Moment> = shown.iter().filter(|m| m.cursor > self.last).cloned().collect();
                    if let Some(moment) = moments.last() {
                        self.last = moment.cursor;
                        return Some(Ok(moments));
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) if self.is_volatile => {
                    return Some(Err(Error::Overloaded("deltas wait for a slow client of a response that is not stored")));
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.catch_up = Some(CatchUp::after(self.session, self.last.sequence));
                }
                Err(broadcast::error::RecvError::Closed) => {
                    self.live = self.inner.hub.subscribe(self.session);
                    self.catch_up = Some(CatchUp::after(self.session, self.last.sequence));
                }
            }
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        // The receiver itself still counts; it is replaced by one of a channel that nobody else holds.
        self.live = broadcast::Sender::new(1).subscribe();
        self.inner.hub.release(self.session);
    }
}
