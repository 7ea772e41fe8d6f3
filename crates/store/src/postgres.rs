//! The backend of a cluster: PostgreSQL 15 and later, any number of processes on one database. The verbs here only
//! hand work to threads; start with `lane` (what a commit is), then `group` (what it decides), `statements`, `commit`
//! and `tables`; `lease` is who holds what, `read` the questions.

pub mod bug;
mod cache;
mod commit;
mod desk;
mod facts;
mod fault;
mod group;
mod keys;
mod lane;
mod lease;
pub mod link;
mod pool;
mod read;
mod receive;
mod request;
pub mod schema;
mod settings;
mod statements;
mod tables;
mod target;
mod whole;

use std::{
    fmt,
    future::ready,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use mainstay_vocabulary::{OpId, Sequence, SessionId, Shard, Tenant, Timestamp};
use tokio::sync::oneshot;

use crate::{
    check,
    error::Error,
    queue::{Queue, Refused},
    seam::{
        Answer, Batch, Committed, Digest, Entry, Head, Incarnation, IndexQuery, IndexRow, Lease, Members, Node,
        Remembered, Slice, Store, Wakeup,
    },
    thread,
};
use lane::Lane;
use link::{Failure, Link};
use pool::Pool;
use request::{Reply, Request, Task};
use target::Target;

pub use keys::{FOLLOW_MS, Heard as KeyHeard, KeyRow, KeyTable, is_same_database, open_keys};
pub use receive::receive;
pub use whole::{look, migrate};

/// Which database, and how to use it.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// `postgres://user:password@host/database?sslmode=verify-full`, or `key=value` pairs, as libpq reads them.
    pub url: String,
    /// How many shards a database gets that has none yet; for good.
    pub shards: u16,
    /// How long a lease runs, milliseconds. 0: any `acquire` succeeds at once.
    pub lease_ms: u64,
    /// Connections that write, each for a part of the shards.
    pub lanes: usize,
    /// Connections that read.
    pub readers: usize,
    /// What takes longer than this is given up, milliseconds.
    pub timeout_ms: u64,
    /// Whether somebody relies on a standby to take over: then a database without synchronous standbys is refused.
    pub failover: bool,
    /// What a test wants to see go wrong.
    #[cfg(feature = "faults")]
    pub bug: Option<bug::Bug>,
}

impl Options {
    /// A database with the usual settings.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            shards: 256,
            lease_ms: 10_000,
            lanes: 2,
            readers: 4,
            timeout_ms: 20_000,
            failover: false,
            #[cfg(feature = "faults")]
            bug: None,
        }
    }

    /// Whether a bug is planted.
    #[cfg(feature = "faults")]
    fn has(&self, bug: bug::Bug) -> bool {
        self.bug == Some(bug)
    }

    /// There are none.
    #[cfg(not(feature = "faults"))]
    #[allow(clippy::unused_self, reason = "a test build asks the same")]
    const fn has(&self, _: bug::Bug) -> bool {
        false
    }
}

impl fmt::Debug for Options {
    /// Without the URL: it may hold a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, shards, lease_ms, lanes, readers, timeout_ms, failover, .. } = self;
        out.debug_struct("Options")
            .field("shards", shards)
            .field("lease_ms", lease_ms)
            .field("lanes", lanes)
            .field("readers", readers)
            .field("timeout_ms", timeout_ms)
            .field("failover", failover)
            .finish_non_exhaustive()
    }
}

/// Opens a database, and makes the tables where there are none.
///
/// # Errors
/// `Unavailable`: it cannot be reached, is set up in a way that loses data, or was written by a later version.
pub fn open(options: Options) -> Result<Arc<dyn Store>, Error> {
    let target = Target::parse(&options.url)?;
    let shards = prepare(&target, &options)?;
    let unstarted = |error: io::Error| Error::Unavailable(format!("no thread can be started: {error}"));
    let postgres = Postgres {
        shards,
        lease_ms: options.lease_ms,
        renames: !options.has(bug::Bug::LookWithoutEpoch),
        lanes: (0..options.lanes.max(1)).map(|_| Arc::new(Queue::new())).collect(),
        readers: Pool::new(),
        takers: Pool::new(),
        keepers: Pool::new(),
        closed: AtomicBool::new(false),
        threads: Mutex::new(Vec::new()),
    };
    let mut threads = Vec::new();
    let pools = [("store-read", &postgres.readers, options.readers.max(1)), ("store-take", &postgres.takers, 1)];
    for (name, pool, count) in pools.into_iter().chain([("store-keep", &postgres.keepers, 1)]) {
        threads.extend(pool.start((name, count), (&target, &options)).map_err(unstarted)?);
    }
    for (number, queue) in postgres.lanes.iter().enumerate() {
        let lane = Lane::new(target.clone(), options.clone());
        let (runtime, queue) = (pool::runtime().map_err(unstarted)?, Arc::clone(queue));
        let life = move || runtime.block_on(lane.run(queue));
        threads.push(thread::start(&format!("store-write-{number}"), life).map_err(unstarted)?);
    }
    *postgres.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
    Ok(Arc::new(postgres))
}

/// Looks at the server, migrates, and answers how many shards there are. On a thread of its own: the caller's may
/// belong to a runtime.
fn prepare(target: &Target, options: &Options) -> Result<u16, Error> {
    let (target, options) = (target.clone(), options.clone());
    let (reply, answer) = mpsc::channel();
    let unstarted = |error: io::Error| Error::Unavailable(format!("no thread can be started: {error}"));
    let runtime = pool::runtime().map_err(unstarted)?;
    let work = move || {
        let prepared = runtime.block_on(async {
            let mut link = Link::reach(&target, &options).await?;
            let mut second = Link::reach(&target, &options).await?;
            settings::judge(&settings::look(&mut link, &mut second, options.failover).await?)?;
            tables::prepare(&mut link, options.shards).await
        });
        drop(reply.send(prepared));
    };
    let thread = thread::start("store-open", work).map_err(unstarted)?;
    let prepared = answer.recv().map_err(|_| Error::Unavailable("the database could not be opened".to_owned()));
    drop(thread.join());
    prepared?
}

struct Postgres {
    shards: u16,
    lease_ms: u64,
    /// Whether taking a shard gives it a new epoch, as it must.
    renames: bool,
    /// Each writes for the shards whose number leaves its own, divided by how many there are.
    lanes: Vec<Arc<Queue<Task>>>,
    readers: Arc<Pool>,
    /// Takes shards: it may have to wait for a transaction of the lease before.
    takers: Arc<Pool>,
    /// Renews leases, which may not wait for others.
    keepers: Arc<Pool>,
    closed: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Postgres {
    fn lane(&self, shard: Shard) -> &Arc<Queue<Task>> {
        &self.lanes[usize::from(shard.0) % self.lanes.len()]
    }

    /// Hands a task to the shard's lane now; the answer comes when it is polled.
    fn write<T: Send + 'static>(
        &self,
        (shard, bytes): (Shard, usize),
        task: impl FnOnce(Reply<T>) -> Task,
    ) -> Answer<'_, T> {
        if self.closed.load(Ordering::Acquire) {
            return refused(Refused::Closed);
        }
        push(self.lane(shard), bytes, task)
    }

    /// Hands a question to a pool now; the answer comes when it is polled.
    fn ask<T, W>(&self, pool: &Pool, work: W) -> Answer<'_, T>
    where
        T: Send + 'static,
        W: AsyncFn(&mut Link) -> Result<T, Failure> + Send + 'static,
    {
        if self.closed.load(Ordering::Acquire) {
            return refused(Refused::Closed);
        }
        match pool.ask(work) {
            Ok(answer) => {
                Box::pin(async move { answer.await.unwrap_or_else(|_| Err(ended("a reading thread ended"))) })
            }
            Err(refusal) => refused(refusal),
        }
    }

    /// The same for work that has errors of its own.
    fn keep<T, W>(&self, pool: &Pool, work: W) -> Answer<'_, T>
    where
        T: Send + 'static,
        W: AsyncFn(&mut Link) -> Result<Result<T, Error>, Failure> + Send + 'static,
    {
        let answer = self.ask(pool, work);
        Box::pin(async move { answer.await? })
    }
}

impl Store for Postgres {
    fn shards(&self) -> u16 {
        self.shards
    }

    fn lease_ms(&self) -> Option<u64> {
        Some(self.lease_ms)
    }

    /// In three steps: the lane lets go, in its turn; the shard is taken, on a connection on which nothing else waits;
    /// the lane serves it.
    fn acquire(&self, shard: Shard, incarnation: Incarnation) -> Answer<'_, Lease> {
        let left = self.write((shard, 0), |reply| Task::Leave { shard, reply });
        let (lease_ms, renames) = (self.lease_ms, self.renames);
        Box::pin(async move {
            left.await?;
            let wanted = (shard, incarnation);
            let take = async move |link: &mut Link| lease::acquire(link, wanted, (lease_ms, renames)).await;
            let taken = self.keep(&self.takers, take).await?;
            self.write((shard, 0), |reply| Task::Hold { taken, reply }).await?;
            Ok(Lease { shard, epoch: taken.epoch })
        })
    }

    fn renew(&self, leases: Vec<Lease>) -> Answer<'_, Vec<Lease>> {
        let lease_ms = self.lease_ms;
        self.keep(&self.keepers, async move |link: &mut Link| lease::renew(link, &leases, lease_ms).await)
    }

    fn release(&self, lease: Lease) -> Answer<'_, ()> {
        let left = self.write((lease.shard, 0), |reply| Task::Leave { shard: lease.shard, reply });
        Box::pin(async move {
            left.await?;
            self.keep(&self.keepers, async move |link: &mut Link| lease::release(link, lease).await).await
        })
    }

    fn announce(&self, node: Node) -> Answer<'_, ()> {
        let lease_ms = self.lease_ms;
        self.keep(&self.keepers, async move |link: &mut Link| lease::announce(link, &node, lease_ms).await)
    }

    fn members(&self) -> Answer<'_, Members> {
        self.ask(&self.keepers, lease::members)
    }

    fn commit(&self, lease: Lease, batch: Batch) -> Answer<'_, Committed> {
        if let Err(error) = check::batch(lease, &batch) {
            return Box::pin(ready(Err(error)));
        }
        let (place, batch) = ((lease.shard, check::bytes(&batch)), Box::new(batch));
        self.write(place, |reply| Task::Write(Request::Commit { lease, batch, reply }))
    }

    fn append_frames(&self, lease: Lease, slice: Slice) -> Answer<'_, ()> {
        if let Err(error) = check::slice(lease, &slice) {
            return Box::pin(ready(Err(error)));
        }
        let place = (lease.shard, slice.bytes.len());
        self.write(place, |reply| Task::Write(Request::Append { lease, slice, reply }))
    }

    fn outcome(&self, session: SessionId, expected: Sequence, op: OpId) -> Answer<'_, bool> {
        self.ask(&self.readers, async move |link: &mut Link| read::outcome(link, session, (expected, op)).await)
    }

    fn head(&self, session: SessionId) -> Answer<'_, Option<Head>> {
        self.ask(&self.readers, async move |link: &mut Link| read::head(link, session).await)
    }

    fn read(&self, tenant: &Tenant, session: SessionId, after: Sequence, limit: usize) -> Answer<'_, Vec<Entry>> {
        let (tenant, page) = (tenant.clone(), (after, limit));
        self.ask(&self.readers, async move |link: &mut Link| read::events(link, (&tenant, session), page).await)
    }

    fn frames(&self, tenant: &Tenant, session: SessionId) -> Answer<'_, Vec<Slice>> {
        let tenant = tenant.clone();
        self.ask(&self.readers, async move |link: &mut Link| read::frames(link, (&tenant, session)).await)
    }

    fn remembered(&self, shard: Shard, scope: Digest) -> Answer<'_, Option<Remembered>> {
        self.ask(&self.readers, async move |link: &mut Link| read::remembered(link, shard, &scope).await)
    }

    fn open_sessions(&self, shards: Vec<Shard>, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>> {
        self.ask(&self.readers, async move |link: &mut Link| read::open_sessions(link, &shards, (after, limit)).await)
    }

    fn due(&self, shards: Vec<Shard>, until: Timestamp, limit: usize) -> Answer<'_, Vec<Wakeup>> {
        self.ask(&self.readers, async move |link: &mut Link| read::due(link, &shards, (until, limit)).await)
    }

    fn list(&self, query: IndexQuery) -> Answer<'_, Vec<IndexRow>> {
        if let Err(error) = check::query(&query) {
            return Box::pin(ready(Err(error)));
        }
        self.ask(&self.readers, async move |link: &mut Link| read::list(link, &query).await)
    }

    fn funds(&self, shard: Shard, account: Vec<u8>) -> Answer<'_, i64> {
        self.ask(&self.readers, async move |link: &mut Link| read::funds(link, shard, &account).await)
    }

    fn blob(&self, tenant: &Tenant, session: SessionId, digest: Digest) -> Answer<'_, Option<Arc<[u8]>>> {
        let tenant = tenant.clone();
        self.ask(&self.readers, async move |link: &mut Link| read::blob(link, (&tenant, session), &digest).await)
    }

    fn sweep(&self, shard: Shard, now: Timestamp) -> Answer<'_, ()> {
        self.keep(&self.readers, async move |link: &mut Link| lease::sweep(link, shard, now.0).await)
    }

    fn close(&self) -> Answer<'_, ()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return refused(Refused::Closed);
        }
        let lanes: Vec<_> = self.lanes.iter().map(|lane| push(lane, 0, |reply| Task::Close { reply })).collect();
        Box::pin(async move {
            for closed in lanes {
                closed.await?;
            }
            self.end();
            Ok(())
        })
    }
}

impl Postgres {
    /// Lets the threads end after what was asked before.
    fn end(&self) {
        self.lanes.iter().for_each(|lane| lane.close());
        [&self.readers, &self.takers, &self.keepers].into_iter().for_each(|pool| pool.close());
    }
}

impl Drop for Postgres {
    /// Waits for the threads: what was asked before is done.
    fn drop(&mut self) {
        self.end();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

fn push<'a, T: Send + 'static>(lane: &Queue<Task>, bytes: usize, task: impl FnOnce(Reply<T>) -> Task) -> Answer<'a, T> {
    let (reply, answer) = oneshot::channel();
    match lane.push(task(reply), bytes) {
        Ok(()) => Box::pin(async move {
            answer.await.unwrap_or_else(|_| Err(Error::Unknown("the writing thread ended".to_owned())))
        }),
        Err(refusal) => refused(refusal),
    }
}

fn refused<'a, T: Send + 'a>(refusal: Refused) -> Answer<'a, T> {
    Box::pin(ready(Err(ended(match refusal {
        Refused::Overloaded => "too much waits for the database",
        Refused::Closed => "the store is closed",
    }))))
}

fn ended(why: &str) -> Error {
    Error::Unavailable(why.to_owned())
}
