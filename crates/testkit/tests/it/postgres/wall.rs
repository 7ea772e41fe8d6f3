//! The second wall, the settings that are refused, and migrations.

use mainstay_store::{
    Error,
    postgres::{self, Options},
};
use mainstay_testkit::{
    postgres::{ROLE, Version, each_version, execute, number},
    store::{
        sample::{SHARD, batch, session, slice},
        wait::wait,
    },
};
use mainstay_vocabulary::Tenant;

use super::{open, options};

/// Tables with rows of tenants.
const OWNED: [&str; 5] = ["session", "event", "frame", "blob", "entry"];
/// Tables that only lanes and recovery look at.
const INNER: [&str; 5] = ["snapshot", "quiet", "wakeup", "idempotency", "escrow"];

#[test]
fn rows_of_another_tenant_are_invisible_even_to_sql() {
    each_version(|server| {
        let database = server.database();
        let store = open(server, &database);
        let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
        for (number, name) in [(1, "acme"), (2, "other"), (3, "")] {
            let mut batch = batch(session(number), 0, &["a"]);
            batch.tenant = Tenant(name.into());
            batch.snapshot = Some(b"state"[..].into());
            batch.blobs.push(mainstay_store::seam::Blob { digest: [1; 32], bytes: b"x"[..].into() });
            let value = Some(b"v".to_vec());
            batch.index.push(mainstay_store::seam::IndexChange { kind: "k", key: vec![number], value });
            batch.moves.push(mainstay_store::seam::Move { account: vec![number], amount: 1 });
            wait(store.commit(lease, batch)).unwrap();
            wait(store.append_frames(lease, slice(session(number), 0, 1))).unwrap();
        }
        let url = server.url(&database);
        let seen = |table: &str, say: &str| {
            let question = format!("SELECT count(*) FROM mainstay.{table}");
            number(&url, (&format!("BEGIN READ ONLY; {say}"), &question)).unwrap()
        };
        for table in OWNED {
            assert_eq!(seen(table, ""), 0, "{table}: who says nothing sees nothing");
            assert_eq!(seen(table, "SET LOCAL mainstay.tenant = ''"), 0, "{table}");
            assert_eq!(seen(table, "SET LOCAL mainstay.tenant = 'acme'"), 0, "{table}");
            assert_eq!(seen(table, "SET LOCAL mainstay.tenant = 't:acme'"), 1, "{table}");
            assert_eq!(seen(table, "SET LOCAL mainstay.tenant = 't:'"), 1, "{table}: the tenant without a name");
            assert_eq!(seen(table, "SET LOCAL mainstay.tenant = 't:nobody'"), 0, "{table}");
            assert_eq!(seen(table, "SET LOCAL mainstay.scope = 'all'"), 3, "{table}");
        }
        for table in INNER {
            assert_eq!(seen(table, "SET LOCAL mainstay.tenant = 't:acme'"), 0, "{table}");
        }
        let theirs = "SELECT count(*) FROM mainstay.event WHERE tenant = 'other'";
        assert_eq!(number(&url, ("BEGIN READ ONLY; SET LOCAL mainstay.tenant = 't:acme'", theirs)), Ok(0));
        // Nor does it write: outside of the lanes nothing is inserted or changed.
        let write =
            "BEGIN READ WRITE; SET LOCAL mainstay.tenant = 't:acme'; INSERT INTO mainstay.quiet VALUES ('', 1, '')";
        assert!(execute(&url, write).unwrap_err().contains("row-level security"));
        let change = "BEGIN READ WRITE; SET LOCAL mainstay.tenant = 't:acme'; UPDATE mainstay.event SET bytes = ''";
        execute(&url, &format!("{change}; COMMIT")).unwrap();
        let changed = "SELECT count(*) FROM mainstay.event WHERE bytes = ''";
        assert_eq!(number(&server.owner_url(&database), ("", changed)), Ok(0));
    });
}

#[test]
fn settings_that_lose_data_are_refused_by_name() {
    for version in Version::ALL {
        let Some(server) = version.start(&["fsync=off"]) else { continue };
        let refused = |options: Options| match postgres::open(options) {
            Err(Error::Unavailable(why)) => why,
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("it was accepted"),
        };
        let database = server.database();
        let why = refused(options(&server, &database));
        assert!(why.contains("fsync: ") && !why.contains("synchronous_standby_names"), "{why}");
        let why = refused(Options { failover: true, ..options(&server, &database) });
        assert!(why.contains("synchronous_standby_names: "), "{why}");
        let ascii = format!("CREATE DATABASE ascii OWNER {ROLE} ENCODING 'SQL_ASCII' TEMPLATE template0");
        server.as_owner(&ascii);
        let why = refused(options(&server, "ascii"));
        assert!(why.contains("server_encoding: "), "{why}");
        let why = refused(Options { url: server.url("none"), ..options(&server, &database) });
        assert!(why.contains("3D000"), "{why}");
    }
}

#[test]
fn many_that_start_at_once_migrate_once_and_a_later_format_is_refused() {
    each_version(|server| {
        let database = server.database();
        std::thread::scope(|scope| {
            let starts: Vec<_> = (0..6).map(|_| scope.spawn(|| open(server, &database).shards())).collect();
            starts.into_iter().for_each(|start| assert_eq!(start.join().unwrap(), 256));
        });
        let owner = server.owner_url(&database);
        assert_eq!(number(&owner, ("", "SELECT count(*) FROM mainstay.shard")), Ok(256));
        let fewer = postgres::open(Options { shards: 8, ..options(server, &database) }).unwrap();
        assert_eq!(fewer.shards(), 256, "chosen when the database was made, for good");

        // A later binary migrated, and its format is still understood by this one; then no longer.
        execute(&owner, "UPDATE mainstay.format SET format = 99, least_reader = 1").unwrap();
        let store = open(server, &database);
        wait(store.acquire(SHARD, [1; 16])).unwrap();
        execute(&owner, "UPDATE mainstay.format SET least_reader = 98").unwrap();
        let answer = wait(store.acquire(SHARD, [1; 16]));
        assert!(matches!(&answer, Err(Error::Unavailable(why)) if why.contains("format 99")), "{answer:?}");
        let Err(Error::Unavailable(why)) = postgres::open(options(server, &database)) else { panic!("it was opened") };
        assert!(why.contains("format 99") && why.contains("format 98") && why.contains("later version"), "{why}");
    });
}
