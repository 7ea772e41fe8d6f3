//! The store as one simulated process sees it: the in-memory model behind delays, outages and lost answers. Writes are
//! applied in order, one at a time, like those of a lane.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mainstay_store::{
    Error, Store,
    seam::{
        Answer, Batch, Committed, Digest, Entry, Head, IndexQuery, IndexRow, Lease, Members, Node, Remembered, Slice,
        Wakeup,
    },
};
use mainstay_vocabulary::{OpId, Sequence, SessionId, Shard, Tenant, Timestamp};

use super::world::{Fault, Outage, Shared, short};
use crate::store::Memory;

/// Longest time that a slow write takes on either side of being applied, milliseconds.
const SLOWEST_MS: u64 = 40;

/// One process's store.
pub(super) struct Disk {
    world: Shared,
    memory: Arc<Memory>,
    process: u32,
    lane: tokio::sync::Mutex<()>,
    /// Whether an answer was lost since the shard was taken last: the process then may try to take it anew.
    is_in_doubt: AtomicBool,
}

impl Disk {
    pub(super) fn new(world: Shared, process: u32) -> Self {
        let memory = Arc::clone(&world.lock().store);
        Self { world, memory, process, lane: tokio::sync::Mutex::default(), is_in_doubt: AtomicBool::new(false) }
    }

    async fn linger(&self) {
        let wait = {
            let mut world = self.world.lock();
            let slow = world.plan.slow_write;
            if world.disk.percent(slow) { 1 + world.disk.below(SLOWEST_MS) } else { 0 }
        };
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    /// Writes in order under the fault that is drawn for it.
    async fn write<T>(&self, session: SessionId, apply: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let lane = self.lane.lock().await;
        self.linger().await;
        self.alive().await;
        let fault = match self.world.lock() {
            world if world.is_cut(self.process) => Fault::Away,
            mut world => world.draw_fault(self.process, session),
        };
        let answer = match fault {
            Fault::None => apply.await,
            Fault::Full => Err(Error::Full),
            Fault::Away => Err(away()),
            Fault::LostWrite => Err(Error::Unknown("the answer was lost".to_owned())),
            Fault::LostAcknowledgement => apply.await.and(Err(Error::Unknown("the answer was lost".to_owned()))),
        };
        if let Err(Error::Malformed(rule)) = &answer {
            self.world.lock().violate(format_args!("{}: a malformed write: {rule}", short(session)));
        }
        if let Err(Error::Unknown(_)) = &answer {
            self.is_in_doubt.store(true, Ordering::Relaxed);
        }
        if fault != Fault::None {
            self.world.lock().note(format_args!("p{} {} {fault:?}", self.process, short(session)));
        }
        drop(lane);
        self.linger().await;
        answer
    }

    fn look<'a, T: Send + 'a>(&'a self, answer: Answer<'a, T>) -> Answer<'a, T> {
        let world = self.world.lock();
        if world.dead.contains(&self.process) {
            return Box::pin(std::future::pending());
        }
        if world.is_cut(self.process) || world.plan.blind && world.outage() == Some(Outage::Away) {
            return Box::pin(std::future::ready(Err(away())));
        }
        answer
    }

    /// Asks about leases and nodes: answered at once, or not at all. It is decided when it is polled.
    fn ask<'a, T: Send + 'a>(&'a self, ask: impl FnOnce(&'a Memory) -> Answer<'a, T> + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move {
            self.linger().await;
            self.alive().await;
            if self.world.lock().is_cut(self.process) {
                return Err(away());
            }
            ask(&self.memory).await
        })
    }

    /// For ever, if the process is dead.
    async fn alive(&self) {
        if self.world.lock().dead.contains(&self.process) {
            std::future::pending::<()>().await;
        }
    }
}

fn away() -> Error {
    Error::Unavailable("simulated".to_owned())
}

impl Store for Disk {
    fn acquire(&self, shard: Shard, incarnation: [u8; 16]) -> Answer<'_, Lease> {
        Box::pin(async move {
            let _lane = self.lane.lock().await;
            self.linger().await;
            self.alive().await;
            let is_cluster = {
                let world = self.world.lock();
                if world.is_cut(self.process) {
                    return Err(away());
                }
                world.is_cluster()
            };
            if is_cluster {
                let taken = self.memory.acquire(shard, incarnation).await;
                if taken.is_ok() {
                    self.world.lock().holders.insert(shard, self.process);
                }
                return taken;
            }
            {
                let mut world = self.world.lock();
                if world.draws_refusal() {
                    return Err(away());
                }
                if self.process < world.owner {
                    let process = self.process;
                    if !self.is_in_doubt.load(Ordering::Relaxed) {
                        world.violate(format_args!("process {process} takes the shard back from its successor"));
                    }
                    return Err(away());
                }
                world.owner = self.process;
                self.is_in_doubt.store(false, Ordering::Relaxed);
            }
            self.memory.acquire(shard, incarnation).await
        })
    }

    fn shards(&self) -> u16 {
        self.memory.shards()
    }

    fn lease_ms(&self) -> Option<u64> {
        self.memory.lease_ms()
    }

    fn renew(&self, leases: Vec<Lease>) -> Answer<'_, Vec<Lease>> {
        self.ask(|memory| memory.renew(leases))
    }

    fn release(&self, lease: Lease) -> Answer<'_, ()> {
        self.ask(move |memory| memory.release(lease))
    }

    fn announce(&self, node: Node) -> Answer<'_, ()> {
        self.ask(|memory| memory.announce(node))
    }

    fn members(&self) -> Answer<'_, Members> {
        self.ask(Memory::members)
    }

    fn commit(&self, lease: Lease, batch: Batch) -> Answer<'_, Committed> {
        Box::pin(async move {
            let apply = async {
                let copy = batch.clone();
                let answer = self.memory.commit(lease, batch.clone()).await;
                if answer.is_ok() {
                    self.world.lock().applied(self.process, &copy);
                }
                answer
            };
            self.write(batch.session, apply).await
        })
    }

    fn append_frames(&self, lease: Lease, slice: Slice) -> Answer<'_, ()> {
        Box::pin(async move {
            let session = slice.session;
            self.write(session, async { self.memory.append_frames(lease, slice).await }).await
        })
    }

    fn outcome(&self, session: SessionId, expected: Sequence, op: OpId) -> Answer<'_, bool> {
        self.look(self.memory.outcome(session, expected, op))
    }

    fn head(&self, session: SessionId) -> Answer<'_, Option<Head>> {
        self.look(self.memory.head(session))
    }

    fn read(&self, tenant: &Tenant, session: SessionId, after: Sequence, limit: usize) -> Answer<'_, Vec<Entry>> {
        self.look(self.memory.read(tenant, session, after, limit))
    }

    fn frames(&self, tenant: &Tenant, session: SessionId) -> Answer<'_, Vec<Slice>> {
        self.look(self.memory.frames(tenant, session))
    }

    fn remembered(&self, shard: Shard, scope: Digest) -> Answer<'_, Option<Remembered>> {
        self.look(self.memory.remembered(shard, scope))
    }

    fn open_sessions(&self, shards: Vec<Shard>, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>> {
        self.look(self.memory.open_sessions(shards, after, limit))
    }

    fn due(&self, shards: Vec<Shard>, until: Timestamp, limit: usize) -> Answer<'_, Vec<Wakeup>> {
        self.look(self.memory.due(shards, until, limit))
    }

    fn list(&self, query: IndexQuery) -> Answer<'_, Vec<IndexRow>> {
        self.look(self.memory.list(query))
    }

    fn funds(&self, shard: Shard, account: Vec<u8>) -> Answer<'_, i64> {
        self.look(self.memory.funds(shard, account))
    }

    fn blob(&self, tenant: &Tenant, session: SessionId, digest: Digest) -> Answer<'_, Option<Arc<[u8]>>> {
        self.look(self.memory.blob(tenant, session, digest))
    }

    fn sweep(&self, shard: Shard, now: Timestamp) -> Answer<'_, ()> {
        self.memory.sweep(shard, now)
    }

    /// The next process opens it again.
    fn close(&self) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
