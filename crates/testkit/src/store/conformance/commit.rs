//! Batches and leases.

use mainstay_store::{
    Error, Store,
    seam::{Committed, Entry, Lease, Move, WakeupChange},
};
use mainstay_vocabulary::{Epoch, OpId, Sequence, SessionId, Shard, Tenant};

use super::lease;
use crate::store::{
    sample::{SHARD, batch, earlier, session, slice, tenant},
    wait::wait,
};

pub(super) fn grows(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    assert_eq!(wait(store.head(id)), Ok(None));
    assert_eq!(wait(store.read(&tenant(), id, Sequence(0), 10)), Ok(Vec::new()));
    assert_eq!(wait(store.commit(lease, batch(id, 0, &["a", "b"]))), Ok(Committed { sequence: Sequence(2) }));
    let mut more = batch(id, 2, &["c"]);
    (more.open, more.chain) = (true, [9; 32]);
    assert_eq!(wait(store.commit(lease, more)), Ok(Committed { sequence: Sequence(3) }));
    let head = wait(store.head(id)).unwrap().unwrap();
    assert_eq!((head.sequence, head.chain, head.open, head.erased), (Sequence(3), [9; 32], true, false));
    assert_eq!((&*head.tenant.0, head.snapshot), ("acme", None));
    let entry = |sequence, text: &str| Entry { sequence: Sequence(sequence), bytes: text.as_bytes().into() };
    assert_eq!(
        wait(store.read(&tenant(), id, Sequence(0), 10)).unwrap(),
        [entry(1, "a"), entry(2, "b"), entry(3, "c")]
    );
    assert_eq!(wait(store.read(&tenant(), id, Sequence(1), 1)).unwrap(), [entry(2, "b")]);
    assert_eq!(wait(store.read(&tenant(), id, Sequence(3), 10)).unwrap(), []);
    assert_eq!(wait(store.read(&tenant(), id, Sequence(u64::MAX), 10)).unwrap(), []);
}

pub(super) fn conflict(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    assert_eq!(wait(store.commit(lease, batch(id, 4, &["a"]))), Err(Error::Conflict { head: Sequence(0) }));
    assert_eq!(wait(store.head(id)), Ok(None));
    wait(store.commit(lease, batch(id, 0, &["a", "b"]))).unwrap();
    for expected in [0, 1, 3] {
        let answer = wait(store.commit(lease, batch(id, expected, &["x"])));
        assert_eq!(answer, Err(Error::Conflict { head: Sequence(2) }));
    }
    assert_eq!(wait(store.read(&tenant(), id, Sequence(0), 10)).unwrap().len(), 2);
}

pub(super) fn fenced(store: &dyn Store) {
    let old = lease(store);
    let id = session(1);
    let before = store.commit(old, batch(id, 0, &["a"]));
    let taking = store.acquire(SHARD, [2; 16]);
    let after = store.commit(old, batch(id, 1, &["b"]));
    assert!(wait(before).is_ok(), "called before the shard was taken anew");
    let new = wait(taking).unwrap();
    assert!(new.epoch > old.epoch);
    assert_eq!(wait(after), Err(Error::Fenced));
    assert_eq!(wait(store.append_frames(old, slice(id, 0, 1))), Err(Error::Fenced));
    assert_eq!(wait(store.commit(earlier(new), batch(id, 1, &["b"]))), Err(Error::Fenced));
    assert!(wait(store.commit(new, batch(id, 1, &["b"]))).is_ok());
}

pub(super) fn not_given(store: &dyn Store) {
    let id = session(1);
    let guess = Lease { shard: SHARD, epoch: Epoch(1) };
    assert_eq!(wait(store.commit(guess, batch(id, 0, &["a"]))), Err(Error::Fenced));
    let lease = lease(store);
    let next = Lease { epoch: Epoch(lease.epoch.0 + 1), ..lease };
    assert_eq!(wait(store.commit(next, batch(id, 0, &["a"]))), Err(Error::Fenced));
}

pub(super) fn in_order(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    let mut answers = Vec::new();
    for expected in 0..300 {
        answers.push(store.commit(lease, batch(id, expected, &["x"])));
    }
    // Polled in the wrong order: it is the call that counts.
    for (index, answer) in answers.into_iter().enumerate().rev() {
        assert_eq!(wait(answer), Ok(Committed { sequence: Sequence(index as u64 + 1) }));
    }
}

pub(super) fn outcome(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    let first = batch(id, 0, &["a", "b"]);
    let ask = |expected: u64, op: OpId| wait(store.outcome(id, Sequence(expected), op)).unwrap();
    assert!(!ask(0, first.op));
    wait(store.commit(lease, first.clone())).unwrap();
    let quiet = batch(id, 2, &[]);
    wait(store.commit(lease, quiet.clone())).unwrap();
    let mut second_quiet = batch(id, 2, &[]);
    second_quiet.op = OpId([7; 16]);
    wait(store.commit(lease, second_quiet.clone())).unwrap();
    let last = batch(id, 2, &["c"]);
    wait(store.commit(lease, last.clone())).unwrap();
    for applied in [&first, &quiet, &second_quiet, &last] {
        assert!(ask(applied.expected.0, applied.op));
        assert!(!ask(applied.expected.0 + 1, applied.op));
    }
    assert!(!ask(0, last.op) && !ask(2, first.op) && !ask(2, OpId([8; 16])) && !ask(u64::MAX, first.op));
    assert_eq!(wait(store.outcome(session(2), Sequence(0), first.op)), Ok(false));
}

pub(super) fn quiet_once(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    wait(store.commit(lease, batch(id, 0, &["a"]))).unwrap();
    let mut quiet = batch(id, 1, &[]);
    quiet.moves.push(Move { account: b"purse".to_vec(), amount: 5 });
    let both = [store.commit(lease, quiet.clone()), store.commit(lease, quiet.clone())];
    for answer in both {
        assert_eq!(wait(answer), Ok(Committed { sequence: Sequence(1) }));
    }
    wait(store.commit(lease, batch(id, 1, &["b"]))).unwrap();
    assert_eq!(wait(store.commit(lease, quiet)), Ok(Committed { sequence: Sequence(1) }));
    assert_eq!(wait(store.funds(SHARD, b"purse".to_vec())), Ok(5));
}

pub(super) fn malformed(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    wait(store.commit(lease, batch(id, 0, &["a"]))).unwrap();
    let mut bad = vec![batch(session(2), 0, &[]), batch(SessionId::new(Shard(4), [1; 16]), 0, &["a"])];
    let mut long = batch(id, 1, &["b"]);
    long.wakeups.push(WakeupChange { key: "k".repeat(65), at: None });
    bad.push(long);
    let mut long = batch(id, 1, &["b"]);
    long.moves.push(Move { account: vec![0; 65], amount: 0 });
    bad.push(long);
    for batch in bad {
        assert!(matches!(wait(store.commit(lease, batch)), Err(Error::Malformed(_))));
    }
    for slice in [slice(session(2), 0, 1), slice(id, 2, 1), slice(SessionId::new(Shard(4), [1; 16]), 0, 1)] {
        assert!(matches!(wait(store.append_frames(lease, slice)), Err(Error::Malformed(_))));
    }
    assert_eq!(wait(store.head(id)).unwrap().unwrap().sequence, Sequence(1));
    assert_eq!(wait(store.frames(&tenant(), id)), Ok(Vec::new()));
}

pub(super) fn stays(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    wait(store.commit(lease, batch(id, 0, &["a"]))).unwrap();
    let mut other = batch(id, 1, &["b"]);
    other.tenant = Tenant("other".into());
    assert!(matches!(wait(store.commit(lease, other)), Err(Error::Malformed(_))));
    assert_eq!(wait(store.read(&tenant(), id, Sequence(0), 10)).unwrap().len(), 1);
}

pub(super) fn shards(store: &dyn Store) {
    let here = lease(store);
    let there = wait(store.acquire(Shard(4), [1; 16])).unwrap();
    let id = SessionId::new(Shard(4), [1; 16]);
    let mut first = batch(id, 0, &["a"]);
    first.open = true;
    first.moves.push(Move { account: b"purse".to_vec(), amount: 5 });
    let answers = [store.commit(here, batch(session(1), 0, &["a"])), store.commit(there, first)];
    for answer in answers {
        wait(answer).unwrap();
    }
    assert_eq!(wait(store.open_sessions(vec![SHARD], None, 10)), Ok(Vec::new()));
    assert_eq!(wait(store.open_sessions(vec![Shard(4)], Some(session(1)), 10)), Ok(vec![id]));
    assert_eq!(wait(store.funds(SHARD, b"purse".to_vec())), Ok(0));
    wait(store.acquire(SHARD, [2; 16])).unwrap();
    assert!(wait(store.commit(there, batch(id, 1, &["b"]))).is_ok(), "its own shard was not taken");
}
