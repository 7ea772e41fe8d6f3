//! Rows that are listed: wakeups, open sessions, index rows.

use mainstay_store::{
    Store,
    seam::{Batch, Direction, IndexChange, IndexQuery, MAX_ROWS, Shards, Wakeup, WakeupChange},
};
use mainstay_vocabulary::{Sequence, SessionId, Shard, Tenant, Timestamp};

use super::lease;
use crate::store::{
    sample::{SHARD, batch, query, session, tenant},
    wait::wait,
};

fn waking(mut batch: Batch, changes: &[(&str, Option<u64>)]) -> Batch {
    let change = |(key, at): &(&str, Option<u64>)| WakeupChange { key: (*key).to_owned(), at: at.map(Timestamp) };
    batch.wakeups = changes.iter().map(change).collect();
    batch
}

fn with_rows(mut batch: Batch, kind: &'static str, rows: &[(&[u8], Option<&str>)]) -> Batch {
    batch.index.extend(rows.iter().map(|(key, value)| IndexChange {
        kind,
        key: key.to_vec(),
        value: value.map(|value| value.as_bytes().to_vec()),
    }));
    batch
}

pub(super) fn wakeups(store: &dyn Store) {
    let lease = lease(store);
    let (one, two) = (session(1), session(2));
    let due = |until: u64, limit| -> Vec<(SessionId, String, u64)> {
        let found = wait(store.due(vec![SHARD], Timestamp(until), limit)).unwrap();
        found.into_iter().map(|Wakeup { session, key, at }| (session, key, at.0)).collect()
    };
    let expect = |id, key: &str, at| (id, key.to_owned(), at);
    // The session with the larger id comes first, so that order is not that of creation.
    wait(store.commit(lease, waking(batch(two, 0, &["x"]), &[("a", Some(30)), ("b", Some(10))]))).unwrap();
    wait(store.commit(lease, waking(batch(one, 0, &["x"]), &[("a", Some(30)), ("A", Some(30))]))).unwrap();
    let all = [expect(two, "b", 10), expect(one, "A", 30), expect(one, "a", 30), expect(two, "a", 30)];
    assert_eq!(due(u64::MAX, 10), all);
    assert_eq!(due(30, 3), all[..3]);
    assert_eq!(due(29, 10), all[..1]);
    let change = [("a", Some(5)), ("b", None), ("c", None), ("d", Some(1)), ("d", Some(2))];
    wait(store.commit(lease, waking(batch(two, 1, &["x"]), &change))).unwrap();
    assert_eq!(due(29, 10), [expect(two, "d", 2), expect(two, "a", 5)]);
    assert_eq!(wait(store.due(vec![Shard(4)], Timestamp(u64::MAX), 10)), Ok(Vec::new()));
}

pub(super) fn open_sessions(store: &dyn Store) {
    let lease = lease(store);
    let set = |number, expected, open| {
        let mut batch = batch(session(number), expected, &["x"]);
        batch.open = open;
        wait(store.commit(lease, batch)).unwrap();
    };
    for number in [9, 3, 255, 0, 7] {
        set(number, 0, number != 7);
    }
    let list = |after: Option<u8>, limit| wait(store.open_sessions(vec![SHARD], after.map(session), limit)).unwrap();
    assert_eq!(list(None, 10), [session(0), session(3), session(9), session(255)]);
    assert_eq!(list(Some(0), 2), [session(3), session(9)]);
    assert_eq!(list(Some(4), 10), [session(9), session(255)]);
    assert_eq!(list(Some(255), 10), []);
    set(3, 1, false);
    set(7, 1, true);
    set(9, 1, true);
    assert_eq!(list(None, 10), [session(0), session(7), session(9), session(255)]);
}

pub(super) fn index(store: &dyn Store) {
    let lease = lease(store);
    let (one, two) = (session(1), session(2));
    let rows: &[(&[u8], Option<&str>)] =
        &[(b"b", Some("3")), (b"", Some("0")), (b"a\xff", Some("2")), (b"a", Some("1")), (b"\xff\xff", Some("9"))];
    wait(store.commit(lease, with_rows(batch(one, 0, &["x"]), "k", rows))).unwrap();
    let list = |change: &dyn Fn(&mut IndexQuery)| -> Vec<Vec<u8>> {
        let mut query = query("k");
        change(&mut query);
        wait(store.list(query)).unwrap().into_iter().map(|row| row.key).collect()
    };
    let keys: [&[u8]; 5] = [b"", b"a", b"a\xff", b"b", b"\xff\xff"];
    let backwards: Vec<&[u8]> = keys.iter().rev().copied().collect();
    let descending = |query: &mut IndexQuery| query.direction = Direction::Descending;
    assert_eq!(list(&|_| {}), keys);
    assert_eq!(list(&descending), backwards);
    for at in 0..keys.len() {
        let after = |query: &mut IndexQuery| (query.after, query.limit) = (Some(keys[at].to_vec()), 2);
        assert_eq!(list(&after), keys[at + 1..(at + 3).min(5)]);
        let before = |query: &mut IndexQuery| {
            after(query);
            descending(query);
        };
        assert_eq!(list(&before), backwards[5 - at..(7 - at).min(5)]);
    }
    assert_eq!(list(&|query| query.prefix = b"a".to_vec()), keys[1..3]);
    assert_eq!(list(&|query| query.prefix = b"\xff".to_vec()), keys[4..]);
    assert_eq!(list(&|query| (query.prefix, query.after) = (b"a".to_vec(), Some(b"a".to_vec()))), keys[2..3]);
    let changes: &[(&[u8], Option<&str>)] = &[(b"a", Some("other")), (b"b", None), (b"none", None)];
    wait(store.commit(lease, with_rows(batch(two, 0, &["x"]), "k", changes))).unwrap();
    let found = wait(store.list(query("k"))).unwrap();
    let held: Vec<_> = found.iter().map(|row| (&row.key[..], row.session, &row.value[..])).collect();
    assert_eq!(held[1], (&b"a"[..], two, &b"other"[..]), "the last writer owns a row");
    assert_eq!(held.len(), 4);
}

pub(super) fn index_walls(store: &dyn Store) {
    let lease = lease(store);
    let mut rows = with_rows(batch(session(1), 0, &["x"]), "k", &[(b"a", Some("1"))]);
    rows = with_rows(rows, "l", &[(b"a", Some("2"))]);
    wait(store.commit(lease, rows)).unwrap();
    let mut other = with_rows(batch(session(2), 0, &["x"]), "k", &[(b"a", Some("3"))]);
    other.tenant = Tenant("other".into());
    wait(store.commit(lease, other)).unwrap();
    let values =
        |query| -> Vec<Vec<u8>> { wait(store.list(query)).unwrap().into_iter().map(|row| row.value).collect() };
    assert_eq!(values(query("k")), [b"1"]);
    assert_eq!(values(query("l")), [b"2"]);
    assert_eq!(values(IndexQuery { tenant: Tenant("other".into()), ..query("k") }), [b"3"]);
    assert_eq!(values(IndexQuery { tenant: Tenant("acm".into()), ..query("k") }), [b""; 0]);
    assert_eq!(values(IndexQuery { shards: Shards::One(Shard(4)), ..query("k") }), [b""; 0]);
}

pub(super) fn bounded(store: &dyn Store) {
    let lease = lease(store);
    let id = session(1);
    let texts = vec!["x"; MAX_ROWS];
    for round in 0..2 {
        let mut batch = batch(id, round * MAX_ROWS as u64, &texts);
        for row in 0..600_u16 {
            let number = round as u16 * 600 + row;
            batch.index.push(IndexChange { kind: "k", key: number.to_be_bytes().to_vec(), value: Some(Vec::new()) });
            batch.wakeups.push(WakeupChange { key: format!("{number:05}"), at: Some(Timestamp(0)) });
        }
        wait(store.commit(lease, batch)).unwrap();
    }
    assert_eq!(wait(store.read(&tenant(), id, Sequence(0), usize::MAX)).unwrap().len(), MAX_ROWS);
    assert_eq!(wait(store.list(query("k"))).unwrap().len(), MAX_ROWS);
    let due = wait(store.due(vec![SHARD], Timestamp(0), usize::MAX)).unwrap();
    assert_eq!((due.len(), &*due[MAX_ROWS - 1].key), (MAX_ROWS, "00999"));
    assert_eq!(wait(store.read(&tenant(), id, Sequence(0), 0)).unwrap(), []);
}

/// What a node that holds several shards asks in one call, and what a list over all of them shows.
pub(super) fn over_shards(store: &dyn Store) {
    let there = Shard(4);
    let leases = [lease(store), wait(store.acquire(there, [1; 16])).unwrap()];
    let ids = [session(1), session(2), SessionId::new(there, [1; 16]), SessionId::new(there, [2; 16])];
    for (number, id) in ids.into_iter().enumerate() {
        let mut batch = with_rows(batch(id, 0, &["x"]), "k", &[(&[b'd' - number as u8], Some("v"))]);
        batch.open = true;
        batch.wakeups.push(WakeupChange { key: "k".to_owned(), at: Some(Timestamp(10 - number as u64)) });
        wait(store.commit(leases[number / 2], batch)).unwrap();
    }
    let both = || vec![there, SHARD];
    assert_eq!(wait(store.open_sessions(both(), None, 10)).unwrap(), ids);
    assert_eq!(wait(store.open_sessions(both(), Some(ids[0]), 2)).unwrap(), ids[1..3]);
    assert_eq!(wait(store.open_sessions(vec![there], Some(ids[0]), 9)).unwrap(), ids[2..]);
    assert_eq!(wait(store.open_sessions(Vec::new(), None, 9)).unwrap(), []);
    let due = |shards, limit| -> Vec<SessionId> {
        wait(store.due(shards, Timestamp(10), limit)).unwrap().into_iter().map(|wakeup| wakeup.session).collect()
    };
    assert_eq!(due(both(), 9), [ids[3], ids[2], ids[1], ids[0]]);
    assert_eq!(due(both(), 3), [ids[3], ids[2], ids[1]]);
    assert_eq!(due(vec![SHARD], 9), [ids[1], ids[0]]);
    let keys = |query: IndexQuery| -> Vec<Vec<u8>> {
        wait(store.list(query)).unwrap().into_iter().map(|row| row.key).collect()
    };
    let all = IndexQuery { shards: Shards::All, ..query("k") };
    assert_eq!(keys(all.clone()), [b"a", b"b", b"c", b"d"]);
    assert_eq!(keys(IndexQuery { after: Some(b"a".to_vec()), limit: 2, ..all.clone() }), [b"b", b"c"]);
    assert_eq!(keys(IndexQuery { direction: Direction::Descending, limit: 3, ..all }), [b"d", b"c", b"b"]);
    assert_eq!(keys(query("k")), [b"c", b"d"]);
    let some = |shards| IndexQuery { shards: Shards::Some(shards), ..query("k") };
    assert_eq!(keys(some(both())), [b"a", b"b", b"c", b"d"]);
    assert_eq!(keys(some(vec![there])), [b"a", b"b"]);
    assert_eq!(keys(some(Vec::new())), [b""; 0]);
}
