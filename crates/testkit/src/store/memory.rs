//! The model of a store: maps behind one lock, answers at once, no thread and no clock. It says what every backend must
//! do, and serves simulations, so a commit costs only what it writes.

mod session;
mod whole;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::ready,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mainstay_store::{
    Error, Store, check,
    seam::{
        Answer, Batch, Committed, Digest, Direction, Entry, Head, Incarnation, IndexQuery, IndexRow, Lease, MAX_ROWS,
        Members, Node, Remembered, Shards, Slice, Wakeup,
    },
};
use mainstay_vocabulary::{Epoch, OpId, Sequence, SessionId, Shard, Tenant, Timestamp};
use tokio::time::Instant;

use session::Session;

/// A store that lives as long as the value does.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
    /// Where several processes share it: how many shards, and how long a lease runs, by tokio's clock.
    shared: Option<(u16, Duration)>,
}

#[derive(Default)]
struct State {
    closed: bool,
    shards: BTreeMap<Shard, Lane>,
    nodes: BTreeMap<Incarnation, (Node, Instant)>,
    /// A copy under way: of what, and how far it is.
    copy: Option<(Digest, Option<SessionId>)>,
}

/// Tenant, kind and key of an index row.
type RowKey = (Tenant, String, Vec<u8>);

/// Who wrote an index row, and its value.
type Row = (SessionId, Vec<u8>);

/// One shard: sessions share nothing across shards.
#[derive(Default)]
struct Lane {
    epoch: Epoch,
    /// Who holds it, and until when where that runs out.
    holder: Option<(Incarnation, Instant)>,
    sessions: BTreeMap<SessionId, Session>,
    open: BTreeSet<SessionId>,
    wakeups: BTreeSet<(Timestamp, SessionId, String)>,
    index: BTreeMap<RowKey, Row>,
    idempotency: HashMap<Digest, (Remembered, Timestamp)>,
    funds: HashMap<Vec<u8>, i64>,
}

impl Memory {
    /// One that several processes share. Must be used inside a tokio runtime.
    pub fn shared(shards: u16, lease: Duration) -> Self {
        Self { shared: Some((shards, lease)), ..Self::default() }
    }

    /// When a lease runs out that begins now.
    fn until(&self) -> Option<Instant> {
        self.shared.map(|(_, lease)| now() + lease)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<'a, T: Send + 'a>(
        &'a self,
        shard: Shard,
        work: impl FnOnce(&mut Lane) -> Result<T, Error>,
    ) -> Answer<'a, T> {
        let mut state = self.lock();
        let answer = if state.closed { Err(closed()) } else { work(state.shards.entry(shard).or_default()) };
        drop(state);
        Box::pin(ready(answer))
    }

    fn gather<'a, T: Send + 'a>(&'a self, look: impl FnOnce(&State) -> T) -> Answer<'a, T> {
        let state = self.lock();
        let answer = if state.closed { Err(closed()) } else { Ok(look(&state)) };
        drop(state);
        Box::pin(ready(answer))
    }

    fn look<'a, T: Send + Default + 'a>(
        &'a self,
        session: SessionId,
        work: impl FnOnce(&Session) -> T,
    ) -> Answer<'a, T> {
        self.with(session.shard(), |lane| Ok(lane.sessions.get(&session).map(work).unwrap_or_default()))
    }

    /// The same, if the session is this tenant's.
    fn look_of<'a, T: Send + Default + 'a>(
        &'a self,
        (tenant, session): (&Tenant, SessionId),
        work: impl FnOnce(&Session) -> T,
    ) -> Answer<'a, T> {
        self.look(session, |session| if session.tenant == *tenant { work(session) } else { T::default() })
    }
}

#[allow(clippy::disallowed_methods, reason = "a store's clock is its own")]
fn now() -> Instant {
    Instant::now()
}

fn closed() -> Error {
    Error::Unavailable("the store is closed".to_owned())
}

fn lanes<'a>(state: &'a State, shards: &'a [Shard]) -> impl Iterator<Item = &'a Lane> {
    shards.iter().filter_map(|shard| state.shards.get(shard))
}

impl Lane {
    fn fence(&self, lease: Lease) -> Result<(), Error> {
        if self.epoch == lease.epoch { Ok(()) } else { Err(Error::Fenced) }
    }

    fn commit(&mut self, lease: Lease, batch: Batch) -> Result<Committed, Error> {
        check::batch(lease, &batch)?;
        self.fence(lease)?;
        if let Some((taken, _)) = batch.idempotency.as_ref().and_then(|record| self.idempotency.get(&record.scope)) {
            return Err(Error::Duplicate(taken.clone()));
        }
        let session = self.sessions.get(&batch.session);
        let repeated = |session: &Session| session.quiet.contains(&(batch.expected, batch.op));
        if batch.events.is_empty() && session.is_some_and(repeated) {
            return Ok(Committed { sequence: batch.expected });
        }
        let head = session.map_or(Sequence(0), |session| session.sequence);
        if head != batch.expected {
            return Err(Error::Conflict { head });
        }
        if session.is_some_and(|session| session.tenant != batch.tenant) {
            return Err(Error::Malformed("the session is another tenant's"));
        }
        let funds = self.moved_funds(&batch)?;
        self.funds.extend(funds);
        Ok(self.apply(batch))
    }

    fn moved_funds(&self, batch: &Batch) -> Result<HashMap<Vec<u8>, i64>, Error> {
        let mut funds = HashMap::new();
        for change in &batch.moves {
            let before = self.funds.get(&change.account).copied().unwrap_or_default();
            let sum = funds.entry(change.account.clone()).or_insert(before);
            *sum = sum.checked_add(change.amount).ok_or(Error::Malformed("an account would overflow"))?;
            if *sum < 0 {
                return Err(Error::Funds);
            }
        }
        Ok(funds)
    }

    /// Nothing can refuse the batch any more.
    fn apply(&mut self, batch: Batch) -> Committed {
        let id = batch.session;
        self.sessions.entry(id).or_insert_with(|| Session::new(batch.tenant.clone()));
        if batch.erase {
            self.erase(id);
        }
        if let Some(record) = batch.idempotency {
            let taken = Remembered { session: id, sequence: batch.expected.next(), request: record.request };
            self.idempotency.insert(record.scope, (taken, record.expires));
        }
        for change in batch.index {
            let key = (batch.tenant.clone(), change.kind.to_owned(), change.key);
            match change.value {
                Some(value) => self.index.insert(key, (id, value)),
                None => self.index.remove(&key),
            };
        }
        if batch.open {
            self.open.insert(id);
        } else {
            self.open.remove(&id);
        }
        let session = self.sessions.entry(id).or_insert_with(|| Session::new(batch.tenant));
        for change in batch.wakeups {
            if let Some(at) = session.wakeups.remove(&change.key) {
                self.wakeups.remove(&(at, id, change.key.clone()));
            }
            if let Some(at) = change.at {
                self.wakeups.insert((at, id, change.key.clone()));
                session.wakeups.insert(change.key, at);
            }
        }
        let ops = if batch.events.is_empty() { &mut session.quiet } else { &mut session.ops };
        ops.insert((batch.expected, batch.op));
        session.sequence = Sequence(batch.expected.0 + batch.events.len() as u64);
        session.events.extend(batch.events);
        session.chain = batch.chain;
        session.open = batch.open;
        if batch.snapshot.is_some() {
            session.snapshot = batch.snapshot;
        }
        for blob in batch.blobs {
            session.blobs.entry(blob.digest).or_insert(blob.bytes);
        }
        while session.frames.front().is_some_and(|slice| slice.last < batch.drop_frames_below) {
            session.frames.pop_front();
        }
        Committed { sequence: session.sequence }
    }

    fn erase(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        for (key, at) in std::mem::take(&mut session.wakeups) {
            self.wakeups.remove(&(at, id, key));
        }
        self.index.retain(|_, (owner, _)| *owner != id);
        session.erased = true;
        session.snapshot = None;
        session.begin = session.sequence.0;
        session.events.clear();
        session.ops.clear();
        session.quiet.clear();
        session.frames.clear();
        session.blobs.clear();
    }

    fn append(&mut self, lease: Lease, slice: Slice) -> Result<(), Error> {
        check::slice(lease, &slice)?;
        self.fence(lease)?;
        let session = self.sessions.get_mut(&slice.session).ok_or(Error::Malformed("a slice of no session"))?;
        if session.erased {
            return Err(Error::Malformed("a slice of an erased session"));
        }
        if slice.first < session.frame_next {
            return Err(Error::Malformed("ordinals must grow"));
        }
        session.frame_next = slice.last + 1;
        session.frames.push_back(slice);
        Ok(())
    }

    fn list(&self, query: &IndexQuery) -> Vec<IndexRow> {
        let key = |key: &[u8]| (query.tenant.clone(), query.kind.to_owned(), key.to_vec());
        let begin = Bound::Included(key(&query.prefix));
        let after = query.after.as_deref();
        let rows = self.index.range((begin, Bound::Unbounded)).take_while(|((tenant, kind, name), _)| {
            *tenant == query.tenant && *kind == query.kind && name.starts_with(&query.prefix)
        });
        let row = |((_, _, name), (session, value)): (&RowKey, &Row)| IndexRow {
            key: name.clone(),
            session: *session,
            value: value.clone(),
        };
        let limit = query.limit.min(MAX_ROWS);
        match query.direction {
            Direction::Ascending => rows
                .filter(|((_, _, name), _)| after.is_none_or(|after| &name[..] > after))
                .take(limit)
                .map(row)
                .collect(),
            Direction::Descending => {
                let found: Vec<_> =
                    rows.filter(|((_, _, name), _)| after.is_none_or(|after| &name[..] < after)).collect();
                found.into_iter().rev().take(limit).map(row).collect()
            }
        }
    }
}

impl Store for Memory {
    fn shards(&self) -> u16 {
        self.shared.map_or(1, |(shards, _)| shards)
    }

    fn lease_ms(&self) -> Option<u64> {
        self.shared.map(|(_, lease)| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX))
    }

    fn acquire(&self, shard: Shard, incarnation: Incarnation) -> Answer<'_, Lease> {
        let until = self.until();
        self.with(shard, |lane| {
            if lane.holder.is_some_and(|(holder, until)| holder != incarnation && now() < until) {
                return Err(Error::Held);
            }
            lane.holder = until.map(|until| (incarnation, until));
            lane.epoch = Epoch(lane.epoch.0 + 1);
            Ok(Lease { shard, epoch: lane.epoch })
        })
    }

    fn renew(&self, leases: Vec<Lease>) -> Answer<'_, Vec<Lease>> {
        let until = self.until();
        let mut state = self.lock();
        let mut kept = Vec::new();
        for lease in leases {
            if let Some(lane) = state.shards.get_mut(&lease.shard).filter(|lane| lane.epoch == lease.epoch) {
                lane.holder = lane.holder.zip(until).map(|((holder, _), until)| (holder, until));
                kept.push(lease);
            }
        }
        drop(state);
        Box::pin(ready(Ok(kept)))
    }

    fn release(&self, lease: Lease) -> Answer<'_, ()> {
        self.with(lease.shard, |lane| {
            if lane.epoch == lease.epoch {
                lane.holder = None;
            }
            Ok(())
        })
    }

    fn announce(&self, node: Node) -> Answer<'_, ()> {
        if let Some(until) = self.until() {
            self.lock().nodes.insert(node.incarnation, (node, until));
        }
        Box::pin(ready(Ok(())))
    }

    fn members(&self) -> Answer<'_, Members> {
        self.gather(|state| {
            let nodes = state.nodes.values().filter(|(_, until)| now() < *until);
            let holder = |lane: &Lane| lane.holder.filter(|(_, until)| now() < *until).map(|(holder, _)| holder);
            Members {
                nodes: nodes.map(|(node, _)| node.clone()).collect(),
                holders: state.shards.iter().filter_map(|(shard, lane)| Some((*shard, holder(lane)?))).collect(),
            }
        })
    }

    fn commit(&self, lease: Lease, batch: Batch) -> Answer<'_, Committed> {
        self.with(lease.shard, |lane| lane.commit(lease, batch))
    }

    fn append_frames(&self, lease: Lease, slice: Slice) -> Answer<'_, ()> {
        self.with(lease.shard, |lane| lane.append(lease, slice))
    }

    fn outcome(&self, session: SessionId, expected: Sequence, op: OpId) -> Answer<'_, bool> {
        self.look(session, |session| [&session.ops, &session.quiet].iter().any(|ops| ops.contains(&(expected, op))))
    }

    fn head(&self, session: SessionId) -> Answer<'_, Option<Head>> {
        self.look(session, |session| Some(session.head()))
    }

    fn read(&self, tenant: &Tenant, session: SessionId, after: Sequence, limit: usize) -> Answer<'_, Vec<Entry>> {
        self.look_of((tenant, session), |session| session.read(after, limit))
    }

    fn frames(&self, tenant: &Tenant, session: SessionId) -> Answer<'_, Vec<Slice>> {
        self.look_of((tenant, session), |session| session.frames.iter().cloned().collect())
    }

    fn remembered(&self, shard: Shard, scope: Digest) -> Answer<'_, Option<Remembered>> {
        self.with(shard, |lane| Ok(lane.idempotency.get(&scope).map(|(taken, _)| taken.clone())))
    }

    fn open_sessions(&self, shards: Vec<Shard>, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>> {
        self.gather(|state| {
            let mut found: Vec<SessionId> = lanes(state, &shards)
                .flat_map(|lane| &lane.open)
                .copied()
                .filter(|id| after.is_none_or(|after| *id > after))
                .collect();
            found.sort_unstable();
            found.truncate(limit.min(MAX_ROWS));
            found
        })
    }

    fn due(&self, shards: Vec<Shard>, until: Timestamp, limit: usize) -> Answer<'_, Vec<Wakeup>> {
        self.gather(|state| {
            let mut due: Vec<_> = lanes(state, &shards)
                .flat_map(|lane| lane.wakeups.iter().take_while(|(at, _, _)| *at <= until))
                .collect();
            due.sort_unstable();
            due.truncate(limit.min(MAX_ROWS));
            due.into_iter().map(|(at, id, key)| Wakeup { session: *id, key: key.clone(), at: *at }).collect()
        })
    }

    fn list(&self, query: IndexQuery) -> Answer<'_, Vec<IndexRow>> {
        if let Err(error) = check::query(&query) {
            return Box::pin(ready(Err(error)));
        }
        self.gather(|state| {
            let shards = match &query.shards {
                Shards::One(shard) => vec![*shard],
                Shards::Some(shards) => shards.clone(),
                Shards::All => state.shards.keys().copied().collect(),
            };
            let mut rows: Vec<IndexRow> = lanes(state, &shards).flat_map(|lane| lane.list(&query)).collect();
            rows.sort_by(|one, other| match query.direction {
                Direction::Ascending => one.key.cmp(&other.key),
                Direction::Descending => other.key.cmp(&one.key),
            });
            rows.truncate(query.limit.min(MAX_ROWS));
            rows
        })
    }

    fn funds(&self, shard: Shard, account: Vec<u8>) -> Answer<'_, i64> {
        self.with(shard, |lane| Ok(lane.funds.get(&account).copied().unwrap_or_default()))
    }

    fn blob(&self, tenant: &Tenant, session: SessionId, digest: Digest) -> Answer<'_, Option<Arc<[u8]>>> {
        self.look_of((tenant, session), |session| session.blobs.get(&digest).cloned())
    }

    fn sweep(&self, shard: Shard, now: Timestamp) -> Answer<'_, ()> {
        self.with(shard, |lane| {
            lane.idempotency.retain(|_, (_, expires)| *expires >= now);
            Ok(())
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        // One process that leaves does not close it for the others.
        self.lock().closed = self.shared.is_none();
        Box::pin(ready(Ok(())))
    }
}
