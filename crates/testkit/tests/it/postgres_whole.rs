//! PostgreSQL as its operator sees it: the whole of a store, copies there and back, a database of keys.

use std::sync::{
    Arc, Mutex,
    mpsc::{self, RecvTimeoutError},
};

use mainstay_seal::{Filed, KeyId, Keyring, Lookup, Records};
use mainstay_store::{
    Error,
    copy::copy,
    postgres::{self, Options},
    sqlite::{self, Others},
};
use mainstay_testkit::{
    postgres::each_version,
    store::{Memory, conformance, differential::Snapshot, sample, wait::wait},
};

use mainstay_vocabulary::Tenant;

use crate::scratch::Scratch;

fn options(url: String) -> Options {
    Options { shards: 8, ..Options::new(url) }
}

#[test]
fn postgres_conforms_as_a_receiver_and_as_a_whole() {
    each_version(|server| {
        for (name, check) in conformance::RECEIVER {
            println!("{name}");
            let url = server.url(&server.database());
            check(&|| postgres::receive(options(url.clone())).unwrap());
        }
        for (name, check) in conformance::WHOLE {
            println!("{name}");
            let url = server.url(&server.database());
            // What was written is what a copy brought.
            check(&|fill| {
                let from = Memory::default();
                fill(&from);
                let to = postgres::receive(options(url.clone())).unwrap();
                wait(copy(&from, &*to, &mut |_| {})).unwrap();
                postgres::look(options(url.clone()), true).unwrap()
            });
        }
    });
}

#[test]
fn a_store_is_copied_to_postgres_and_back() {
    each_version(|server| {
        let (scratch, target) = (Scratch::new(), Scratch::new());
        let store = scratch.open();
        let lease = wait(store.acquire(sample::SHARD, [1; 16])).unwrap();
        for number in 0..8 {
            let mut batch = sample::batch(sample::session(number), 0, &["a", "b"]);
            let bytes = vec![number; 300_000].into();
            batch.blobs.push(mainstay_store::seam::Blob { digest: [number; 32], bytes });
            wait(store.commit(lease, batch)).unwrap();
            wait(store.append_frames(lease, sample::slice(sample::session(number), 0, 4))).unwrap();
        }
        let then = Snapshot::take(&*store);
        drop(store);
        let url = server.url(&server.database());
        let from = sqlite::look(scratch.path().to_owned(), Others::Refused).unwrap();
        let to = postgres::receive(options(url.clone())).unwrap();
        let unfinished = postgres::receive(options(url.clone())).unwrap();
        wait(copy(&*from, &*to, &mut |_| {})).unwrap();
        drop((to, unfinished));
        let there = postgres::look(options(url.clone()), true).unwrap();
        let unsupported = wait(there.backup("/nowhere".into(), Arc::new(|_, _| {})));
        assert!(matches!(unsupported, Err(Error::Unsupported(why)) if why.contains("pg_basebackup")));
        let back = sqlite::receive(target.path().to_owned()).unwrap();
        wait(copy(&*there, &*back, &mut |_| {})).unwrap();
        drop(back);
        let served = target.open();
        assert!(Snapshot::take(&*served) == then);
        assert_eq!(served.shards(), 8, "as many as it had there");
        let again = wait(copy(&*from, &*postgres::receive(options(url)).unwrap(), &mut |_| {}));
        assert!(matches!(again, Err(Error::Unsupported(_))), "{again:?}");
    });
}

#[test]
fn half_a_copy_is_looked_at_by_nobody_and_too_few_shards_are_refused() {
    each_version(|server| {
        let url = server.url(&server.database());
        let from = Memory::default();
        wait(mainstay_store::Store::acquire(&from, sample::SHARD, [1; 16])).unwrap();
        let few = postgres::receive(Options { shards: 2, ..options(url.clone()) }).unwrap();
        let refused = wait(copy(&from, &*few, &mut |_| {}));
        assert!(matches!(&refused, Err(Error::Unsupported(why)) if why.contains("2 shards")), "{refused:?}");
        wait(few.begin([1; 32], Vec::new())).unwrap();
        let Err(Error::Unavailable(why)) = postgres::look(options(url.clone()), false) else { panic!("looked") };
        assert!(why.contains("not finished"), "{why}");
        wait(few.finish()).unwrap();
        wait(few.finish()).unwrap();
        postgres::look(options(url), false).unwrap();
    });
}

#[test]
fn a_database_of_keys_gives_one_record_for_a_name_and_tells_of_changes() {
    each_version(|server| {
        let url = server.url(&server.database());
        let nodes = [(); 2].map(|()| postgres::open_keys(options(url.clone())).unwrap());
        let (heard, hears) = mpsc::channel();
        let heard = Mutex::new(heard);
        nodes[1].watch(Box::new(move |rows| {
            rows.iter().for_each(|row| drop(heard.lock().unwrap().send(row.clone())));
        }));
        // Many threads of both nodes file the same names at once: each name has one record.
        std::thread::scope(|scope| {
            let file = |number: u8| {
                let node = &nodes[usize::from(number % 2)];
                (0..8)
                    .map(|name| node.insert([name; 32], [number * 8 + name; 8], format!("line {number}")).unwrap())
                    .collect::<Vec<_>>()
            };
            let filed: Vec<_> = (0..6).map(|number| scope.spawn(move || file(number))).collect();
            let filed: Vec<_> = filed.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(filed.iter().all(|one| *one == filed[0]), "{filed:?}");
        });
        let all = nodes[0].since(0, 100).unwrap();
        assert_eq!(all.len(), 8);
        assert!(all.is_sorted_by(|one, other| one.revision < other.revision));
        nodes[0].replace([3; 32], nodes[0].find([3; 32]).unwrap().unwrap().id, "gone".to_owned()).unwrap();
        let gone = nodes[1].find([3; 32]).unwrap().unwrap();
        assert_eq!((&*gone.line, nodes[1].find_key(gone.id).unwrap()), ("gone", Some(gone.clone())));
        // It is told of every change, the last one too.
        loop {
            match hears.recv_timeout(std::time::Duration::from_secs(60)) {
                Ok(row) if row == gone => break,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => panic!("it was never told"),
            }
        }
        let store = server.url(&server.database());
        postgres::migrate(options(store.clone())).unwrap();
        let Err(Error::Unsupported(why)) = postgres::open_keys(options(store)) else { panic!("opened") };
        assert!(why.contains("of their own"), "{why}");
    });
}

/// A database of keys as a keyring asks of it; the same few lines join the two in the binary.
struct Table(postgres::KeyTable);

fn filed(row: postgres::KeyRow) -> Filed {
    Filed { revision: row.revision, lookup: row.lookup, key: KeyId::from_bytes(row.id), line: row.line }
}

impl Records for Table {
    fn since(&self, revision: u64, limit: usize) -> Result<Vec<Filed>, mainstay_seal::Error> {
        Ok(self.0.since(revision, limit).unwrap().into_iter().map(filed).collect())
    }

    fn find(&self, lookup: &Lookup) -> Result<Option<Filed>, mainstay_seal::Error> {
        Ok(self.0.find(*lookup).unwrap().map(filed))
    }

    fn find_key(&self, key: KeyId) -> Result<Option<Filed>, mainstay_seal::Error> {
        Ok(self.0.find_key(*key.as_bytes()).unwrap().map(filed))
    }

    fn insert(&self, lookup: &Lookup, key: KeyId, line: &str) -> Result<Filed, mainstay_seal::Error> {
        Ok(filed(self.0.insert(*lookup, *key.as_bytes(), line.to_owned()).unwrap()))
    }

    fn replace(&self, lookup: &Lookup, key: KeyId, line: &str) -> Result<(), mainstay_seal::Error> {
        self.0.replace(*lookup, *key.as_bytes(), line.to_owned()).unwrap();
        Ok(())
    }

    fn watch(&self, heard: mainstay_seal::Heard) {
        self.0.watch(Box::new(move |rows| heard(&rows.iter().cloned().map(filed).collect::<Vec<_>>())));
    }
}

#[test]
fn two_nodes_on_one_database_of_keys_agree_in_a_race_and_after_an_erasure() {
    let system = mainstay_runtime::entropy::System::default;
    let master = Keyring::draw_master(&system());
    each_version(|server| {
        let url = server.url(&server.database());
        let open = || {
            let table = postgres::open_keys(options(url.clone())).unwrap();
            Keyring::shared(&master, Arc::new(Table(table))).unwrap()
        };
        let nodes = [open(), open()];
        let tenant = Tenant("acme".into());
        let session = sample::session(1);
        let ids = &|node: &Keyring| -> Vec<KeyId> {
            let id = |number: u8| node.sealer(&tenant, &number.to_string(), session, &system()).unwrap().key_id();
            (0..10).map(id).collect()
        };
        std::thread::scope(|scope| {
            let [one, other] = [&nodes[0], &nodes[1]].map(|node| scope.spawn(move || ids(node)));
            assert_eq!(one.join().unwrap(), other.join().unwrap(), "one key for a subject, whoever came first");
        });
        let sealer = nodes[1].sealer(&tenant, "3", session, &system()).unwrap();
        let sealed = sealer.seal(b"context", b"secret", &system());
        nodes[0].destroy(&tenant, "3").unwrap();
        // The other node hears of it by itself, and a sealer that it handed out before is worth nothing then.
        for _ in 0..6_000 {
            if sealer.open(b"context", &sealed).is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(matches!(sealer.open(b"context", &sealed), Err(mainstay_seal::Error::Destroyed)));
        for node in [&nodes[0], &nodes[1], &open()] {
            let gone = node.sealer(&tenant, "3", session, &system());
            assert!(matches!(gone, Err(mainstay_seal::Error::Destroyed)), "{gone:?}");
        }
        let another = Keyring::draw_master(&system());
        let table = postgres::open_keys(options(url.clone())).unwrap();
        assert!(Keyring::shared(&another, Arc::new(Table(table))).is_err(), "another master key opens nothing");
    });
}
