//! The tables of a store, as migrations: only ever added to.

use super::{
    link::Link,
    schema::{Migration, Shape},
};
use crate::error::Error;

/// Most shards that a database may have: each is a row, and a lease to renew.
const MOST_SHARDS: u16 = 4_096;

/// What the store keeps.
pub(super) const STORE: Shape = Shape { name: "store", migrations: &[Migration { sql: FIRST, least_reader: 1 }] };

/// The first shape.
///
/// A session's head is its row or its last event, whichever is further: a commit that only adds events touches no row
/// that exists. `event.op` is on the first event of a batch and `event.chain` on the last; `quiet` keeps the op of a
/// batch without events. Slices under `session.frame_floor` are dead and await deletion. Content is sealed, so nothing
/// tries to compress it, and rows stay whole up to what a page holds.
///
/// The second wall: row-level security on everything that belongs to a tenant, also against the tables' owner. A
/// connection that says `mainstay.scope = all` is a lane's or a recovery's; a transaction that says
/// `mainstay.tenant = t:<name>` sees that tenant's rows; one that says nothing sees nothing. The sub-selects are
/// evaluated once for a statement.
const FIRST: &str = include_str!("tables/0001.sql");

/// Makes or migrates the tables; answers how many shards there are.
pub(super) async fn prepare(link: &mut Link, shards: u16) -> Result<u16, Error> {
    if shards == 0 || shards > MOST_SHARDS {
        return Err(Error::Unavailable(format!("a database has 1 to {MOST_SHARDS} shards, not {shards}")));
    }
    let first = format!(
        "INSERT INTO mainstay.shard (id, epoch, commit_no, incarnation, lease_until)
         SELECT id, 0, 0, '', '-infinity' FROM generate_series(0, {}) AS s(id)",
        shards - 1
    );
    match STORE.version(link).await? {
        Some(version) if version.format >= STORE.format() => STORE.admit(version)?,
        _ => drop(STORE.migrate(link, &first).await?),
    }
    let count = link.run(async |client| client.query_one("SELECT count(*) FROM shard", &[]).await).await;
    let count = count.map_err(|failure| failure.before())?.get::<_, i64>(0);
    u16::try_from(count).map_err(|_| Error::Corrupt(format!("the database has {count} shards")))
}
