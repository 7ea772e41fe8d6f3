//! The lease on the shard: which epoch every write names, and how it is taken anew after an unknown commit.

use std::sync::{Arc, RwLock};

use mainstay_store::{Store, seam::Lease};
use mainstay_vocabulary::{Epoch, Shard};

use crate::error::Error;

/// The lease on one shard.
pub(crate) struct Leases {
    store: Arc<dyn Store>,
    incarnation: [u8; 16],
    current: RwLock<Lease>,
    renewing: tokio::sync::Mutex<()>,
}

impl Leases {
    /// Takes the shard; every earlier incarnation is fenced.
    pub(crate) async fn take(store: Arc<dyn Store>, shard: Shard, incarnation: [u8; 16]) -> Result<Self, Error> {
        let lease = store.acquire(shard, incarnation).await?;
        Ok(Self { store, incarnation, current: RwLock::new(lease), renewing: tokio::sync::Mutex::default() })
    }

    /// The lease to write under.
    pub(crate) fn current(&self) -> Lease {
        *self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The lease to write under, once no renewal is under way: a write that is fenced by this process's own renewal
    /// may hear of it before the new lease is noted here.
    pub(crate) async fn settled(&self) -> Lease {
        let _one = self.renewing.lock().await;
        self.current()
    }

    /// Takes the shard anew unless somebody did since `seen`.
    pub(crate) async fn renew(&self, seen: Epoch) -> Result<Lease, Error> {
        let _one = self.renewing.lock().await;
        let current = self.current();
        if current.epoch != seen {
            return Ok(current);
        }
        let lease = self.store.acquire(current.shard, self.incarnation).await?;
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = lease;
        Ok(lease)
    }
}
