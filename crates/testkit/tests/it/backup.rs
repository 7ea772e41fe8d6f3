//! Backups of the embedded store.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use mainstay_store::{
    Error, Store,
    seam::{Blob, Lease},
    sqlite::{self, Others},
    whole::Seen,
};
use mainstay_testkit::store::{
    differential::Snapshot,
    sample::{SHARD, batch, session},
    wait::wait,
};

use crate::scratch::Scratch;

fn quiet() -> Seen {
    Arc::new(|_, _| {})
}

fn write(store: &dyn Store, lease: Lease, rounds: std::ops::Range<u64>) {
    for round in rounds {
        for number in 0..4 {
            let mut batch = batch(session(number), round * 2, &["some", "events"]);
            batch.blobs.push(Blob { digest: [round as u8; 32], bytes: vec![number; 300_000].into() });
            wait(store.commit(lease, batch)).unwrap();
        }
    }
}

fn backup(scratch: &Scratch, into: &Path) -> Result<(), Error> {
    wait(sqlite::look(scratch.path().to_owned(), Others::Allowed).unwrap().backup(into.to_owned(), quiet()))
}

fn place(scratch: &Scratch) -> PathBuf {
    scratch.path().with_extension("backup")
}

#[test]
fn a_backup_of_a_store_that_is_served_is_restored_as_it_was() {
    let (scratch, target) = (Scratch::new(), Scratch::new());
    let store = scratch.open();
    let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
    write(&*store, lease, 0..3);
    let mut erase = batch(session(3), 6, &["erased"]);
    erase.erase = true;
    wait(store.commit(lease, erase)).unwrap();
    let then = Snapshot::take(&*store);
    let into = place(&scratch);
    backup(&scratch, &into).unwrap();
    let found = sqlite::read_backup(&into).unwrap();
    assert_eq!((found.sessions, found.files), (4, 10), "{found:?}");
    // What the store goes on with is not in it.
    wait(store.commit(lease, batch(session(0), 6, &["later"]))).unwrap();
    let again = backup(&scratch, &into);
    assert!(matches!(again, Err(Error::Unsupported(_))), "{again:?}");
    let restored = sqlite::restore(&into, target.path().to_owned(), &quiet()).unwrap();
    assert_eq!(restored, found);
    assert!(Snapshot::take(&*target.open()) == then);
    let again = sqlite::restore(&into, target.path().to_owned(), &quiet());
    assert!(matches!(again, Err(Error::Unsupported(_))), "a store is not written over: {again:?}");
    fs::remove_dir_all(into).unwrap();
}

#[test]
fn a_backup_that_was_changed_or_is_not_whole_is_refused_before_anything_is_written() {
    let (scratch, target) = (Scratch::new(), Scratch::new());
    let store = scratch.open();
    write(&*store, wait(store.acquire(SHARD, [1; 16])).unwrap(), 0..1);
    let into = place(&scratch);
    backup(&scratch, &into).unwrap();
    let blob = fs::read_dir(into.join("blobs")).unwrap().next().unwrap().unwrap().path();
    for file in [into.join("mainstay.db"), blob, into.join("SHA256SUMS"), into.join("BACKUP")] {
        let whole = fs::read(&file).unwrap();
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        *changed.first_mut().unwrap() ^= 1;
        fs::write(&file, changed).unwrap();
        let refused = sqlite::restore(&into, target.path().to_owned(), &quiet());
        assert!(matches!(refused, Err(Error::Corrupt(_) | Error::Unsupported(_))), "{}: {refused:?}", file.display());
        assert!(!target.path().exists());
        fs::write(&file, whole).unwrap();
    }
    fs::remove_file(into.join("BACKUP")).unwrap();
    assert!(sqlite::restore(&into, target.path().to_owned(), &quiet()).is_err());
    fs::remove_dir_all(into).unwrap();
}

#[test]
fn a_backup_while_sessions_are_erased_is_of_one_moment() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
    write(&*store, lease, 0..4);
    for number in 0..4 {
        let mut erase = batch(session(number), 8, &["erased"]);
        erase.erase = true;
        let erasing = store.commit(lease, erase);
        let into = place(&scratch);
        backup(&scratch, &into).unwrap();
        wait(erasing).unwrap();
        let target = Scratch::new();
        sqlite::restore(&into, target.path().to_owned(), &quiet()).unwrap();
        let restored = sqlite::look(target.path().to_owned(), Others::Refused).unwrap();
        assert_eq!(wait(restored.examine()).unwrap(), [""; 0]);
        for number in 0..4 {
            // Every blob that a row names has its file.
            assert!(wait(restored.pieces(session(number), None)).is_ok());
        }
        fs::remove_dir_all(into).unwrap();
    }
}
