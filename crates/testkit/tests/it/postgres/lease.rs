//! Several processes on one database: who may write.

use std::sync::Arc;

use mainstay_store::{
    Error, Store,
    postgres::{self, Options},
    seam::{Lease, Node},
};
use mainstay_testkit::{
    postgres::{Server, each_version},
    store::{
        sample::{SHARD, batch, session, tenant},
        wait::wait,
    },
};
use mainstay_vocabulary::{Sequence, SessionId, Shard};

use super::{open, options};

/// Long enough that nothing is late by accident, short enough to wait for.
const LEASE_MS: u64 = 1_500;

fn leased(server: &Server, database: &str) -> Arc<dyn Store> {
    postgres::open(Options { lease_ms: LEASE_MS, ..options(server, database) }).unwrap()
}

/// Tries until the lease of another has run out.
fn take(store: &dyn Store, incarnation: u8) -> Lease {
    loop {
        match wait(store.acquire(SHARD, [incarnation; 16])) {
            Ok(lease) => return lease,
            Err(error) => assert_eq!(error, Error::Held),
        }
    }
}

#[test]
fn a_lease_runs_by_the_databases_clock() {
    each_version(|server| {
        let database = server.database();
        let [one, two] = [leased(server, &database), leased(server, &database)];
        let held = wait(one.acquire(SHARD, [1; 16])).unwrap();
        let anew = wait(one.acquire(SHARD, [1; 16])).unwrap();
        assert!(anew.epoch > held.epoch, "the holder takes it anew at any time");
        assert_eq!(wait(two.acquire(SHARD, [2; 16])), Err(Error::Held));
        assert_eq!(wait(one.renew(vec![anew, held])), Ok(vec![anew]));
        wait(one.commit(anew, batch(session(1), 0, &["a"]))).unwrap();

        let taken = take(&*two, 2);
        assert!(taken.epoch > anew.epoch);
        assert_eq!(wait(one.acquire(SHARD, [1; 16])), Err(Error::Held), "a successor took it");
        assert_eq!(wait(one.renew(vec![anew])), Ok(Vec::new()));
        assert_eq!(wait(one.commit(anew, batch(session(1), 1, &["b"]))), Err(Error::Fenced));
        wait(two.commit(taken, batch(session(1), 1, &["c"]))).unwrap();

        wait(one.release(anew)).unwrap();
        assert_eq!(wait(two.renew(vec![taken])), Ok(vec![taken]), "a lost lease releases nothing");
        wait(two.release(taken)).unwrap();
        let again = wait(one.acquire(SHARD, [1; 16])).unwrap();
        wait(one.commit(again, batch(session(1), 2, &["d"]))).unwrap();
        assert_eq!(wait(two.commit(taken, batch(session(1), 3, &["e"]))), Err(Error::Fenced));
        assert_eq!(wait(one.acquire(Shard(300), [1; 16])), Err(Error::Malformed("there is no such shard")));
        members(&*one, &*two);
    });
}

fn members(one: &dyn Store, two: &dyn Store) {
    let node = |number: u8, draining| Node {
        incarnation: [number; 16],
        address: format!("http://127.0.0.1:{number}"),
        draining,
    };
    wait(one.announce(node(1, false))).unwrap();
    wait(two.announce(node(2, false))).unwrap();
    wait(two.announce(node(2, true))).unwrap();
    let mut seen = wait(one.members()).unwrap();
    seen.nodes.sort_by_key(|node| node.incarnation);
    assert_eq!(seen.nodes, [node(1, false), node(2, true)]);
    assert_eq!(seen.holders, [(SHARD, [1; 16])]);
    while !wait(two.members()).unwrap().nodes.is_empty() {
        // They are forgotten when they say nothing, and so are the holders.
    }
    while !wait(two.members()).unwrap().holders.is_empty() {}
}

#[test]
fn a_shard_that_was_lost_fails_alone() {
    each_version(|server| {
        let database = server.database();
        let options = Options { lanes: 1, ..options(server, &database) };
        let one = postgres::open(options.clone()).unwrap();
        let two = postgres::open(options).unwrap();
        let leases: Vec<Lease> = (0..8).map(|shard| wait(one.acquire(Shard(shard), [1; 16])).unwrap()).collect();
        let id = |shard: u16, number: u8| SessionId::new(Shard(shard), [number; 16]);
        for shard in [2, 5] {
            wait(two.acquire(Shard(shard), [2; 16])).unwrap();
        }
        let call = |number: u8| {
            let each = |lease: &Lease| (lease.shard.0, one.commit(*lease, batch(id(lease.shard.0, number), 0, &["a"])));
            leases.iter().map(each).collect::<Vec<_>>()
        };
        let answers: Vec<_> = (0..4).flat_map(call).collect();
        for (shard, answer) in answers {
            let is_lost = [2, 5].contains(&shard);
            assert_eq!(wait(answer).err(), is_lost.then_some(Error::Fenced), "shard {shard}");
        }
        for shard in 0..8 {
            let found = wait(two.read(&tenant(), id(shard, 3), Sequence(0), 9)).unwrap();
            assert_eq!(found.len(), usize::from(![2, 5].contains(&shard)));
        }
    });
}

/// Two that take one shard from each other while both write as fast as they can: what is acknowledged is there once,
/// in order, and nobody writes under a lease that is over.
#[test]
fn two_that_fence_each_other_lose_and_double_nothing() {
    each_version(|server| {
        let database = server.database();
        let stores = [open(server, &database), open(server, &database)];
        let id = session(1);
        let mut acknowledged: u64 = 0;
        for round in 0..20_u8 {
            let [holder, other] = if round % 2 == 0 { [&stores[0], &stores[1]] } else { [&stores[1], &stores[0]] };
            let lease = wait(holder.acquire(SHARD, [round; 16])).unwrap();
            let head = wait(holder.head(id)).unwrap().map_or(0, |head| head.sequence.0);
            assert!(head >= acknowledged, "{acknowledged} were acknowledged, {head} are there");
            let answers: Vec<_> = (0..30).map(|index| holder.commit(lease, batch(id, head + index, &["x"]))).collect();
            let taking = other.acquire(SHARD, [100 + round; 16]);
            let outcomes: Vec<_> = answers.into_iter().map(wait).collect();
            wait(taking).unwrap();
            let done = outcomes.iter().take_while(|outcome| outcome.is_ok()).count();
            assert!(outcomes[done..].iter().all(|outcome| *outcome == Err(Error::Fenced)), "{outcomes:?}");
            acknowledged = head + done as u64;
            let found = wait(other.head(id)).unwrap().map_or(0, |head| head.sequence.0);
            assert_eq!(found, acknowledged, "nothing was written that was refused");
        }
        let events = wait(stores[0].read(&tenant(), id, Sequence(0), 1_000)).unwrap();
        let places: Vec<u64> = events.iter().map(|entry| entry.sequence.0).collect();
        assert_eq!(places, (1..=acknowledged).collect::<Vec<_>>());
    });
}
