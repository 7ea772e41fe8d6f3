//! What every store must do, one function per promise. `ALL` runs against a fresh store each; `DURABLE` also against
//! the same store opened again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that lives in a library, to run against every backend")]

mod blob;
mod commit;
mod content;
mod durable;
mod erase;
mod lists;
mod whole;

use std::sync::Arc;

use mainstay_store::{Error, Store, seam::Lease};

use super::{sample::SHARD, wait::wait};

pub use whole::{Filled, RECEIVER, ReceiverCheck, Receiving, WHOLE, WholeCheck};

/// A check against one fresh store.
pub type Check = fn(&dyn Store);

/// A store that can be opened again: the previous one must be dropped first.
pub type Reopen<'a> = &'a dyn Fn() -> Arc<dyn Store>;

/// Every check of a fresh store, by name.
pub const ALL: &[(&str, Check)] = &[
    ("a session begins, grows and is read back", commit::grows),
    ("a stale expectation is a conflict that names the head", commit::conflict),
    ("an older epoch is fenced", commit::fenced),
    ("an epoch that was never given is fenced", commit::not_given),
    ("writes are applied in the order of the calls", commit::in_order),
    ("the outcome of every batch can be asked", commit::outcome),
    ("a batch without events is applied once", commit::quiet_once),
    ("what breaks the limits is refused", commit::malformed),
    ("a session stays with its tenant", commit::stays),
    ("another tenant reads nothing of a session", content::walls),
    ("shards share nothing", commit::shards),
    ("a scope is taken once", content::idempotency),
    ("a scope is taken once among batches that wait together", content::idempotency_together),
    ("a sweep forgets what expired", content::expiry),
    ("an account is never below zero", content::funds),
    ("a refused batch leaves its neighbours alone", content::neighbours),
    ("a snapshot is replaced", content::snapshot),
    ("slices are held until they are dropped", content::frames),
    ("ordinals grow", content::ordinals),
    ("wakeups are set, moved and cleared", lists::wakeups),
    ("open sessions are listed in order", lists::open_sessions),
    ("index rows are paged in both directions", lists::index),
    ("index rows belong to their tenant and kind", lists::index_walls),
    ("reads are bounded", lists::bounded),
    ("several shards are asked at once", lists::over_shards),
    ("small and large blobs are kept", blob::kept),
    ("a blob's first content stays", blob::first_stays),
    ("erasure leaves a tombstone", erase::tombstone),
    ("an erased session can hold what came after", erase::afterwards),
    ("a closed store refuses", closed),
];

/// A check of a store that is opened again.
pub type Reopening = fn(Reopen<'_>);

/// Every check that opens a store again.
pub const DURABLE: &[(&str, Reopening)] = &[
    ("everything is there after a close", durable::after_close),
    ("everything is there after a drop", durable::after_drop),
    ("a lease does not outlive its process", durable::old_lease),
    ("epochs go on", durable::epochs),
    ("ordinals go on", durable::ordinals),
];

/// The lease of a shard that was just taken.
fn lease(store: &dyn Store) -> Lease {
    wait(store.acquire(SHARD, [1; 16])).unwrap()
}

fn closed(store: &dyn Store) {
    let lease = lease(store);
    let session = super::sample::session(1);
    let last = store.commit(lease, super::sample::batch(session, 0, &["a"]));
    let closing = store.close();
    assert!(wait(last).is_ok(), "a commit under way is finished");
    wait(closing).unwrap();
    let refused = [
        wait(store.commit(lease, super::sample::batch(session, 1, &["b"]))).map(drop),
        wait(store.head(session)).map(drop),
        wait(store.frames(&super::sample::tenant(), session)).map(drop),
        wait(store.acquire(SHARD, [2; 16])).map(drop),
        wait(store.sweep(SHARD, mainstay_vocabulary::Timestamp(0))),
        wait(store.close()),
    ];
    for answer in &refused[..5] {
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    }
}
