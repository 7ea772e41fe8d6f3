//! Holds a backend to the model: the same random calls into both, the same answers and the same contents expected.
//! Calls go out in bursts without waiting, so that good and bad ones share a group commit.

use std::{fmt::Debug, sync::Arc};

use mainstay_store::{
    Error, Store,
    copy::copy,
    seam::{
        Answer, Batch, Blob, Committed, Digest, Direction, Entry, Head, Idempotency, IndexChange, IndexQuery, IndexRow,
        Lease, Move, Remembered, Slice, Wakeup, WakeupChange,
    },
    whole::{Receiver, Whole},
};
use mainstay_vocabulary::{Epoch, OpId, Sequence, SessionId, Timestamp};

use super::{
    memory::Memory,
    random::Random,
    sample::{self, SHARD, session},
    wait::wait,
};

/// Sessions that exist in a run, at most: few, so that calls meet.
const SESSIONS: u8 = 8;
/// Idempotency scopes, blob digests and keys of rows, each.
const NAMES: u8 = 12;
const KINDS: [&str; 2] = ["session", "note"];
const ACCOUNTS: [&[u8]; 3] = [b"a", b"b", b"purse"];
const WAKEUPS: [&str; 3] = ["retry", "deadline", "é"];
/// Bursts of a run; the backend is opened again between some.
const ROUNDS: usize = 12;
/// Most calls in a burst.
const BURST: u64 = 40;
/// One page of events is smaller than a long journal, so that paging is tested.
const PAGE: usize = 7;

/// What a store holds, as its verbs tell.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    sessions: Vec<Held>,
    open: Vec<SessionId>,
    due: Vec<Wakeup>,
    rows: Vec<Vec<IndexRow>>,
    remembered: Vec<Option<Remembered>>,
    funds: Vec<i64>,
}

#[derive(Debug, PartialEq, Eq)]
struct Held {
    head: Option<Head>,
    events: Vec<Entry>,
    frames: Vec<Slice>,
    blobs: Vec<Option<Digest>>,
}

impl Snapshot {
    /// Reads everything that a run can have written.
    ///
    /// # Panics
    /// If a read fails.
    pub fn take(store: &dyn Store) -> Self {
        Self {
            sessions: (0..SESSIONS).map(|number| Held::take(store, session(number))).collect(),
            open: answer(store.open_sessions(vec![SHARD], None, usize::MAX)),
            due: answer(store.due(vec![SHARD], Timestamp(u64::MAX), usize::MAX)),
            rows: queries().into_iter().map(|query| answer(store.list(query))).collect(),
            remembered: (0..NAMES).map(|name| answer(store.remembered(SHARD, [name; 32]))).collect(),
            funds: ACCOUNTS.iter().map(|account| answer(store.funds(SHARD, account.to_vec()))).collect(),
        }
    }
}

impl Held {
    fn take(store: &dyn Store, id: SessionId) -> Self {
        let mut events: Vec<Entry> = Vec::new();
        loop {
            let after = events.last().map_or(Sequence(0), |entry| entry.sequence);
            let page = answer(store.read(&sample::tenant(), id, after, PAGE));
            if page.is_empty() {
                break;
            }
            events.extend(page);
        }
        let blob = |name| answer(store.blob(&sample::tenant(), id, [name; 32])).map(|bytes| fingerprint(&bytes));
        let blobs = (0..NAMES).map(blob).collect();
        Self { head: answer(store.head(id)), events, frames: answer(store.frames(&sample::tenant(), id)), blobs }
    }
}

/// Tells contents apart without printing megabytes of them when a run fails: length, ends, and a sum.
fn fingerprint(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
    for (at, byte) in bytes.iter().enumerate() {
        let slot = 8 + at % 24;
        digest[slot] = digest[slot].rotate_left(1) ^ byte;
    }
    digest
}

fn queries() -> Vec<IndexQuery> {
    let mut queries = Vec::new();
    for kind in KINDS {
        for direction in [Direction::Ascending, Direction::Descending] {
            let all = IndexQuery { direction, ..sample::query(kind) };
            queries.push(IndexQuery { after: Some(vec![5, 5]), ..all.clone() });
            queries.push(IndexQuery { prefix: vec![3], limit: 1, ..all.clone() });
            queries.push(all);
        }
    }
    queries
}

#[allow(clippy::unwrap_used, reason = "a read that fails fails the test")]
fn answer<T>(answer: Answer<'_, T>) -> T {
    wait(answer).unwrap()
}

/// One call, to be made to both.
#[derive(Clone, Debug)]
enum Call {
    Commit(Lease, Box<Batch>),
    Append(Lease, Slice),
}

/// What a call is answered.
type Outcome = Result<Option<Committed>, Error>;

impl Call {
    fn make<'a>(&self, store: &'a dyn Store) -> Answer<'a, Option<Committed>> {
        match self.clone() {
            Self::Commit(lease, batch) => {
                let answer = store.commit(lease, *batch);
                Box::pin(async { answer.await.map(Some) })
            }
            Self::Append(lease, slice) => {
                let answer = store.append_frames(lease, slice);
                Box::pin(async { answer.await.map(|()| None) })
            }
        }
    }
}

/// Opens a store in one of its roles.
pub type Open<'a, T> = &'a dyn Fn() -> Arc<T>;

/// Runs one seed against a backend, then copies what it wrote there and back: all three must be the same.
///
/// # Panics
/// If they differ, or a copy fails.
pub fn copies(
    seed: u64,
    open: &dyn Fn() -> Arc<dyn Store>,
    (look, receive, open_copy): (Open<'_, dyn Whole>, Open<'_, dyn Receiver>, Open<'_, dyn Store>),
) {
    run(seed, open);
    let memory = Memory::default();
    let copied = wait(copy(&*look(), &memory, &mut |_| {}));
    let there = wait(copy(&memory, &*receive(), &mut |_| {}));
    let same = Snapshot::take(&*open()) == Snapshot::take(&memory);
    assert!(copied.is_ok() && there.is_ok() && same, "seed {seed}: {copied:?}, {there:?}, same: {same}");
    assert!(Snapshot::take(&memory) == Snapshot::take(&*open_copy()), "seed {seed}: the copy of the copy differs");
}

/// Runs one seed against the model and a backend that `open` opens, again and again on the same files.
///
/// # Panics
/// If the backend and the model differ; the message names the seed, the round and the call.
pub fn run(seed: u64, open: &dyn Fn() -> Arc<dyn Store>) {
    let mut run = Run { random: Random::new(seed), model: Memory::default(), issued: Vec::new(), seed, round: 0 };
    let mut store = open();
    let mut lease = run.acquire(&*store);
    for round in 0..ROUNDS {
        run.round = round;
        run.burst(&*store, lease);
        let now = Timestamp(run.random.below(100));
        if run.random.percent(20) {
            run.same("sweep", (wait(run.model.sweep(SHARD, now)), wait(store.sweep(SHARD, now))));
        }
        run.same("contents", (Snapshot::take(&run.model), Snapshot::take(&*store)));
        run.outcomes(&*store);
        if run.random.percent(40) {
            drop(store);
            store = open();
            lease = run.acquire(&*store);
            run.same("contents after opening again", (Snapshot::take(&run.model), Snapshot::take(&*store)));
        } else if run.random.percent(20) {
            lease = run.acquire(&*store);
        }
    }
}

struct Run {
    random: Random,
    model: Memory,
    issued: Vec<(SessionId, Sequence, OpId)>,
    seed: u64,
    round: usize,
}

impl Run {
    fn acquire(&self, store: &dyn Store) -> Lease {
        let leases = (answer(self.model.acquire(SHARD, [1; 16])), answer(store.acquire(SHARD, [1; 16])));
        self.same("lease", leases);
        leases.0
    }

    #[allow(clippy::panic, reason = "this is how the test fails")]
    fn same<T: PartialEq + Debug>(&self, what: &str, (model, backend): (T, T)) {
        if model != backend {
            let (seed, round) = (self.seed, self.round);
            panic!("seed {seed}, round {round}: {what} differ\nmodel:   {model:?}\nbackend: {backend:?}");
        }
    }

    fn burst(&mut self, store: &dyn Store, lease: Lease) {
        // Guesses about heads go stale within the burst as they would among concurrent callers.
        let mut heads: Vec<u64> = (0..SESSIONS)
            .map(|number| answer(self.model.head(session(number))).map_or(0, |head| head.sequence.0))
            .collect();
        let mut ordinals: Vec<u64> = (0..SESSIONS)
            .map(|number| {
                answer(self.model.frames(&sample::tenant(), session(number))).last().map_or(0, |slice| slice.last + 1)
            })
            .collect();
        let calls: Vec<Call> =
            (0..self.random.below(BURST) + 1).map(|_| self.call(lease, (&mut heads, &mut ordinals))).collect();
        let answers: Vec<_> = calls.iter().map(|call| call.make(store)).collect();
        for (call, backend) in calls.iter().zip(answers) {
            let model: Outcome = wait(call.make(&self.model));
            self.same(&format!("answers to {call:?}"), (model, wait(backend)));
        }
    }

    fn outcomes(&mut self, store: &dyn Store) {
        for (id, expected, op) in std::mem::take(&mut self.issued) {
            let asked = (wait(self.model.outcome(id, expected, op)), wait(store.outcome(id, expected, op)));
            self.same(&format!("outcomes of {id}, {expected:?}, {op:?}"), asked);
        }
    }

    fn call(&mut self, lease: Lease, (heads, ordinals): (&mut [u64], &mut [u64])) -> Call {
        let number = self.random.below(u64::from(SESSIONS)) as usize;
        let lease = if self.random.percent(3) { Lease { epoch: Epoch(lease.epoch.0 - 1), ..lease } } else { lease };
        if self.random.percent(35) {
            let first =
                ordinals[number] + self.random.below(3) - u64::from(ordinals[number] > 0 && self.random.percent(10));
            let last = first + self.random.below(3);
            ordinals[number] = last + 1;
            let length = self.random.below(200) as usize;
            let bytes = self.random.bytes(length).into();
            return Call::Append(lease, Slice { session: session(number as u8), first, last, bytes });
        }
        let batch = self.batch(number as u8, (heads[number], ordinals[number]));
        heads[number] = batch.expected.0 + batch.events.len() as u64;
        Call::Commit(lease, Box::new(batch))
    }

    fn batch(&mut self, number: u8, (head, ordinal): (u64, u64)) -> Batch {
        let random = &mut self.random;
        let expected = if random.percent(10) { random.below(6) } else { head };
        let mut batch = sample::batch(session(number), expected, &[]);
        batch.op = OpId(random.number().to_be_bytes().repeat(2).try_into().unwrap_or_default());
        for _ in 0..random.below(4) {
            let length = random.below(3_000) as usize;
            batch.events.push(random.bytes(length).into());
        }
        batch.chain = [random.number() as u8; 32];
        batch.open = random.percent(50);
        batch.erase = random.percent(3);
        if random.percent(20) {
            batch.snapshot = Some(random.bytes(500).into());
        }
        if random.percent(30) {
            batch.drop_frames_below = random.below(ordinal + 4);
        }
        carry(random, &mut batch);
        if let Some((id, expected, op)) = self.issued.last().filter(|_| self.random.clone().percent(10)) {
            (batch.session, batch.expected, batch.op) = (*id, *expected, *op);
        }
        self.issued.push((batch.session, batch.expected, batch.op));
        batch
    }
}

/// Adds what a batch carries beside its events.
fn carry(random: &mut Random, batch: &mut Batch) {
    if random.percent(25) {
        let [scope, request] = [[random.below(u64::from(NAMES)) as u8; 32], [random.number() as u8; 32]];
        batch.idempotency = Some(Idempotency { scope, request, expires: Timestamp(random.below(100)) });
    }
    for _ in 0..random.below(3) {
        let at = random.percent(60).then(|| Timestamp(random.below(20)));
        batch.wakeups.push(WakeupChange { key: (*random.one_of(&WAKEUPS)).to_owned(), at });
    }
    for _ in 0..random.below(4) {
        let key = vec![random.below(6) as u8; random.below(3) as usize];
        let value = random.percent(70).then(|| vec![random.number() as u8; 40]);
        batch.index.push(IndexChange { kind: KINDS[random.below(KINDS.len() as u64) as usize], key, value });
    }
    for _ in 0..random.below(3) {
        let amount = random.below(100) as i64 - 40;
        batch.moves.push(Move { account: random.one_of(&ACCOUNTS).to_vec(), amount });
    }
    if random.percent(10) {
        let size = *random.one_of(&[0, 100, 9_000, 300_000]);
        let bytes = vec![random.number() as u8; size].into();
        batch.blobs.push(Blob { digest: [random.below(u64::from(NAMES)) as u8; 32], bytes });
    }
}
