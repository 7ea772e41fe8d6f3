//! Commits one decision of one session: seal, chain, send to the store, find out what became of it.

use std::sync::Arc;

use mainstay_session::{
    Event, State,
    command::Decision,
    event::Kind,
    feed::{Cursor, Moment, What},
    spec::Retention,
};
use mainstay_store::{
    Error as StoreError,
    seam::{Batch, Idempotency, IndexChange, Remembered, WakeupChange},
};
use mainstay_vocabulary::{OpId, Principal, SessionId};

use crate::{
    driver::Driver,
    error::Error,
    fault::{Bug, Point},
    journal::Stamp,
};

/// The durable timer of a turn's deadline.
const DEADLINE: &str = "turn";
/// Index rows of hidden turns, by turn id.
pub(crate) const HIDDEN_TURNS: &str = "hidden_turn";
/// Index rows of sessions in which people are asked something.
pub(crate) const QUESTIONS: &str = "question";
/// Events between two snapshots.
const SNAPSHOT_EVENTS: u64 = 256;

/// Why a commit did not take place.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The session moved on elsewhere: reload.
    Moved,
    /// The idempotency key is taken.
    Duplicate(Remembered),
    /// Anything else.
    Error(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A decision with what its commit needs besides. Boxed: it holds a whole state, and every future that hands it on
/// would hold it again.
pub(crate) struct Proposal {
    pub(crate) decision: Box<Decision>,
    pub(crate) principal: Principal,
    pub(crate) idempotency: Option<Idempotency>,
    /// Deltas that become true with it: its items hold them.
    pub(crate) shown: Vec<Moment>,
    /// Fault points before and after.
    pub(crate) points: (Point, Point),
}

impl Driver {
    /// Commits and takes over the decision, then shows it.
    pub(crate) async fn commit(&mut self, proposal: Proposal) -> Result<(), Failed> {
        let Proposal { decision, principal, idempotency, shown, points } = proposal;
        let Decision { events, deadline, after } = *decision;
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        let after = Arc::new(after);
        let before = self.state.sequence;
        let mut batch = self.batch(&events, &after, &principal)?;
        let told = self.outgoing(&events, &after).await?;
        let tells = !told.is_empty();
        batch.index.extend(told);
        batch.idempotency = idempotency.filter(|_| !self.inner.faults.has(Bug::KeyForgotten));
        batch.wakeups = wakeups(deadline);
        self.inner.faults.pass(points.0);
        let chain = batch.chain;
        let wanted_snapshot = self.wants_snapshot(&after, events.len());
        self.send(batch).await?;
        self.inner.faults.pass(points.1);
        self.since_snapshot = if wanted_snapshot { 0 } else { self.since_snapshot + events.len() as u64 };
        self.chain = chain;
        self.state = after;
        let mut moments = shown;
        let mut sequence = before;
        for event in events {
            sequence = sequence.next();
            if let Some(context) = &mut self.context {
                context.apply(self.session, sequence, &event);
            }
            self.note_intents(sequence, &event);
            let cursor = Cursor { sequence, ordinal: 0 };
            moments.push(Moment { cursor, what: What::Event(event, self.state.active_at) });
        }
        if self.inner.faults.has(Bug::OrderSwapped) {
            moments.reverse();
        }
        self.inner.hub.publish(self.session, moments);
        self.last_shown = self.next_ordinal.saturating_sub(1);
        self.follow_inference();
        self.follow_calls();
        if tells {
            self.inner.outbox.wake();
        }
        Ok(())
    }

    fn batch(&self, events: &[Arc<Event>], after: &State, principal: &Principal) -> Result<Batch, Error> {
        let (Some(tenant), Some(sealer)) = (&self.tenant, &self.sealer) else { return Err(Error::NotFound) };
        let stamp = Stamp { tenant, principal, at: after.active_at, after: self.state.sequence, chain: self.chain };
        let withheld: Vec<Arc<Event>>;
        let at_rest = if after.spec.retention == Retention::ReceiptOnly {
            withheld = events.iter().map(|event| Arc::new(event.without_content())).collect();
            &withheld
        } else {
            events
        };
        let sealed = self.inner.journal.seal(sealer, &stamp, at_rest)?;
        let wants_snapshot = self.wants_snapshot(after, events.len());
        let snapshot = if wants_snapshot { self.inner.journal.seal_snapshot(sealer, after) } else { None };
        let mut op = [0; 16];
        self.inner.journal.entropy.fill(&mut op);
        Ok(Batch {
            session: self.session,
            tenant: tenant.clone(),
            expected: self.state.sequence,
            op: OpId(op),
            events: sealed.entries,
            chain: sealed.chain,
            open: after.is_open(),
            wakeups: Vec::new(),
            index: index(self.session, &self.state, after, events),
            idempotency: None,
            moves: Vec::new(),
            blobs: sealed.blobs,
            snapshot,
            drop_frames_below: if infers(&self.state) && !infers(after) { self.next_ordinal } else { 0 },
            // A deleted file or automation leaves nothing but its place.
            erase: is_erased(after),
        })
    }

    fn wants_snapshot(&self, after: &State, events: usize) -> bool {
        if is_erased(after) {
            return false;
        }
        // What a whole file is must be known without reading its content.
        if is_whole_file(after) && !is_whole_file(&self.state) {
            return true;
        }
        after.spec.retention == Retention::Keep && self.since_snapshot + events as u64 >= SNAPSHOT_EVENTS
    }

    /// Sends a batch until its fate is known.
    async fn send(&self, batch: Batch) -> Result<(), Failed> {
        let (faults, leases, shard) = (&self.inner.faults, &self.inner.leases, self.session.shard());
        loop {
            let lease = leases.current(shard).ok_or(Error::Elsewhere)?;
            let error = match self.inner.journal.store.commit(lease, batch.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            match error {
                StoreError::Conflict { .. } => return Err(Failed::Moved),
                StoreError::Duplicate(remembered) => return Err(Failed::Duplicate(remembered)),
                StoreError::Fenced if leases.settled(shard).await.is_some_and(|now| now != lease) => {}
                StoreError::Fenced if faults.has(Bug::LeaseKept) => drop(leases.retake(shard, lease.epoch).await?),
                StoreError::Fenced => {
                    self.inner.lose(shard);
                    return Err(Failed::Error(error.into()));
                }
                StoreError::Unknown(_) if faults.has(Bug::UnknownTakenForDone) => return Ok(()),
                StoreError::Unknown(_) => {
                    // Taken anew here or by another: either way the old epoch is over, and the outcome is final.
                    let is_ours = leases.retake(shard, lease.epoch).await?.is_some();
                    let outcome = self.inner.journal.store.outcome(batch.session, batch.expected, batch.op);
                    if outcome.await.map_err(Error::from)? && !faults.has(Bug::UnknownRetried) {
                        return Ok(());
                    }
                    if !is_ours {
                        self.inner.lose(shard);
                        return Err(Failed::Error(Error::Elsewhere));
                    }
                }
                other => return Err(Failed::Error(other.into())),
            }
        }
    }
}

fn infers(state: &State) -> bool {
    state.turn.as_ref().is_some_and(|turn| turn.inference.is_some())
}

fn wakeups(deadline: Option<Option<mainstay_vocabulary::Timestamp>>) -> Vec<WakeupChange> {
    deadline.map(|at| WakeupChange { key: DEADLINE.to_owned(), at }).into_iter().collect()
}

/// The kind of index rows that lists sessions of a kind.
pub(crate) const fn list_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Agent => "agent",
        Kind::Response => "response",
        Kind::Conversation => "conversation",
        Kind::Registry => "registry",
        Kind::Gateway => "gateway",
        Kind::File => "file",
        Kind::Automation => "automation",
        Kind::Webhook => "webhook_journal",
    }
}

/// Key of a session's row: by creation, then by id.
pub(crate) fn list_key(state: &State) -> Vec<u8> {
    [&state.created_at.0.to_be_bytes()[..], state.session.as_bytes()].concat()
}

const fn is_erased(state: &State) -> bool {
    state.deleted && matches!(state.kind, Kind::File | Kind::Automation)
}

fn is_whole_file(state: &State) -> bool {
    state.file.as_ref().is_some_and(|file| file.is_whole)
}

/// Whether people are asked something.
fn asks(state: &State) -> bool {
    !state.deleted && state.effects.values().any(|effect| effect.approval().is_some())
}

fn index(session: SessionId, before: &State, after: &State, events: &[Arc<Event>]) -> Vec<IndexChange> {
    let mut rows = Vec::new();
    let is_listed = matches!(after.kind, Kind::Agent | Kind::Gateway | Kind::Automation);
    if is_listed && (before.sequence.0 == 0 || after.deleted) {
        let value = (!after.deleted).then(Vec::new);
        rows.push(IndexChange { kind: list_of(after.kind), key: list_key(after), value });
    }
    if is_whole_file(after) && (!is_whole_file(before) || after.deleted) {
        let value = (!after.deleted).then(Vec::new);
        rows.push(IndexChange { kind: list_of(after.kind), key: list_key(after), value });
    }
    if asks(before) != asks(after) {
        let value = asks(after).then(Vec::new);
        rows.push(IndexChange { kind: QUESTIONS, key: list_key(after), value });
    }
    rows.extend(crate::saved::index(before, events));
    rows.extend(crate::automation::index(before, after, events));
    rows.extend(crate::webhook::taken_out(events));
    for event in events {
        if let Event::TurnHidden { turn } = &**event {
            let key = mainstay_vocabulary::TurnId { session, sequence: *turn }.to_string().into_bytes();
            rows.push(IndexChange { kind: HIDDEN_TURNS, key, value: Some(Vec::new()) });
        }
    }
    rows
}
