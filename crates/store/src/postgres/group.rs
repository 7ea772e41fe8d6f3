//! The requests of one transaction, applied in memory: what each is answered, and what all of them together leave to
//! be written. Every row is written once, however many requests touched it. Nothing here waits; start with `apply`.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
};

use mainstay_vocabulary::{Sequence, SessionId, Shard, Tenant};

use super::{
    cache::{Account, Head, Known},
    facts::Facts,
    request::Request,
};
use crate::{
    error::Error,
    seam::{Batch, Committed, Digest, Remembered, Slice},
};

/// An event to be written.
pub(super) struct Event {
    pub(super) sequence: u64,
    pub(super) op: Option<[u8; 16]>,
    pub(super) chain: Option<Digest>,
    pub(super) bytes: Arc<[u8]>,
}

/// What one session gets.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) head: Head,
    /// Whether it has a row before this transaction.
    pub(super) existed: bool,
    /// Whether its row says something else now than what its events say.
    pub(super) is_changed: bool,
    /// Whether all that it had is deleted before anything is written.
    pub(super) is_erased: bool,
    pub(super) floor_moved: bool,
    pub(super) events: Vec<Event>,
    pub(super) quiet: Vec<(u64, [u8; 16])>,
    pub(super) snapshot: Option<Arc<[u8]>>,
    pub(super) wakeups: BTreeMap<String, Option<u64>>,
    pub(super) blobs: BTreeMap<Digest, Arc<[u8]>>,
    pub(super) frames: Vec<Slice>,
}

/// An index row's place: tenant, kind, key, shard.
pub(super) type Place = (Tenant, &'static str, Vec<u8>, Shard);

/// What a transaction writes.
#[derive(Default)]
pub(super) struct Group {
    pub(super) sessions: Vec<Session>,
    place: HashMap<SessionId, usize>,
    /// Index rows by place: who wrote them last, and what; no value removes the row.
    pub(super) entries: HashMap<Place, (SessionId, Option<Vec<u8>>)>,
    pub(super) scopes: HashMap<(Shard, Digest), (Remembered, u64)>,
    pub(super) funds: HashMap<Account, i64>,
}

impl Group {
    /// Applies a request to what is known and pending.
    ///
    /// # Errors
    /// The request is refused and leaves no trace.
    pub(super) fn apply(&mut self, (known, facts): (&Known, &Facts), request: &Request) -> Result<Committed, Error> {
        match request {
            Request::Commit { batch, .. } => self.commit((known, facts), batch),
            Request::Append { slice, .. } => self.append(known, slice),
        }
    }

    fn append(&mut self, known: &Known, slice: &Slice) -> Result<Committed, Error> {
        let head = self.head(known, &slice.session).ok_or(Error::Malformed("a slice of no session"))?;
        // Frames are not checked against the sequence, so a late one could bring content back.
        refuse_if(head.erased, Error::Malformed("a slice of an erased session"))?;
        refuse_if(slice.first < head.frame_next, Error::Malformed("ordinals must grow"))?;
        let Some(session) = self.session(known, (slice.session, None)) else {
            return Err(Error::Malformed("a slice of no session"));
        };
        session.head.frame_next = slice.last + 1;
        session.frames.push(slice.clone());
        Ok(Committed { sequence: Sequence(session.head.sequence) })
    }

    fn commit(&mut self, (known, facts): (&Known, &Facts), batch: &Batch) -> Result<Committed, Error> {
        if self.refuse_or_repeat((known, facts), batch)? {
            return Ok(Committed { sequence: batch.expected });
        }
        let funds = self.moved_funds(known, batch)?;
        // Nothing can refuse the batch any more.
        self.funds.extend(funds);
        if batch.erase {
            self.entries.values_mut().filter(|(owner, _)| *owner == batch.session).for_each(|(_, value)| *value = None);
        }
        for change in &batch.index {
            let place = (batch.tenant.clone(), change.kind, change.key.clone(), batch.session.shard());
            self.entries.insert(place, (batch.session, change.value.clone()));
        }
        if let Some(record) = &batch.idempotency {
            let taken = Remembered { session: batch.session, sequence: batch.expected.next(), request: record.request };
            self.scopes.insert((batch.session.shard(), record.scope), (taken, record.expires.0));
        }
        let Some(session) = self.session(known, (batch.session, Some(batch))) else {
            return Err(Error::Conflict { head: Sequence(0) });
        };
        session.advance(batch);
        Ok(Committed { sequence: Sequence(session.head.sequence) })
    }

    /// All reasons to refuse but funds. `true`: a batch without events that was applied before, which would otherwise
    /// be applied again, since it moves no sequence.
    fn refuse_or_repeat(&self, (known, facts): (&Known, &Facts), batch: &Batch) -> Result<bool, Error> {
        if let Some(record) = &batch.idempotency {
            let scope = (batch.session.shard(), record.scope);
            let pending = self.scopes.get(&scope).map(|(taken, _)| taken);
            if let Some(taken) = pending.or_else(|| facts.scopes.get(&scope)) {
                return Err(Error::Duplicate(taken.clone()));
            }
        }
        let head = self.head(known, &batch.session);
        if batch.events.is_empty() && self.is_repeated(facts, batch) {
            return Ok(true);
        }
        let at = Sequence(head.map_or(0, |head| head.sequence));
        refuse_if(at != batch.expected, Error::Conflict { head: at })?;
        let same_tenant = head.is_none_or(|head| head.tenant == batch.tenant);
        refuse_if(!same_tenant, Error::Malformed("the session is another tenant's"))?;
        Ok(false)
    }

    fn is_repeated(&self, facts: &Facts, batch: &Batch) -> bool {
        let attempt = (batch.expected.0, batch.op.0);
        let pending = self.place.get(&batch.session).map(|place| &self.sessions[*place]);
        // What an erasure of this group removes is no longer there.
        let is_erased = pending.is_some_and(|session| session.is_erased);
        pending.is_some_and(|session| session.quiet.contains(&attempt))
            || (!is_erased && facts.quiet.contains(&(batch.session, attempt.0, attempt.1)))
    }

    /// What the accounts hold after the batch's moves, made one by one.
    fn moved_funds(&self, known: &Known, batch: &Batch) -> Result<HashMap<Account, i64>, Error> {
        let mut funds: HashMap<Account, i64> = HashMap::new();
        for change in &batch.moves {
            let sum = match funds.entry((batch.session.shard(), change.account.clone())) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let pending = self.funds.get(entry.key());
                    let before = pending.or_else(|| known.funds.get(entry.key())).copied().unwrap_or(0);
                    entry.insert(before)
                }
            };
            *sum = sum.checked_add(change.amount).ok_or(Error::Malformed("an account would overflow"))?;
            // Putting funds in is never refused, so an account is never below zero.
            refuse_if(*sum < 0, Error::Funds)?;
        }
        Ok(funds)
    }

    fn head<'a>(&'a self, known: &'a Known, id: &SessionId) -> Option<&'a Head> {
        let pending = self.place.get(id).map(|place| &self.sessions[*place].head);
        pending.or_else(|| known.heads.get(id))
    }

    /// What a session gets; a batch creates it where it does not exist.
    fn session(&mut self, known: &Known, (id, batch): (SessionId, Option<&Batch>)) -> Option<&mut Session> {
        let place = match self.place.entry(id) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let found = known.heads.get(&id).cloned();
                let existed = found.is_some();
                let head = found.or_else(|| batch.map(created))?;
                self.sessions.push(Session::new(id, head, existed));
                *entry.insert(self.sessions.len() - 1)
            }
        };
        self.sessions.get_mut(place)
    }
}

fn created(batch: &Batch) -> Head {
    Head {
        tenant: batch.tenant.clone(),
        sequence: 0,
        chain: batch.chain,
        open: batch.open,
        erased: false,
        frame_next: 0,
        frame_floor: 0,
    }
}

impl Session {
    const fn new(id: SessionId, head: Head, existed: bool) -> Self {
        Self {
            id,
            head,
            existed,
            is_changed: false,
            is_erased: false,
            floor_moved: false,
            events: Vec::new(),
            quiet: Vec::new(),
            snapshot: None,
            wakeups: BTreeMap::new(),
            blobs: BTreeMap::new(),
            frames: Vec::new(),
        }
    }

    fn advance(&mut self, batch: &Batch) {
        if batch.erase {
            self.erase();
        }
        self.drop_frames(batch.drop_frames_below);
        self.is_changed |= self.head.open != batch.open || batch.events.is_empty();
        (self.head.open, self.head.chain) = (batch.open, batch.chain);
        if batch.events.is_empty() {
            self.quiet.push((batch.expected.0, batch.op.0));
        }
        let last = batch.events.len().wrapping_sub(1);
        self.events.extend(batch.events.iter().enumerate().map(|(index, bytes)| Event {
            sequence: batch.expected.0 + 1 + index as u64,
            op: (index == 0).then_some(batch.op.0),
            chain: (index == last).then_some(batch.chain),
            bytes: Arc::clone(bytes),
        }));
        self.head.sequence += batch.events.len() as u64;
        if batch.snapshot.is_some() {
            self.snapshot.clone_from(&batch.snapshot);
        }
        for change in &batch.wakeups {
            self.wakeups.insert(change.key.clone(), change.at.map(|at| at.0));
        }
        for blob in &batch.blobs {
            // A digest that is there already keeps its content: it is the same, sealed another time.
            self.blobs.entry(blob.digest).or_insert_with(|| Arc::clone(&blob.bytes));
        }
    }

    fn erase(&mut self) {
        (self.is_erased, self.is_changed, self.head.erased) = (true, true, true);
        self.events.clear();
        self.quiet.clear();
        self.snapshot = None;
        self.wakeups.clear();
        self.blobs.clear();
        self.frames.clear();
    }

    fn drop_frames(&mut self, below: u64) {
        // A floor above what was written would swallow later slices.
        let floor = below.min(self.head.frame_next);
        if floor > self.head.frame_floor {
            self.head.frame_floor = floor;
            self.frames.retain(|slice| slice.last >= floor);
            (self.floor_moved, self.is_changed) = (true, true);
        }
    }
}

fn refuse_if(refused: bool, error: Error) -> Result<(), Error> {
    if refused { Err(error) } else { Ok(()) }
}
