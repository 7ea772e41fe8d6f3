//! What a batch carries beside its events.

use mainstay_store::{
    Error, Store,
    seam::{Batch, Blob, Digest, Idempotency, Move, Remembered},
};
use mainstay_vocabulary::{Sequence, Tenant, Timestamp};

use super::lease;
use crate::store::{
    sample::{SHARD, batch, session, slice, tenant},
    wait::wait,
};

fn keyed(mut batch: Batch, scope: Digest, request: u8) -> Batch {
    batch.idempotency = Some(Idempotency { scope, request: [request; 32], expires: Timestamp(1_000) });
    batch
}

fn moving(mut batch: Batch, moves: &[(&str, i64)]) -> Batch {
    let change = |(account, amount): &(&str, i64)| Move { account: account.as_bytes().to_vec(), amount: *amount };
    batch.moves = moves.iter().map(change).collect();
    batch
}

pub(super) fn idempotency(store: &dyn Store) {
    let lease = lease(store);
    let (one, two) = (session(1), session(2));
    let taken = Remembered { session: one, sequence: Sequence(1), request: [5; 32] };
    assert_eq!(wait(store.remembered(SHARD, [1; 32])), Ok(None));
    wait(store.commit(lease, keyed(batch(one, 0, &["a", "b"]), [1; 32], 5))).unwrap();
    assert_eq!(wait(store.remembered(SHARD, [1; 32])), Ok(Some(taken.clone())));
    let duplicate = Err(Error::Duplicate(taken));
    assert_eq!(wait(store.commit(lease, keyed(batch(two, 0, &["a"]), [1; 32], 6))), duplicate);
    let retried = keyed(batch(one, 0, &["a", "b"]), [1; 32], 5);
    assert_eq!(wait(store.commit(lease, retried)), duplicate, "it says more than a conflict");
    assert_eq!(wait(store.head(two)), Ok(None));
    wait(store.commit(lease, keyed(batch(one, 2, &["c"]), [2; 32], 5))).unwrap();
    assert_eq!(wait(store.remembered(SHARD, [2; 32])).unwrap().unwrap().sequence, Sequence(3));
}

pub(super) fn idempotency_together(store: &dyn Store) {
    let lease = lease(store);
    let mut answers: Vec<_> =
        (1..=20).map(|n| store.commit(lease, keyed(batch(session(n), 0, &["a"]), [1; 32], n))).collect();
    assert!(wait(answers.remove(0)).is_ok());
    let taken = Remembered { session: session(1), sequence: Sequence(1), request: [1; 32] };
    for answer in answers {
        assert_eq!(wait(answer), Err(Error::Duplicate(taken.clone())));
    }
}

pub(super) fn expiry(store: &dyn Store) {
    let lease = lease(store);
    wait(store.commit(lease, keyed(batch(session(1), 0, &["a"]), [1; 32], 5))).unwrap();
    wait(store.sweep(SHARD, Timestamp(1_000))).unwrap();
    assert!(wait(store.remembered(SHARD, [1; 32])).unwrap().is_some(), "kept until then");
    wait(store.sweep(SHARD, Timestamp(1_001))).unwrap();
    assert_eq!(wait(store.remembered(SHARD, [1; 32])), Ok(None));
    assert!(wait(store.commit(lease, keyed(batch(session(2), 0, &["a"]), [1; 32], 6))).is_ok());
}

pub(super) fn funds(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    let funds = |account: &str| wait(store.funds(SHARD, account.as_bytes().to_vec())).unwrap();
    assert_eq!(funds("a"), 0);
    wait(store.commit(lease, moving(batch(id, 0, &["x"]), &[("a", 10), ("b", 1)]))).unwrap();
    let refused = [&[("a", -11)][..], &[("b", 5), ("a", -20)], &[("a", -11), ("a", 11)], &[("c", -1)]];
    for moves in refused {
        assert_eq!(wait(store.commit(lease, moving(batch(id, 1, &["x"]), moves))), Err(Error::Funds));
    }
    let overflow = moving(batch(id, 1, &["x"]), &[("a", i64::MAX)]);
    assert!(matches!(wait(store.commit(lease, overflow)), Err(Error::Malformed(_))));
    wait(store.commit(lease, moving(batch(id, 1, &["x"]), &[("a", -4), ("a", -6), ("b", 2)]))).unwrap();
    assert_eq!((funds("a"), funds("b"), funds("c")), (0, 3, 0));
}

pub(super) fn neighbours(store: &dyn Store) {
    let lease = lease(store);
    wait(store.commit(lease, moving(batch(session(0), 0, &["x"]), &[("a", 50)]))).unwrap();
    let mut answers = Vec::new();
    for number in 1..=100 {
        let good = moving(batch(session(number), 0, &["good"]), &[("a", -1)]);
        let stale = batch(session(number), 9, &["stale"]);
        answers.push((store.commit(lease, good), store.commit(lease, stale)));
    }
    for (index, (good, stale)) in answers.into_iter().enumerate() {
        let poor = index >= 50;
        let head = Sequence(u64::from(!poor));
        assert_eq!(wait(good).map(|committed| committed.sequence), if poor { Err(Error::Funds) } else { Ok(head) });
        assert_eq!(wait(stale), Err(Error::Conflict { head }));
    }
    assert_eq!(wait(store.funds(SHARD, b"a".to_vec())), Ok(0));
}

pub(super) fn snapshot(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    let write = |expected, bytes: Option<&[u8]>| {
        let mut batch = batch(id, expected, &["x"]);
        batch.snapshot = bytes.map(Into::into);
        wait(store.commit(lease, batch)).unwrap();
        wait(store.head(id)).unwrap().unwrap().snapshot
    };
    assert_eq!(write(0, Some(b"one")).as_deref(), Some(&b"one"[..]));
    assert_eq!(write(1, None).as_deref(), Some(&b"one"[..]));
    let large = vec![7; 100_000];
    assert_eq!(write(2, Some(&large)).as_deref(), Some(&large[..]));
    assert_eq!(write(3, Some(b"")).as_deref(), Some(&b""[..]));
}

pub(super) fn frames(store: &dyn Store) {
    let lease = lease(store);
    let (one, two) = (session(1), session(2));
    for id in [one, two] {
        wait(store.commit(lease, batch(id, 0, &["x"]))).unwrap();
    }
    assert_eq!(wait(store.frames(&tenant(), one)), Ok(Vec::new()));
    let slices = [slice(one, 0, 0), slice(one, 1, 4), slice(one, 7, 9)];
    let mut answers: Vec<_> = slices.iter().map(|slice| store.append_frames(lease, slice.clone())).collect();
    answers.push(store.append_frames(lease, slice(two, 100, 200)));
    answers.into_iter().for_each(|answer| wait(answer).unwrap());
    assert_eq!(wait(store.frames(&tenant(), one)).unwrap(), slices);
    let drop_below = |expected, ordinal| {
        let mut batch = batch(one, expected, &["x"]);
        batch.drop_frames_below = ordinal;
        wait(store.commit(lease, batch)).unwrap();
        wait(store.frames(&tenant(), one)).unwrap()
    };
    assert_eq!(drop_below(1, 4), slices[1..], "a slice goes when all of it is below");
    assert_eq!(drop_below(2, 5), slices[2..]);
    assert_eq!(drop_below(3, 0), slices[2..], "what was dropped stays so, what is held stays too");
    assert_eq!(drop_below(4, u64::MAX), []);
    wait(store.append_frames(lease, slice(one, 10, 11))).unwrap();
    assert_eq!(
        wait(store.frames(&tenant(), one)).unwrap(),
        [slice(one, 10, 11)],
        "a floor does not reach what comes later"
    );
    assert_eq!(wait(store.frames(&tenant(), two)).unwrap(), [slice(two, 100, 200)]);
}

pub(super) fn ordinals(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    wait(store.commit(lease, batch(id, 0, &["x"]))).unwrap();
    let good = [store.append_frames(lease, slice(id, 5, 8)), store.append_frames(lease, slice(id, 9, 9))];
    let bad = [store.append_frames(lease, slice(id, 9, 12)), store.append_frames(lease, slice(id, 0, 1))];
    good.into_iter().for_each(|answer| wait(answer).unwrap());
    for answer in bad {
        assert!(matches!(wait(answer), Err(Error::Malformed(_))));
    }
    let mut dropping = batch(id, 1, &["x"]);
    dropping.drop_frames_below = 10;
    wait(store.commit(lease, dropping)).unwrap();
    let again = wait(store.append_frames(lease, slice(id, 9, 9)));
    assert!(matches!(again, Err(Error::Malformed(_))), "an ordinal is used once, also when it was dropped");
    wait(store.append_frames(lease, slice(id, 10, 10))).unwrap();
}

/// Rows of lists have their own check.
pub(super) fn walls(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    let mut first = batch(id, 0, &["a"]);
    first.blobs.push(Blob { digest: [1; 32], bytes: b"small"[..].into() });
    first.blobs.push(Blob { digest: [2; 32], bytes: vec![7; 300_000].into() });
    wait(store.commit(lease, first)).unwrap();
    wait(store.append_frames(lease, slice(id, 0, 3))).unwrap();
    for other in ["other", "acm", "", "acme ", "ACME"].map(|name| Tenant(name.into())) {
        assert_eq!(wait(store.read(&other, id, Sequence(0), 9)), Ok(Vec::new()));
        assert_eq!(wait(store.frames(&other, id)), Ok(Vec::new()));
        assert_eq!(wait(store.blob(&other, id, [1; 32])), Ok(None));
        assert_eq!(wait(store.blob(&other, id, [2; 32])), Ok(None));
    }
    assert_eq!(wait(store.read(&tenant(), id, Sequence(0), 9)).unwrap().len(), 1);
    assert_eq!(wait(store.frames(&tenant(), id)).unwrap().len(), 1);
    assert!(wait(store.blob(&tenant(), id, [1; 32])).unwrap().is_some());
    assert!(wait(store.blob(&tenant(), id, [2; 32])).unwrap().is_some());
}
