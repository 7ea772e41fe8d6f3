//! Questions. Each is a read-only transaction that says what it may see, sent as one round trip: a read sees every
//! commit that was acknowledged before it began, and never waits for a lane.

use std::sync::Arc;

use mainstay_vocabulary::{OpId, Sequence, SessionId, Shard, Tenant, Timestamp};
use tokio_postgres::{Error as Failed, Row, Statement, types::ToSql};

use super::{
    facts::{self, HEADS, SCOPES},
    link::{Failure, Link},
};
use crate::seam::{Digest, Direction, Entry, Head, IndexQuery, IndexRow, MAX_ROWS, Remembered, Shards, Slice, Wakeup};

const BEGIN: &str = "BEGIN READ ONLY";
/// What a transaction may see: the name of a setting and its value, for this transaction alone.
const SEE: &str = "SELECT set_config($1, $2, true)";

const OUTCOME: &str = "
SELECT 1 FROM event WHERE session = $1 AND sequence = $4 AND op = $3
UNION ALL SELECT 1 FROM quiet WHERE session = $1 AND expected = $2 AND op = $3";
/// `HEADS` of one session, with its snapshot: as of one moment.
const HEAD: &str = "
SELECT h.*, (SELECT bytes FROM snapshot WHERE session = h.id) FROM (";
const EVENTS: &str = "
SELECT sequence, bytes FROM event WHERE tenant = $1 AND session = $2 AND sequence > $3 ORDER BY sequence LIMIT $4";
const FRAMES: &str = "
SELECT f.first, f.last, f.bytes FROM frame f JOIN session s ON s.id = f.session
WHERE f.tenant = $1 AND f.session = $2 AND f.last >= s.frame_floor ORDER BY f.last";
const OPEN_SESSIONS: &str = "
SELECT o.id FROM unnest($1::bytea[], $2::bytea[]) AS u(lowest, highest), LATERAL (
    SELECT id FROM session WHERE open AND id > u.lowest AND id <= u.highest ORDER BY id LIMIT $3
) o ORDER BY o.id LIMIT $3";
const DUE: &str = "
SELECT d.session, d.key, d.at FROM unnest($1::int2[]) AS u(shard), LATERAL (
    SELECT session, key, at FROM wakeup WHERE shard = u.shard AND at <= $2 ORDER BY at, session, key LIMIT $3
) d ORDER BY d.at, d.session, d.key LIMIT $3";
const FUNDS: &str = "SELECT amount FROM escrow WHERE shard = $1 AND account = $2";
const BLOB: &str = "SELECT bytes FROM blob WHERE tenant = $1 AND session = $2 AND digest = $3";

/// What a question may see.
enum Sight<'a> {
    /// One tenant's rows.
    Of(&'a Tenant),
    /// All rows: recovery, and what names no tenant.
    All,
}

/// Asks one question.
async fn ask(
    link: &mut Link,
    sight: Sight<'_>,
    (text, values): (&str, &[&(dyn ToSql + Sync)]),
) -> Result<Vec<Row>, Failure> {
    let see = link.prepared(SEE).await?;
    let statement = link.prepared(text).await?;
    in_sight(link, (sight, &see), (&statement, values)).await
}

async fn in_sight(
    link: &mut Link,
    (sight, see): (Sight<'_>, &Statement),
    (statement, values): (&Statement, &[&(dyn ToSql + Sync)]),
) -> Result<Vec<Row>, Failure> {
    let (setting, value) = match sight {
        Sight::Of(tenant) => ("mainstay.tenant", format!("t:{}", tenant.0)),
        Sight::All => ("mainstay.scope", "all".to_owned()),
    };
    let seen: [&(dyn ToSql + Sync); 2] = [&setting, &value];
    let all = async |client: &tokio_postgres::Client| {
        let (begun, told, rows, ended) = tokio::join!(
            client.batch_execute(BEGIN),
            client.query(see, &seen),
            client.query(statement, values),
            client.batch_execute("COMMIT"),
        );
        begun?;
        told?;
        let rows = rows?;
        ended.map(|()| rows)
    };
    link.run(all).await
}

fn each<T>(rows: &[Row], value: impl Fn(&Row) -> Result<T, Failed>) -> Result<Vec<T>, Failure> {
    rows.iter().map(value).collect::<Result<_, _>>().map_err(Failure::Said)
}

pub(super) async fn outcome(
    link: &mut Link,
    session: SessionId,
    (expected, op): (Sequence, OpId),
) -> Result<bool, Failure> {
    let before = number(expected.0);
    let values: [&(dyn ToSql + Sync); 4] = [&&session.as_bytes()[..], &before, &&op.0[..], &before.saturating_add(1)];
    Ok(!ask(link, Sight::All, (OUTCOME, &values)).await?.is_empty())
}

pub(super) async fn head(link: &mut Link, session: SessionId) -> Result<Option<Head>, Failure> {
    let ids: &[&[u8]] = &[session.as_bytes()];
    let rows = ask(link, Sight::All, (&format!("{HEAD}{HEADS}) h"), &[&ids])).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let found = facts::head(row).map_err(Failure::Said)?;
    let snapshot: Option<&[u8]> = row.try_get(8).map_err(Failure::Said)?;
    Ok(Some(Head {
        tenant: found.tenant,
        sequence: Sequence(found.sequence),
        chain: found.chain,
        open: found.open,
        erased: found.erased,
        snapshot: snapshot.map(Into::into),
    }))
}

pub(super) async fn events(
    link: &mut Link,
    (tenant, session): (&Tenant, SessionId),
    (after, limit): (Sequence, usize),
) -> Result<Vec<Entry>, Failure> {
    let values: [&(dyn ToSql + Sync); 4] = [&&*tenant.0, &&session.as_bytes()[..], &number(after.0), &bounded(limit)];
    let rows = ask(link, Sight::Of(tenant), (EVENTS, &values)).await?;
    each(&rows, |row| Ok(Entry { sequence: Sequence(facts::number(row, 0)?), bytes: content(row, 1)? }))
}

pub(super) async fn frames(link: &mut Link, (tenant, session): (&Tenant, SessionId)) -> Result<Vec<Slice>, Failure> {
    let values: [&(dyn ToSql + Sync); 2] = [&&*tenant.0, &&session.as_bytes()[..]];
    let rows = ask(link, Sight::Of(tenant), (FRAMES, &values)).await?;
    each(&rows, |row| {
        Ok(Slice { session, first: facts::number(row, 0)?, last: facts::number(row, 1)?, bytes: content(row, 2)? })
    })
}

pub(super) async fn blob(
    link: &mut Link,
    (tenant, session): (&Tenant, SessionId),
    digest: &Digest,
) -> Result<Option<Arc<[u8]>>, Failure> {
    let values: [&(dyn ToSql + Sync); 3] = [&&*tenant.0, &&session.as_bytes()[..], &&digest[..]];
    let rows = ask(link, Sight::Of(tenant), (BLOB, &values)).await?;
    Ok(each(&rows, |row| content(row, 0))?.pop())
}

pub(super) async fn remembered(link: &mut Link, shard: Shard, scope: &Digest) -> Result<Option<Remembered>, Failure> {
    let (shards, scopes): (&[i16], &[&[u8]]) = (&[shard.0 as i16], &[scope]);
    let rows = ask(link, Sight::All, (SCOPES, &[&shards, &scopes])).await?;
    Ok(each(&rows, |row| facts::remembered(row, 2))?.pop())
}

pub(super) async fn funds(link: &mut Link, shard: Shard, account: &[u8]) -> Result<i64, Failure> {
    let rows = ask(link, Sight::All, (FUNDS, &[&(shard.0 as i16), &account])).await?;
    Ok(each(&rows, |row| row.try_get(0))?.pop().unwrap_or(0))
}

pub(super) async fn open_sessions(
    link: &mut Link,
    shards: &[Shard],
    (after, limit): (Option<SessionId>, usize),
) -> Result<Vec<SessionId>, Failure> {
    // A shard's ids begin with its two bytes; two bytes alone sort before all of them.
    let after = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
    let mut lowest: Vec<Vec<u8>> = shards.iter().map(|shard| shard.0.to_be_bytes().to_vec()).collect();
    lowest.iter_mut().for_each(|begin| *begin = after.clone().max(std::mem::take(begin)));
    let highest: Vec<Vec<u8>> =
        shards.iter().map(|shard| SessionId::new(*shard, [0xff; 16]).as_bytes().to_vec()).collect();
    let rows = ask(link, Sight::All, (OPEN_SESSIONS, &[&lowest, &highest, &bounded(limit)])).await?;
    each(&rows, |row| facts::id(row, 0))
}

pub(super) async fn due(
    link: &mut Link,
    shards: &[Shard],
    (until, limit): (Timestamp, usize),
) -> Result<Vec<Wakeup>, Failure> {
    let shards: Vec<i16> = shards.iter().map(|shard| shard.0 as i16).collect();
    let rows = ask(link, Sight::All, (DUE, &[&shards, &number(until.0), &bounded(limit)])).await?;
    each(&rows, |row| {
        Ok(Wakeup { session: facts::id(row, 0)?, key: row.try_get(1)?, at: Timestamp(facts::number(row, 2)?) })
    })
}

/// One range of one index, over all shards or filtered by some.
pub(super) async fn list(link: &mut Link, query: &IndexQuery) -> Result<Vec<IndexRow>, Failure> {
    let (end, limit) = (end_of_prefix(&query.prefix), bounded(query.limit));
    let shards: Option<Vec<i16>> = match &query.shards {
        Shards::One(shard) => Some(vec![shard.0 as i16]),
        Shards::Some(shards) => Some(shards.iter().map(|shard| shard.0 as i16).collect()),
        Shards::All => None,
    };
    let (bound, order) = match query.direction {
        Direction::Ascending => (">", "key, shard"),
        Direction::Descending => ("<", "key DESC, shard DESC"),
    };
    let tenant: &str = &query.tenant.0;
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&tenant, &query.kind, &query.prefix, &limit];
    let mut text = "SELECT key, session, value FROM entry WHERE tenant = $1 AND kind = $2 AND key >= $3".to_owned();
    let mut narrow = |what: &str, value, closes: &str| {
        values.push(value);
        text.push_str(&format!(" AND {what} ${}{closes}", values.len()));
    };
    if let Some(end) = &end {
        narrow("key <", end, "");
    }
    if let Some(after) = &query.after {
        narrow(&format!("key {bound}"), after, "");
    }
    if let Some(shards) = &shards {
        narrow("shard = ANY (", shards, ")");
    }
    text.push_str(&format!(" ORDER BY {order} LIMIT $4"));
    let rows = ask(link, Sight::Of(&query.tenant), (&text, &values)).await?;
    each(&rows, |row| Ok(IndexRow { key: row.try_get(0)?, session: facts::id(row, 1)?, value: row.try_get(2)? }))
}

/// The smallest key above all that begin with the prefix; `None` if there is no such key.
fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

fn content(row: &Row, column: usize) -> Result<Arc<[u8]>, Failed> {
    row.try_get::<_, &[u8]>(column).map(Into::into)
}

/// A number as PostgreSQL keeps it; one beyond is beyond all that is stored.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn bounded(limit: usize) -> i64 {
    limit.min(MAX_ROWS) as i64
}
