//! Content kept beside the events.

use mainstay_store::{
    Store,
    seam::{Batch, Blob},
};

use super::lease;
use crate::store::{
    sample::{batch, session, tenant},
    wait::wait,
};

/// Sizes on both sides of the line between rows and files of any backend.
const SIZES: [usize; 5] = [0, 9_000, 256 << 10, (256 << 10) + 1, 3 << 20];

pub(super) fn with_blob(mut batch: Batch, name: u8, bytes: &[u8]) -> Batch {
    batch.blobs.push(Blob { digest: [name; 32], bytes: bytes.into() });
    batch
}

pub(super) fn kept(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    let content = |size: usize| -> Vec<u8> { (0..size).map(|at| (at / 7) as u8).collect() };
    let mut all = batch(id, 0, &["x"]);
    for (name, size) in SIZES.into_iter().enumerate() {
        all = with_blob(all, name as u8, &content(size));
    }
    wait(store.commit(lease, all)).unwrap();
    for (name, size) in SIZES.into_iter().enumerate() {
        let found = wait(store.blob(&tenant(), id, [name as u8; 32])).unwrap().unwrap();
        assert!(*found == content(size)[..], "{size} bytes");
    }
    assert_eq!(wait(store.blob(&tenant(), id, [99; 32])), Ok(None));
    assert_eq!(wait(store.blob(&tenant(), session(2), [0; 32])), Ok(None), "a blob belongs to its session");
}

pub(super) fn first_stays(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    for size in [10, 300_000] {
        let (first, second) = (vec![1; size], vec![2; size]);
        let name = (size % 251) as u8;
        let at = wait(store.head(id)).unwrap().map_or(0, |head| head.sequence.0);
        wait(store.commit(lease, with_blob(batch(id, at, &["x"]), name, &first))).unwrap();
        wait(store.commit(lease, with_blob(batch(id, at + 1, &["x"]), name, &second))).unwrap();
        assert!(*wait(store.blob(&tenant(), id, [name; 32])).unwrap().unwrap() == first[..]);
        let refused = with_blob(batch(id, 0, &["x"]), name + 1, &first);
        assert!(wait(store.commit(lease, refused)).is_err());
        assert_eq!(wait(store.blob(&tenant(), id, [name + 1; 32])), Ok(None));
    }
}
