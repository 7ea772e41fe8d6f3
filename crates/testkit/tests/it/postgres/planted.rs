//! A test that cannot fail proves nothing: each planted bug breaks what the other tests of this backend hold it to.

use mainstay_store::{
    Error, Store,
    postgres::{
        self, Options,
        bug::{BUGS, Bug},
    },
};
use mainstay_testkit::{
    postgres::{
        Server, Version,
        proxy::{Cut, Proxy},
    },
    store::{
        sample::{SHARD, batch, session},
        wait::wait,
    },
};
use mainstay_vocabulary::{OpId, Sequence};

use super::{options, unknown::waiting};

/// Looks until a late commit has shown, at most so often.
const LOOKS: u32 = 2_000;

#[test]
fn every_planted_bug_of_the_postgres_backend_is_caught() {
    let Some(server) = Version::V18.start(&[]) else { return };
    for planted in [None, Some(Bug::NoFence), Some(Bug::LookWithoutEpoch), Some(Bug::AckBeforeCommit)] {
        let caught: Vec<Bug> = BUGS.into_iter().filter(|bug| shows(&server, *bug, planted)).collect();
        println!("{planted:?}: {caught:?}");
        match planted {
            None => assert_eq!(caught, [], "nothing is wrong"),
            Some(bug) => assert!(caught.contains(&bug), "{bug:?} was not caught"),
        }
    }
}

/// Whether what a bug would break is broken.
fn shows(server: &Server, bug: Bug, planted: Option<Bug>) -> bool {
    let database = server.database();
    let proxy = Proxy::start(server.port());
    let url = server.url(&database).replace(&server.port().to_string(), &proxy.port().to_string());
    let options = Options { url, lanes: 1, bug: planted, ..options(server, &database) };
    let store = postgres::open(options.clone()).unwrap();
    let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
    wait(store.commit(lease, batch(session(1), 0, &["a"]))).unwrap();
    match bug {
        Bug::NoFence => {
            // The successor is sound, whatever is planted here.
            let other = postgres::open(Options { bug: None, ..options }).unwrap();
            wait(other.acquire(SHARD, [2; 16])).unwrap();
            wait(store.commit(lease, batch(session(1), 1, &["b"]))) != Err(Error::Fenced)
        }
        Bug::LookWithoutEpoch => looks_too_early(server, &database, (&*store, &proxy)),
        Bug::AckBeforeCommit => {
            proxy.arm(Cut::Before);
            let acknowledged = wait(store.commit(lease, batch(session(1), 1, &["b"]))).is_ok();
            let head = wait(store.head(session(1))).unwrap().unwrap();
            acknowledged && head.sequence == Sequence(1)
        }
    }
}

/// Whether a look-up after the shard was taken said something else than a later one.
fn looks_too_early(server: &Server, database: &str, (store, proxy): (&dyn Store, &Proxy)) -> bool {
    let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
    proxy.arm(Cut::Held);
    let late = batch(session(1), 1, &["late"]);
    drop(wait(store.commit(lease, late.clone())));
    proxy.wait_for_held();
    let look = |op: OpId| wait(store.outcome(session(1), Sequence(1), op)).unwrap();
    std::thread::scope(|scope| {
        let taking = scope.spawn(|| wait(store.acquire(SHARD, [1; 16])).unwrap());
        while !taking.is_finished() && waiting(server, database) == 0 {}
        if !taking.is_finished() {
            proxy.deliver(true);
            taking.join().unwrap();
            return !look(late.op);
        }
        let first = look(late.op);
        proxy.deliver(true);
        (0..LOOKS).any(|_| look(late.op) != first)
    })
}
