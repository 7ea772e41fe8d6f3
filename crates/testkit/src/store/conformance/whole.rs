//! A store as its operator sees it: all sessions in order, everything held of each, and a copy that is the same.

use mainstay_store::{
    Error, Store,
    copy::{copy, digest},
    seam::{Blob, Idempotency, IndexChange, MAX_ROWS, Move, WakeupChange},
    whole::{Page, Piece, Place, Receiver, Record, Whole},
};
use mainstay_vocabulary::{Epoch, OpId, Sequence, SessionId, Shard, Timestamp};

use crate::store::{
    Memory,
    sample::{SHARD, batch, session, slice},
    wait::wait,
};

/// A store that `fill` wrote to, as its operator sees it.
pub type Filled<'a> = &'a dyn Fn(&dyn Fn(&dyn Store)) -> std::sync::Arc<dyn Whole>;

/// A fresh store to copy into, opened again and again on the same files.
pub type Receiving<'a> = &'a dyn Fn() -> std::sync::Arc<dyn Receiver>;

/// A check of the operator's view.
pub type WholeCheck = fn(Filled<'_>);

/// A check of the receiving end.
pub type ReceiverCheck = fn(Receiving<'_>);

/// Every check of the operator's view, by name.
pub const WHOLE: &[(&str, WholeCheck)] = &[
    ("sessions are listed in order, erased ones too", sessions),
    ("everything of a session is read in order", pieces),
    ("a page ends within its bounds", pages),
    ("records of a shard are read in order", records),
    ("the standing counts", standing),
];

/// Every check of the receiving end, by name.
pub const RECEIVER: &[(&str, ReceiverCheck)] = &[
    ("a copy is the same and can be written to", copied),
    ("a copy goes on where it was", resumed),
    ("a copy of something else is refused", refused),
];

/// One of everything in session 1, a long journal in 2, an erased one in 3, and one in another shard.
fn fill(store: &dyn Store) {
    let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
    let mut first = batch(session(1), 0, &["a", "b"]);
    first.open = true;
    first.snapshot = Some(b"state"[..].into());
    first.wakeups = vec![WakeupChange { key: String::new(), at: Some(Timestamp(5)) }];
    first.wakeups.push(WakeupChange { key: "é".to_owned(), at: Some(Timestamp(50)) });
    let row = |kind, key: &[u8]| IndexChange { kind, key: key.to_vec(), value: Some(b"v".to_vec()) };
    first.index = vec![row("k", b""), row("k", b"\0"), row("kk", b"a")];
    for (name, size) in [(1, 0), (2, 9_000), (3, 300_000), (4, 300_000)] {
        first.blobs.push(Blob { digest: [name; 32], bytes: vec![name; size].into() });
    }
    first.idempotency = Some(Idempotency { scope: [7; 32], request: [8; 32], expires: Timestamp(99) });
    first.moves = vec![Move { account: Vec::new(), amount: 3 }, Move { account: b"purse".to_vec(), amount: 5 }];
    wait(store.commit(lease, first)).unwrap();
    wait(store.commit(lease, batch(session(1), 2, &["c"]))).unwrap();
    let mut quiet = batch(session(1), 3, &[]);
    (quiet.op, quiet.open) = (OpId([9; 16]), true);
    wait(store.commit(lease, quiet)).unwrap();
    for (first, last) in [(0, 1), (2, 2), (5, 9)] {
        wait(store.append_frames(lease, slice(session(1), first, last))).unwrap();
    }
    let mut dropping = batch(session(1), 3, &["d"]);
    (dropping.drop_frames_below, dropping.open) = (2, true);
    wait(store.commit(lease, dropping)).unwrap();
    let texts = vec!["x"; MAX_ROWS];
    wait(store.commit(lease, batch(session(2), 0, &texts))).unwrap();
    wait(store.commit(lease, batch(session(2), MAX_ROWS as u64, &["y", "z"]))).unwrap();
    wait(store.commit(lease, batch(session(3), 0, &["gone", "too"]))).unwrap();
    let mut erase = batch(session(3), 2, &["erased"]);
    erase.erase = true;
    wait(store.commit(lease, erase)).unwrap();
    let there = Shard(4);
    let lease = wait(store.acquire(there, [1; 16])).unwrap();
    wait(store.commit(lease, batch(SessionId::new(there, [1; 16]), 0, &["a"]))).unwrap();
}

fn sessions(filled: Filled<'_>) {
    let store = filled(&fill);
    let list = |shard, after: Option<u8>, limit| wait(store.sessions(shard, after.map(session), limit)).unwrap();
    assert_eq!(list(SHARD, None, 10), [session(1), session(2), session(3)]);
    assert_eq!(list(SHARD, Some(1), 1), [session(2)]);
    assert_eq!(list(SHARD, Some(3), 10), []);
    assert_eq!(list(Shard(4), None, 10), [SessionId::new(Shard(4), [1; 16])]);
    assert_eq!(list(Shard(2), None, 10), []);
    assert!(store.shards() > 4);
}

fn all(store: &dyn Whole, id: SessionId) -> Vec<Piece> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let Page { found, more } = wait(store.pieces(id, after)).unwrap();
        after = found.last().map(Piece::place);
        all.extend(found);
        if !more {
            return all;
        }
    }
}

fn pieces(filled: Filled<'_>) {
    let store = filled(&fill);
    let outline = wait(store.outline(session(1))).unwrap().unwrap();
    assert_eq!((&*outline.tenant.0, outline.sequence, outline.chain), ("acme", Sequence(4), [3; 32]));
    assert_eq!((outline.open, outline.erased, outline.frame_next), (true, false, 10));
    assert_eq!(outline.snapshot.as_deref(), Some(&b"state"[..]));
    let found = all(&*store, session(1));
    let places: Vec<_> = found.iter().map(|piece| piece.place().0).collect();
    assert_eq!(places, [0, 0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 5]);
    assert!(found.is_sorted_by(|one, other| one.place() < other.place()));
    let ops: Vec<_> = found[..4].iter().map(|piece| matches!(piece, Piece::Event { op: Some(_), .. })).collect();
    assert_eq!(ops, [true, false, true, true], "the first event of each batch names it");
    assert_eq!(found[4], Piece::Quiet { expected: Sequence(3), op: OpId([9; 16]) });
    assert!(matches!(&found[5], Piece::Slice { first: 2, last: 2, .. }));
    let blobs: Vec<_> = found[7..11].iter().map(Piece::bytes).collect();
    assert!(blobs[0] < 1_000 && blobs[3] > 300_000, "{blobs:?}");
    assert_eq!(found[11], Piece::Wakeup { key: String::new(), at: Timestamp(5) });
    assert_eq!(found[13], Piece::Row { kind: "k".to_owned(), key: Vec::new(), value: b"v".to_vec() });
    let erased = wait(store.outline(session(3))).unwrap().unwrap();
    assert!(erased.erased && erased.sequence == Sequence(3));
    assert!(matches!(&all(&*store, session(3))[..], [Piece::Event { sequence: Sequence(3), .. }]));
    assert_eq!(wait(store.outline(session(9))), Ok(None));
    assert_eq!(all(&*store, session(9)), []);
}

fn pages(filled: Filled<'_>) {
    let store = filled(&fill);
    let first = wait(store.pieces(session(2), None)).unwrap();
    assert_eq!((first.found.len(), first.more), (MAX_ROWS, true));
    let after = first.found.last().map(Piece::place);
    assert_eq!(wait(store.pieces(session(2), after)).unwrap().found.len(), 2);
    // From any place on, what comes is the rest.
    let whole = all(&*store, session(1));
    for (number, piece) in whole.iter().enumerate() {
        assert_eq!(wait(store.pieces(session(1), Some(piece.place()))).unwrap().found, whole[number + 1..]);
    }
}

fn records(filled: Filled<'_>) {
    let store = filled(&fill);
    let found = wait(store.records(SHARD, None)).unwrap();
    assert!(!found.more);
    assert!(
        matches!(
            &found.found[..],
            [Record::Scope { expires: Timestamp(99), .. }, Record::Funds { amount: 3, .. }, Record::Funds { .. }]
        ),
        "{found:?}"
    );
    let after: Vec<Place> = found.found.iter().map(Record::place).collect();
    assert_eq!(wait(store.records(SHARD, Some(after[1].clone()))).unwrap().found, found.found[2..]);
    assert_eq!(wait(store.records(Shard(4), None)).unwrap().found, []);
}

fn standing(filled: Filled<'_>) {
    let standing = wait(filled(&fill).standing(Timestamp(5))).unwrap();
    assert_eq!((standing.sessions, standing.open, standing.erased), (4, 1, 1));
    assert_eq!((standing.events, standing.idempotency), (4 + MAX_ROWS as u64 + 2 + 1 + 1, 1));
    assert_eq!(standing.wakeups, (2, 1));
    let epochs: Vec<_> = standing.shards.iter().map(|holding| (holding.shard, holding.epoch)).collect();
    assert!(epochs.contains(&(SHARD, Epoch(1))) && epochs.contains(&(Shard(4), Epoch(1))), "{epochs:?}");
}

fn same(one: &dyn Whole, other: &dyn Whole) {
    for id in [session(1), session(2), session(3), SessionId::new(Shard(4), [1; 16])] {
        let digests = (wait(digest(one, id)).unwrap(), wait(digest(other, id)).unwrap());
        assert!(digests.0.is_some() && digests.0 == digests.1, "{id}");
    }
}

fn copied(receiving: Receiving<'_>) {
    let from = Memory::default();
    fill(&from);
    let to = receiving();
    let copied = wait(copy(&from, &*to, &mut |_| {})).unwrap();
    assert_eq!((copied.sessions, copied.of, copied.records, copied.resumed), (4, 4, 3, 0));
    same(&from, &*to);
    drop(to);
    // Once it is finished it is a store like any other, and not a place to copy into.
    let again = wait(copy(&from, &*receiving(), &mut |_| {}));
    assert!(matches!(again, Err(Error::Unsupported(_))), "{again:?}");
}

fn resumed(receiving: Receiving<'_>) {
    let from = Memory::default();
    fill(&from);
    let mut to = receiving();
    // As if the process had died after each step of the first sessions.
    let standing = wait(from.standing(Timestamp(0))).unwrap();
    let shards: Vec<_> = standing.shards.iter().map(|holding| (holding.shard, holding.epoch)).collect();
    assert_eq!(wait(to.begin([1; 32], shards.clone())), Ok(None));
    for number in 1..4 {
        let outline = wait(from.outline(session(number))).unwrap().unwrap();
        let pieces = wait(from.pieces(session(number), None)).unwrap().found;
        for _ in 0..2 {
            let part = mainstay_store::whole::Part {
                session: session(number),
                outline: outline.clone(),
                pieces: pieces.clone(),
            };
            wait(to.receive(vec![part])).unwrap();
            drop(to);
            to = receiving();
            let last = (number > 1).then(|| session(number - 1));
            assert_eq!(wait(to.begin([1; 32], shards.clone())), Ok(last));
        }
        if number != 2 {
            let digests = (wait(digest(&from, session(number))).unwrap(), wait(digest(&*to, session(number))).unwrap());
            // Slices of a session under way were taken away when the copy went on.
            assert!(number == 1 || digests.0 == digests.1);
        }
        wait(to.note(session(number))).unwrap();
    }
}

fn refused(receiving: Receiving<'_>) {
    let to = receiving();
    assert_eq!(wait(to.begin([1; 32], vec![(SHARD, Epoch(5))])), Ok(None));
    let other = wait(to.begin([2; 32], vec![(SHARD, Epoch(5))]));
    assert!(matches!(other, Err(Error::Unsupported(_))), "{other:?}");
    assert_eq!(wait(to.begin([1; 32], vec![(SHARD, Epoch(5))])), Ok(None));
    wait(to.finish()).unwrap();
    let standing = wait(to.standing(Timestamp(0))).unwrap();
    assert!(standing.shards.iter().any(|holding| (holding.shard, holding.epoch) == (SHARD, Epoch(5))));
}
