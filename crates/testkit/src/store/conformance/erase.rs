//! Erasure.

use mainstay_store::{
    Error, Store,
    seam::{Batch, IndexChange, Move, WakeupChange},
};
use mainstay_vocabulary::{Sequence, SessionId, Timestamp};

use super::{blob::with_blob, lease};
use crate::store::{
    sample::{SHARD, batch, query, session, slice, tenant},
    wait::wait,
};

fn full(id: SessionId, expected: u64) -> Batch {
    let mut batch = with_blob(with_blob(batch(id, expected, &["a", "b"]), 1, b"small"), 2, &vec![5; 300_000]);
    batch.open = true;
    batch.snapshot = Some(b"state"[..].into());
    batch.wakeups.push(WakeupChange { key: "soon".to_owned(), at: Some(Timestamp(5)) });
    batch.index.push(IndexChange { kind: "k", key: id.as_bytes().to_vec(), value: Some(b"row".to_vec()) });
    batch.moves.push(Move { account: b"purse".to_vec(), amount: 5 });
    batch
}

pub(super) fn tombstone(store: &dyn Store) {
    let lease = lease(store);
    let (gone, stays) = (session(1), session(2));
    for id in [gone, stays] {
        wait(store.commit(lease, full(id, 0))).unwrap();
        wait(store.append_frames(lease, slice(id, 0, 3))).unwrap();
    }
    let mut erase = batch(gone, 2, &["erased"]);
    (erase.erase, erase.chain) = (true, [4; 32]);
    wait(store.commit(lease, erase.clone())).unwrap();

    let head = wait(store.head(gone)).unwrap().unwrap();
    assert_eq!((&*head.tenant.0, head.sequence, head.chain), ("acme", Sequence(3), [4; 32]));
    assert_eq!((head.open, head.erased, head.snapshot), (false, true, None));
    let events = wait(store.read(&tenant(), gone, Sequence(0), 10)).unwrap();
    assert_eq!(
        events.iter().map(|entry| (entry.sequence, &*entry.bytes)).collect::<Vec<_>>(),
        [(Sequence(3), &b"erased"[..])]
    );
    assert_eq!(wait(store.frames(&tenant(), gone)), Ok(Vec::new()));
    assert_eq!(wait(store.blob(&tenant(), gone, [1; 32])), Ok(None));
    assert_eq!(wait(store.blob(&tenant(), gone, [2; 32])), Ok(None));
    assert_eq!(wait(store.open_sessions(vec![SHARD], None, 10)), Ok(vec![stays]));
    assert!(wait(store.due(vec![SHARD], Timestamp(9), 10)).unwrap().iter().all(|wakeup| wakeup.session == stays));
    assert!(wait(store.list(query("k"))).unwrap().iter().all(|row| row.session == stays));
    assert_eq!(wait(store.outcome(gone, Sequence(2), erase.op)), Ok(true));
    assert_eq!(wait(store.funds(SHARD, b"purse".to_vec())), Ok(10), "money is not content");

    assert_eq!(wait(store.read(&tenant(), stays, Sequence(0), 10)).unwrap().len(), 2);
    assert_eq!(wait(store.frames(&tenant(), stays)).unwrap().len(), 1);
    assert!(wait(store.blob(&tenant(), stays, [2; 32])).unwrap().is_some());
    assert_eq!(wait(store.due(vec![SHARD], Timestamp(9), 10)).unwrap().len(), 1);
    assert_eq!(wait(store.list(query("k"))).unwrap().len(), 1);
}

pub(super) fn afterwards(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    wait(store.commit(lease, full(id, 0))).unwrap();
    let mut erase = full(id, 2);
    erase.erase = true;
    let answers = [store.commit(lease, erase), store.commit(lease, with_blob(batch(id, 4, &["later"]), 3, b"new"))];
    for answer in answers {
        wait(answer).unwrap();
    }
    let head = wait(store.head(id)).unwrap().unwrap();
    assert!(head.erased && head.snapshot.is_some(), "what the erasing batch carries is kept");
    assert_eq!(wait(store.list(query("k"))).unwrap().len(), 1);
    assert_eq!(wait(store.due(vec![SHARD], Timestamp(9), 10)).unwrap().len(), 1);
    assert!(wait(store.blob(&tenant(), id, [2; 32])).unwrap().is_some());
    assert!(wait(store.blob(&tenant(), id, [3; 32])).unwrap().is_some());
    let sequences: Vec<_> =
        wait(store.read(&tenant(), id, Sequence(0), 10)).unwrap().iter().map(|entry| entry.sequence.0).collect();
    assert_eq!(sequences, [3, 4, 5]);
    let late = wait(store.append_frames(lease, slice(id, 50, 60)));
    assert!(matches!(late, Err(Error::Malformed(_))), "a late stream brings nothing back");
}
