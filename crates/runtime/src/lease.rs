//! The leases on shards: which epoch a write names and until when, how a shard is taken, kept, taken anew after an
//! unknown commit, given back and lost. Knows nothing of sessions; `membership` decides which shards are wanted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mainstay_store::{
    Error as StoreError, Store,
    seam::{Incarnation, Lease},
};
use mainstay_vocabulary::{Epoch, Shard};
use tokio::sync::{Mutex, Notify, futures::Notified};

use crate::{clock::Clock, error::Error};

/// What a lease must still have to be relied on, as a part of its length: the time that may pass between a look at it
/// and a request that leaves the machine, and how much faster the store's clock may run.
const MARGIN: u32 = 5;

/// The leases of this process.
pub(crate) struct Leases {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    incarnation: Incarnation,
    /// How long a lease may be relied on; `None`: until another takes it.
    runs: Option<Duration>,
    held: RwLock<BTreeMap<Shard, Held>>,
    /// One for each shard: who takes it anew.
    retaking: Box<[Mutex<()>]>,
    /// Wakes its waiters in the order in which they wait, which a simulation can repeat.
    changed: Notify,
    working: Counts,
}

/// Work under way, by shard.
#[derive(Clone)]
struct Counts(Arc<[AtomicUsize]>);

impl Counts {
    fn begin(&self, shard: Shard) -> Working {
        if let Some(count) = self.0.get(usize::from(shard.0)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Working { counts: self.clone(), shard }
    }

    fn count(&self, shard: Shard) -> usize {
        self.0.get(usize::from(shard.0)).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// One piece of work under way in a shard.
pub(crate) struct Working {
    counts: Counts,
    shard: Shard,
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(count) = self.counts.0.get(usize::from(self.shard.0)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[derive(Clone, Copy)]
struct Held {
    lease: Lease,
    /// By the machine's uptime.
    until: Option<Duration>,
    is_leaving: bool,
}

impl Leases {
    /// Holds nothing yet.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, incarnation: Incarnation) -> Self {
        let runs = store.lease_ms().map(|ms| Duration::from_millis(ms) - Duration::from_millis(ms) / MARGIN);
        let retaking = (0..store.shards()).map(|_| Mutex::default()).collect();
        let working = Counts((0..store.shards()).map(|_| AtomicUsize::default()).collect());
        let changed = Notify::new();
        Self { store, clock, incarnation, runs, held: RwLock::default(), retaking, changed, working }
    }

    /// Which life of this process it is.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether the store is this process's alone, for as long as it runs.
    pub(crate) fn is_sole(&self) -> bool {
        self.runs.is_none()
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> u16 {
        self.store.shards()
    }

    /// Waits until a shard is to leave, or is gone.
    pub(crate) fn change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// The lease to write under; `None` where there is none, or none that may be relied on.
    pub(crate) fn current(&self, shard: Shard) -> Option<Lease> {
        let held = self.read().get(&shard).copied()?;
        held.until.is_none_or(|until| self.clock.uptime() < until).then_some(held.lease)
    }

    /// Its epoch.
    ///
    /// # Errors
    /// `Elsewhere`.
    pub(crate) fn epoch(&self, shard: Shard) -> Result<Epoch, Error> {
        self.current(shard).map(|lease| lease.epoch).ok_or(Error::Elsewhere)
    }

    /// Whether something may be sent out that was intended under this epoch.
    pub(crate) fn permits(&self, shard: Shard, epoch: Epoch) -> bool {
        self.current(shard).is_some_and(|lease| lease.epoch == epoch)
    }

    /// Whether the shard is this node's, for as long as its lease runs.
    pub(crate) fn is_held(&self, shard: Shard) -> bool {
        self.read().contains_key(&shard)
    }

    /// Counts work under way in a shard, until the answer is dropped.
    pub(crate) fn begin_work(&self, shard: Shard) -> Working {
        self.working.begin(shard)
    }

    /// Whether work is under way in a shard.
    pub(crate) fn is_working(&self, shard: Shard) -> bool {
        self.working.count(shard) > 0
    }

    /// Whether new work may begin in the shard.
    pub(crate) fn is_serving(&self, shard: Shard) -> bool {
        self.read().get(&shard).is_some_and(|held| !held.is_leaving)
    }

    /// The shards that are held.
    pub(crate) fn held(&self) -> Vec<Shard> {
        self.read().keys().copied().collect()
    }

    /// Those of them in which new work may begin.
    pub(crate) fn serving(&self) -> Vec<Shard> {
        self.read().iter().filter(|(_, held)| !held.is_leaving).map(|(shard, _)| *shard).collect()
    }

    /// The lease to write under, once nobody takes the shard anew: a write that is fenced by this process's own taking
    /// may hear of it before the new lease is noted here.
    pub(crate) async fn settled(&self, shard: Shard) -> Option<Lease> {
        let _one = self.retaking(shard)?.lock().await;
        self.current(shard)
    }

    /// Takes a shard. `false`: another holds it.
    pub(crate) async fn take(&self, shard: Shard) -> Result<bool, Error> {
        let Some(turn) = self.retaking(shard) else { return Ok(false) };
        let _one = turn.lock().await;
        Ok(self.acquire(shard).await?.is_some())
    }

    /// Takes a shard anew unless somebody here did since `seen`. `None`: another process has taken it.
    pub(crate) async fn retake(&self, shard: Shard, seen: Epoch) -> Result<Option<Lease>, Error> {
        let Some(turn) = self.retaking(shard) else { return Ok(None) };
        let _one = turn.lock().await;
        match self.current(shard) {
            Some(lease) if lease.epoch != seen => Ok(Some(lease)),
            _ => self.acquire(shard).await,
        }
    }

    async fn acquire(&self, shard: Shard) -> Result<Option<Lease>, Error> {
        let asked = self.clock.uptime();
        match self.store.acquire(shard, self.incarnation).await {
            Ok(lease) => {
                let mut held = self.write();
                let is_leaving = held.get(&shard).is_some_and(|held| held.is_leaving);
                held.insert(shard, Held { lease, until: self.until(asked), is_leaving });
                drop(held);
                Ok(Some(lease))
            }
            Err(StoreError::Held) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Renews all leases. Answers the shards that are lost, which are held no more.
    pub(crate) async fn keep(&self) -> Result<Vec<Shard>, Error> {
        let leases: Vec<Lease> = self.read().values().map(|held| held.lease).collect();
        let asked = self.clock.uptime();
        let kept = self.store.renew(leases.clone()).await?;
        let mut held = self.write();
        let mut lost = Vec::new();
        for lease in leases {
            // A later lease was taken meanwhile, or the shard was given back.
            let Some(now) = held.get_mut(&lease.shard).filter(|now| now.lease == lease) else { continue };
            if kept.contains(&lease) {
                now.until = self.until(asked);
            } else {
                held.remove(&lease.shard);
                lost.push(lease.shard);
            }
        }
        drop(held);
        if !lost.is_empty() {
            self.changed.notify_waiters();
        }
        Ok(lost)
    }

    /// Shards whose lease ran out because it could not be renewed.
    pub(crate) fn run_out(&self) -> Vec<Shard> {
        let now = self.clock.uptime();
        let held = self.read();
        held.iter().filter(|(_, held)| held.until.is_some_and(|until| until <= now)).map(|(shard, _)| *shard).collect()
    }

    /// Lets no new work begin in a shard.
    pub(crate) fn leave(&self, shard: Shard) {
        if let Some(held) = self.write().get_mut(&shard) {
            held.is_leaving = true;
        }
        self.changed.notify_waiters();
    }

    /// Holds a shard no more.
    pub(crate) fn forget(&self, shard: Shard) -> Option<Lease> {
        let held = self.write().remove(&shard);
        self.changed.notify_waiters();
        held.map(|held| held.lease)
    }

    fn until(&self, asked: Duration) -> Option<Duration> {
        self.runs.map(|runs| asked + runs)
    }

    fn retaking(&self, shard: Shard) -> Option<&Mutex<()>> {
        self.retaking.get(usize::from(shard.0))
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Shard, Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Shard, Held>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}
