//! Commits whose answer is lost.

use mainstay_store::{
    Error, Store,
    postgres::{self, Options},
    seam::Lease,
};
use mainstay_testkit::{
    postgres::{
        Server, Version, each_version, execute, number,
        proxy::{Cut, Proxy},
    },
    store::{
        sample::{SHARD, batch, session, tenant},
        wait::wait,
    },
};
use mainstay_vocabulary::{Sequence, SessionId, Shard};

use super::{open, options};

fn through(server: &Server, proxy: &Proxy, database: &str) -> std::sync::Arc<dyn Store> {
    let url = server.url(database).replace(&server.port().to_string(), &proxy.port().to_string());
    postgres::open(Options { url, lanes: 1, ..options(server, database) }).unwrap()
}

fn is_unknown<T: std::fmt::Debug>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Unknown(_)))
}

#[test]
fn a_lost_answer_is_unknown_until_the_shard_is_taken_and_then_final() {
    each_version(|server| {
        let proxy = Proxy::start(server.port());
        for (cut, applied) in [(Cut::Before, false), (Cut::After, true)] {
            let database = server.database();
            let store = through(server, &proxy, &database);
            let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
            let elsewhere = wait(store.acquire(Shard(9), [1; 16])).unwrap();
            let there = SessionId::new(Shard(9), [1; 16]);
            wait(store.commit(lease, batch(session(1), 0, &["a"]))).unwrap();
            wait(store.commit(elsewhere, batch(there, 0, &["a"]))).unwrap();
            proxy.arm(cut);
            let lost = batch(session(1), 1, &["b"]);
            let answer = wait(store.commit(lease, lost.clone()));
            assert!(is_unknown(&answer), "{cut:?}: {answer:?}");
            let answer = wait(store.commit(lease, batch(session(2), 0, &["a"])));
            assert!(is_unknown(&answer), "waiting alone would not help: {answer:?}");
            wait(store.commit(elsewhere, batch(there, 1, &["b"]))).unwrap();

            let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
            assert_eq!(wait(store.outcome(session(1), Sequence(1), lost.op)), Ok(applied), "{cut:?}");
            let next = if applied { 2 } else { 1 };
            assert_eq!(
                wait(store.commit(lease, batch(session(1), 9, &["x"]))),
                Err(Error::Conflict { head: Sequence(next) })
            );
            wait(store.commit(lease, batch(session(1), next, &["c"]))).unwrap();
        }
    });
}

/// The transaction goes on at the server while its client has given up: taking the shard waits for it, so that what is
/// looked up then stays so.
#[test]
fn taking_a_shard_waits_for_a_commit_that_is_on_its_way() {
    each_version(|server| {
        let proxy = Proxy::start(server.port());
        for arrives in [true, false] {
            let database = server.database();
            let store = through(server, &proxy, &database);
            let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
            wait(store.commit(lease, batch(session(1), 0, &["a"]))).unwrap();
            proxy.arm(Cut::Held);
            let late = batch(session(1), 1, &["late"]);
            let answer = wait(store.commit(lease, late.clone()));
            assert!(is_unknown(&answer), "{answer:?}");
            proxy.wait_for_held();
            assert_eq!(wait(store.outcome(session(1), Sequence(1), late.op)), Ok(false), "not final yet");
            // Waits for the row's lock, which the old transaction holds.
            let taking = store.acquire(SHARD, [1; 16]);
            let lease = std::thread::scope(|scope| {
                let taken = scope.spawn(|| wait(taking).unwrap());
                while waiting(server, &database) == 0 {
                    assert!(!taken.is_finished(), "it was taken while the old transaction could still commit");
                }
                proxy.deliver(arrives);
                taken.join().unwrap()
            });
            check_late(&*store, lease, (late.op, arrives));
        }
    });
}

fn check_late(store: &dyn Store, lease: Lease, (op, arrives): (mainstay_vocabulary::OpId, bool)) {
    assert_eq!(wait(store.outcome(session(1), Sequence(1), op)), Ok(arrives));
    let next = 1 + u64::from(arrives);
    wait(store.commit(lease, batch(session(1), next, &["c"]))).unwrap();
    let texts = wait(store.read(&tenant(), session(1), Sequence(0), 9)).unwrap();
    let texts: Vec<_> = texts.iter().map(|entry| entry.bytes.to_vec()).collect();
    let expected: &[&[u8]] = if arrives { &[b"a", b"late", b"c"] } else { &[b"a", b"c"] };
    assert_eq!(texts, expected);
}

/// How many connections of a database wait for a lock.
pub(super) fn waiting(server: &Server, database: &str) -> i64 {
    let question =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock'");
    number(&server.owner_url("postgres"), ("", &question)).unwrap()
}

#[test]
fn a_wait_for_a_standby_that_is_cancelled_is_unknown() {
    let Some(server) = Version::V18.start(&[]) else { return };
    let database = server.database();
    let store = open(&server, &database);
    let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
    wait(store.commit(lease, batch(session(1), 0, &["a"]))).unwrap();
    server.as_owner("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    server.as_owner("SELECT pg_reload_conf()");
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    // The setting takes a moment to get to the backends: commits until one waits.
    let mut expected = 1;
    let answer = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            loop {
                match wait(store.commit(lease, batch(session(1), expected, &["b"]))) {
                    Ok(committed) => expected = committed.sequence.0,
                    Err(error) => return error,
                }
            }
        });
        while !writer.is_finished() {
            number(&server.owner_url("postgres"), ("", cancel)).unwrap();
        }
        writer.join().unwrap()
    });
    assert!(matches!(answer, Error::Unknown(_)), "{answer:?}");
    server.as_owner("ALTER SYSTEM RESET synchronous_standby_names");
    server.as_owner("SELECT pg_reload_conf()");
    let lease = loop {
        match wait(store.acquire(SHARD, [1; 16])) {
            Ok(lease) => break lease,
            Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error:?}"),
        }
    };
    let op = batch(session(1), expected, &["b"]).op;
    assert_eq!(wait(store.outcome(session(1), Sequence(expected), op)), Ok(true), "it is committed here");
    wait(store.commit(lease, batch(session(1), expected + 1, &["c"]))).unwrap();
}

#[test]
fn a_killed_server_keeps_what_was_acknowledged() {
    for version in Version::ALL {
        let Some(mut server) = version.start(&[]) else { continue };
        let database = server.database();
        let store = open(&server, &database);
        let mut acknowledged = 0;
        for round in 0..3_u8 {
            let lease = loop {
                match wait(store.acquire(SHARD, [round; 16])) {
                    Ok(lease) => break lease,
                    Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error:?}"),
                }
            };
            let head = wait(store.head(session(1))).unwrap().map_or(0, |head| head.sequence.0);
            assert!(head >= acknowledged, "{acknowledged} were acknowledged, {head} are there");
            let (sent, answers) = (head, std::sync::Mutex::new(0));
            std::thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    for index in sent.. {
                        match wait(store.commit(lease, batch(session(1), index, &["x"]))) {
                            Ok(committed) => *answers.lock().unwrap() = committed.sequence.0,
                            Err(Error::Unknown(_) | Error::Unavailable(_)) => return,
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                });
                while *answers.lock().unwrap() < sent + 20 {
                    std::thread::yield_now();
                }
                server.kill();
                writer.join().unwrap();
            });
            acknowledged = *answers.lock().unwrap();
            server.begin();
        }
        let events = number(&server.owner_url(&database), ("", "SELECT count(*) FROM mainstay.event"));
        assert!(events.unwrap() >= acknowledged as i64);
    }
}

/// What only a person, or a standby that was not up to date, can do to a database.
#[test]
fn a_database_that_lost_commits_is_recognised() {
    let Some(server) = Version::V18.start(&[]) else { return };
    let database = server.database();
    let store = open(&server, &database);
    let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
    wait(store.commit(lease, batch(session(1), 0, &["a"]))).unwrap();
    wait(store.commit(lease, batch(session(1), 1, &["b"]))).unwrap();
    let undo = "UPDATE mainstay.shard SET commit_no = commit_no - 1 WHERE id = 3";
    execute(&server.owner_url(&database), undo).unwrap();
    let answer = wait(store.commit(lease, batch(session(1), 2, &["c"])));
    assert!(matches!(&answer, Err(Error::Corrupt(why)) if why.contains("shard 3")), "{answer:?}");
    let answer = wait(store.commit(lease, batch(session(1), 2, &["c"])));
    assert!(is_unknown(&answer), "{answer:?}");
}
