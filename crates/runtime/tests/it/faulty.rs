//! The in-memory store with faults that a test draws: lost answers, refusals, slow verbs, a lane that is shut.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mainstay_store::{
    Error, Store,
    seam::{Answer, Batch, Committed, Digest, Entry, Head, IndexQuery, IndexRow, Lease, Remembered, Slice, Wakeup},
};
use mainstay_testkit::store::memory::Memory;
use mainstay_vocabulary::{OpId, Sequence, SessionId, Shard, Tenant, Timestamp};

/// What becomes of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It takes place and says so.
    Done,
    /// It takes place; nobody says so.
    LostAnswer,
    /// It does not take place; nobody says so.
    LostWrite,
    /// It is refused.
    Away,
}

/// The store.
#[derive(Default)]
pub(crate) struct Faulty {
    memory: Memory,
    /// Fates of the next commits; `Done` after the last.
    pub(crate) fates: Mutex<VecDeque<Fate>>,
    /// How many of the next `acquire` calls are refused.
    pub(crate) refusals: AtomicUsize,
    /// How long `acquire` takes to answer after it took place, milliseconds.
    pub(crate) slow_acquire_ms: AtomicU64,
    /// How long `frames` takes to answer after it looked, milliseconds.
    pub(crate) slow_frames_ms: AtomicU64,
    /// No room for any write.
    pub(crate) is_full: AtomicBool,
    /// A write failed: all is refused until `acquire`.
    pub(crate) is_shut: AtomicBool,
}

impl Faulty {
    fn open(&self) -> Result<(), Error> {
        let shut = || Error::Unavailable("shut".to_owned());
        if self.is_shut.load(Ordering::SeqCst) { Err(shut()) } else { Ok(()) }
    }

    fn writable(&self) -> Result<(), Error> {
        self.open().map_err(|_| unknown())?;
        if self.is_full.load(Ordering::SeqCst) { Err(Error::Full) } else { Ok(()) }
    }

    fn read<'a, T: Send + 'a>(&'a self, answer: Answer<'a, T>) -> Answer<'a, T> {
        match self.open() {
            Ok(()) => answer,
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

fn unknown() -> Error {
    Error::Unknown("the answer was lost".to_owned())
}

async fn wait(time: &AtomicU64) {
    let time = time.load(Ordering::SeqCst);
    if time > 0 {
        tokio::time::sleep(Duration::from_millis(time)).await;
    }
}

impl Store for Faulty {
    fn acquire(&self, shard: Shard, incarnation: [u8; 16]) -> Answer<'_, Lease> {
        Box::pin(async move {
            if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                return Err(Error::Unavailable("refused".to_owned()));
            }
            self.is_shut.store(false, Ordering::SeqCst);
            let lease = self.memory.acquire(shard, incarnation).await;
            wait(&self.slow_acquire_ms).await;
            lease
        })
    }

    fn commit(&self, lease: Lease, batch: Batch) -> Answer<'_, Committed> {
        Box::pin(async move {
            self.writable()?;
            let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Done);
            match fate {
                Fate::Done => self.memory.commit(lease, batch).await,
                Fate::LostAnswer => self.memory.commit(lease, batch).await.and(Err(unknown())),
                Fate::LostWrite => Err(unknown()),
                Fate::Away => Err(Error::Unavailable("away".to_owned())),
            }
        })
    }

    fn append_frames(&self, lease: Lease, slice: Slice) -> Answer<'_, ()> {
        Box::pin(async move {
            self.writable()?;
            self.memory.append_frames(lease, slice).await
        })
    }

    fn outcome(&self, session: SessionId, expected: Sequence, op: OpId) -> Answer<'_, bool> {
        self.read(self.memory.outcome(session, expected, op))
    }

    fn head(&self, session: SessionId) -> Answer<'_, Option<Head>> {
        self.read(self.memory.head(session))
    }

    fn read(&self, tenant: &Tenant, session: SessionId, after: Sequence, limit: usize) -> Answer<'_, Vec<Entry>> {
        self.read(self.memory.read(tenant, session, after, limit))
    }

    fn frames(&self, tenant: &Tenant, session: SessionId) -> Answer<'_, Vec<Slice>> {
        let frames = self.memory.frames(tenant, session);
        Box::pin(async move {
            let frames = self.read(frames).await;
            wait(&self.slow_frames_ms).await;
            frames
        })
    }

    fn remembered(&self, shard: Shard, scope: Digest) -> Answer<'_, Option<Remembered>> {
        self.read(self.memory.remembered(shard, scope))
    }

    fn open_sessions(&self, shards: Vec<Shard>, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>> {
        self.read(self.memory.open_sessions(shards, after, limit))
    }

    fn due(&self, shards: Vec<Shard>, until: Timestamp, limit: usize) -> Answer<'_, Vec<Wakeup>> {
        self.read(self.memory.due(shards, until, limit))
    }

    fn list(&self, query: IndexQuery) -> Answer<'_, Vec<IndexRow>> {
        self.read(self.memory.list(query))
    }

    fn funds(&self, shard: Shard, account: Vec<u8>) -> Answer<'_, i64> {
        self.read(self.memory.funds(shard, account))
    }

    fn blob(&self, tenant: &Tenant, session: SessionId, digest: Digest) -> Answer<'_, Option<std::sync::Arc<[u8]>>> {
        self.read(self.memory.blob(tenant, session, digest))
    }

    fn sweep(&self, shard: Shard, now: Timestamp) -> Answer<'_, ()> {
        Box::pin(async move {
            self.writable()?;
            self.memory.sweep(shard, now).await
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        self.memory.close()
    }
}
