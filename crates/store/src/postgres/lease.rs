//! Who holds which shard and who is there, by the database's clock.

use std::collections::HashSet;

use mainstay_vocabulary::Shard;
use tokio_postgres::{Client, Error as Failed};

use super::{
    lane::epoch,
    link::{Failure, Link},
    request::Taken,
    schema::Version,
    tables::STORE,
};
use crate::{
    error::Error,
    seam::{Incarnation, Lease, Members, Node},
};

/// Takes a shard whose lease ran out or is this incarnation's own. Waits for a transaction under the lease before:
/// that holds the row.
const TAKE: &str = "
UPDATE shard SET epoch = epoch + 1, incarnation = $2, lease_until = clock_timestamp() + make_interval(secs => $3)
WHERE id = $1 AND (lease_until <= clock_timestamp() OR incarnation = $2) RETURNING epoch, commit_no";
/// What a planted bug is content with.
const FOUND: &str = "SELECT epoch, commit_no FROM shard WHERE id = $1";
const EXISTS: &str = "SELECT count(*) FROM shard WHERE id = $1";
const FORMAT: &str = "SELECT format, least_reader FROM mainstay.format WHERE name = $1";
/// Rows that are locked are being written to: they are not waited for, because other rows are locked meanwhile.
const RENEW: &str = "
UPDATE shard s SET lease_until = clock_timestamp() + make_interval(secs => $3) FROM (
    SELECT h.id FROM unnest($1::int2[], $2::int8[]) AS u(id, epoch) JOIN shard h ON h.id = u.id AND h.epoch = u.epoch
    FOR NO KEY UPDATE OF h SKIP LOCKED
) held WHERE s.id = held.id RETURNING s.id, s.epoch";
/// One row, and so waited for without harm.
const RENEW_ONE: &str = "
UPDATE shard SET lease_until = clock_timestamp() + make_interval(secs => $3) WHERE id = $1 AND epoch = $2 RETURNING id, epoch";
const RELEASE: &str = "UPDATE shard SET lease_until = '-infinity' WHERE id = $1 AND epoch = $2";
const ANNOUNCE: &str = "
INSERT INTO node (incarnation, address, draining, until)
VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
ON CONFLICT (incarnation) DO UPDATE
SET address = excluded.address, draining = excluded.draining, until = excluded.until";
/// Long enough that nobody can still look for it.
const FORGET: &str = "DELETE FROM node WHERE until < clock_timestamp() - interval '1 hour'";
const NODES: &str = "SELECT incarnation, address, draining FROM node WHERE until > clock_timestamp()";
const HOLDERS: &str = "SELECT id, incarnation FROM shard WHERE lease_until > clock_timestamp()";
const EXPIRE: &str = "
DELETE FROM idempotency WHERE shard = $1 AND scope IN
    (SELECT scope FROM idempotency WHERE shard = $1 AND expires < $2 ORDER BY expires LIMIT $3)";
/// Dead frames that commits left behind.
const CLEAN: &str = "
DELETE FROM frame WHERE ctid = ANY(ARRAY(
    SELECT f.ctid FROM frame f WHERE f.session > $1 AND f.session <= $2
        AND f.last < (SELECT frame_floor FROM session WHERE id = f.session) LIMIT $3))";
/// Rows of each kind that one sweep removes.
const SWEPT: i64 = 2_000;

/// How long a lease runs, as the statements want it.
fn seconds(lease_ms: u64) -> f64 {
    lease_ms as f64 / 1_000.0
}

/// Some work as one transaction that writes, acknowledged only where the server did not give up a wait for a standby.
async fn transact<T>(
    link: &mut Link,
    work: impl AsyncFnOnce(&Client) -> Result<T, Failed>,
) -> Result<Result<T, Error>, Failure> {
    link.warnings();
    let done = link
        .run(async |client| {
            client.batch_execute(super::commit::BEGIN).await?;
            let value = work(client).await?;
            client.batch_execute("COMMIT").await?;
            Ok(value)
        })
        .await?;
    Ok(match link.warnings().first() {
        Some(warning) => Err(Error::Unavailable(format!("the change is not sure yet: {}", warning.message()))),
        None => Ok(done),
    })
}

pub(super) async fn acquire(
    link: &mut Link,
    (shard, incarnation): (Shard, Incarnation),
    (lease_ms, renames): (u64, bool),
) -> Result<Result<Taken, Error>, Failure> {
    let id = shard.0 as i16;
    let taken = transact(link, async |client| {
        let format = client.query_one(FORMAT, &[&STORE.name]).await?;
        let version = Version { format: format.try_get(0)?, least_reader: format.try_get(1)? };
        // A migration that this binary cannot follow may have been made since it started.
        if let Err(error) = STORE.admit(version) {
            return Ok(Err(error));
        }
        if !renames {
            let row = client.query_one(FOUND, &[&id]).await?;
            return Ok(Ok(Taken { shard, epoch: epoch(row.try_get(0)?), commit_no: row.try_get(1)? }));
        }
        let row = client.query_opt(TAKE, &[&id, &&incarnation[..], &seconds(lease_ms)]).await?;
        match row {
            Some(row) => Ok(Ok(Taken { shard, epoch: epoch(row.try_get(0)?), commit_no: row.try_get(1)? })),
            None if client.query_one(EXISTS, &[&id]).await?.try_get::<_, i64>(0)? == 0 => {
                Ok(Err(Error::Malformed("there is no such shard")))
            }
            None => Ok(Err(Error::Held)),
        }
    })
    .await?;
    Ok(taken.and_then(|taken| taken))
}

pub(super) async fn renew(
    link: &mut Link,
    leases: &[Lease],
    lease_ms: u64,
) -> Result<Result<Vec<Lease>, Error>, Failure> {
    let (ids, epochs): (Vec<i16>, Vec<i64>) =
        leases.iter().map(|lease| (lease.shard.0 as i16, lease.epoch.0 as i64)).unzip();
    let secs = seconds(lease_ms);
    let renewed = transact(link, async |client| client.query(RENEW, &[&ids, &epochs, &secs]).await).await?;
    let place = |row: &tokio_postgres::Row| (row.get::<_, i16>(0), row.get::<_, i64>(1));
    let mut held: HashSet<(i16, i64)> = match renewed {
        Ok(rows) => rows.iter().map(place).collect(),
        Err(error) => return Ok(Err(error)),
    };
    for (id, epoch) in ids.iter().zip(&epochs) {
        if held.contains(&(*id, *epoch)) {
            continue;
        }
        match transact(link, async |client| client.query(RENEW_ONE, &[id, epoch, &secs]).await).await? {
            Ok(rows) => held.extend(rows.iter().map(place)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let holds = |lease: &Lease| held.contains(&(lease.shard.0 as i16, lease.epoch.0 as i64));
    Ok(Ok(leases.iter().copied().filter(holds).collect()))
}

pub(super) async fn release(link: &mut Link, lease: Lease) -> Result<Result<(), Error>, Failure> {
    let (id, epoch) = (lease.shard.0 as i16, lease.epoch.0 as i64);
    transact(link, async |client| client.execute(RELEASE, &[&id, &epoch]).await.map(drop)).await
}

pub(super) async fn announce(link: &mut Link, node: &Node, lease_ms: u64) -> Result<Result<(), Error>, Failure> {
    transact(link, async |client| {
        client.execute(FORGET, &[]).await?;
        let values = client
            .execute(ANNOUNCE, &[&&node.incarnation[..], &node.address, &node.draining, &seconds(lease_ms)])
            .await;
        values.map(drop)
    })
    .await
}

pub(super) async fn members(link: &mut Link) -> Result<Members, Failure> {
    let ask = async |client: &Client| tokio::try_join!(client.query(NODES, &[]), client.query(HOLDERS, &[]));
    let (nodes, holders) = link.run(ask).await?;
    let said = |error| Failure::Said(error);
    let node = |row: &tokio_postgres::Row| {
        let incarnation = super::facts::bytes(row, 0)?;
        Ok(Node { incarnation, address: row.try_get(1)?, draining: row.try_get(2)? })
    };
    let holder =
        |row: &tokio_postgres::Row| Ok((Shard(row.try_get::<_, i16>(0)? as u16), super::facts::bytes(row, 1)?));
    Ok(Members {
        nodes: nodes.iter().map(node).collect::<Result<_, Failed>>().map_err(said)?,
        holders: holders.iter().map(holder).collect::<Result<_, Failed>>().map_err(said)?,
    })
}

/// Removes what expired. Not under the fence: what goes is dead whoever holds the shard.
pub(super) async fn sweep(link: &mut Link, shard: Shard, now: u64) -> Result<Result<(), Error>, Failure> {
    let (lowest, mut highest) = (shard.0.to_be_bytes().to_vec(), vec![0xff; 18]);
    highest[..2].copy_from_slice(&lowest);
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    transact(link, async |client| {
        client.batch_execute("SET LOCAL mainstay.scope = 'all'").await?;
        client.execute(EXPIRE, &[&(shard.0 as i16), &now, &SWEPT]).await?;
        client.execute(CLEAN, &[&lowest, &highest, &SWEPT]).await.map(drop)
    })
    .await
}
