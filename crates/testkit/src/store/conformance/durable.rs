//! Stores that are opened again.

use mainstay_store::{
    Error, Store,
    seam::{Batch, Idempotency, IndexChange, Move, WakeupChange},
};
use mainstay_vocabulary::{Sequence, Timestamp};

use super::{Reopen, blob::with_blob, lease};
use crate::store::{
    differential::Snapshot,
    sample::{batch, session, slice, tenant},
    wait::wait,
};

fn full(number: u8) -> Batch {
    let mut batch = with_blob(with_blob(batch(session(number), 0, &["a", "b"]), 1, b"x"), 2, &vec![5; 300_000]);
    batch.open = true;
    batch.snapshot = Some(b"state"[..].into());
    batch.wakeups.push(WakeupChange { key: "soon".to_owned(), at: Some(Timestamp(5)) });
    batch.index.push(IndexChange { kind: "session", key: vec![number], value: Some(b"row".to_vec()) });
    batch.moves.push(Move { account: b"a".to_vec(), amount: 5 });
    batch.idempotency = Some(Idempotency { scope: [number; 32], request: [1; 32], expires: Timestamp(5) });
    batch
}

fn fill(store: &dyn Store) -> Snapshot {
    let lease = lease(store);
    for number in 0..4 {
        wait(store.commit(lease, full(number))).unwrap();
        wait(store.append_frames(lease, slice(session(number), 0, 3))).unwrap();
        wait(store.append_frames(lease, slice(session(number), 4, 5))).unwrap();
    }
    let mut erase = batch(session(1), 2, &["erased"]);
    erase.erase = true;
    wait(store.commit(lease, erase)).unwrap();
    let mut dropping = batch(session(2), 2, &["c"]);
    dropping.drop_frames_below = 4;
    wait(store.commit(lease, dropping)).unwrap();
    Snapshot::take(store)
}

pub(super) fn after_close(reopen: Reopen<'_>) {
    let store = reopen();
    let before = fill(&*store);
    wait(store.close()).unwrap();
    drop(store);
    let store = reopen();
    assert_eq!(Snapshot::take(&*store), before);
}

pub(super) fn after_drop(reopen: Reopen<'_>) {
    let before = fill(&*reopen());
    assert_eq!(Snapshot::take(&*reopen()), before);
}

pub(super) fn old_lease(reopen: Reopen<'_>) {
    let store = reopen();
    let old = lease(&*store);
    wait(store.commit(old, batch(session(1), 0, &["a"]))).unwrap();
    drop(store);
    assert_eq!(wait(reopen().commit(old, batch(session(1), 1, &["b"]))), Err(Error::Fenced));
}

pub(super) fn epochs(reopen: Reopen<'_>) {
    let first = lease(&*reopen());
    let second = lease(&*reopen());
    assert!(second.epoch > first.epoch);
}

pub(super) fn ordinals(reopen: Reopen<'_>) {
    let store = reopen();
    let lease = super::lease(&*store);
    let id = session(1);
    wait(store.commit(lease, batch(id, 0, &["a"]))).unwrap();
    wait(store.append_frames(lease, slice(id, 0, 7))).unwrap();
    let mut dropping = batch(id, 1, &["b"]);
    dropping.drop_frames_below = 8;
    wait(store.commit(lease, dropping)).unwrap();
    drop(store);
    let store = reopen();
    let lease = super::lease(&*store);
    let again = wait(store.append_frames(lease, slice(id, 7, 8)));
    assert!(matches!(again, Err(Error::Malformed(_))));
    wait(store.append_frames(lease, slice(id, 8, 9))).unwrap();
    assert_eq!(wait(store.frames(&tenant(), id)).unwrap(), [slice(id, 8, 9)]);
    assert_eq!(wait(store.read(&tenant(), id, Sequence(0), 9)).unwrap().len(), 2);
}
