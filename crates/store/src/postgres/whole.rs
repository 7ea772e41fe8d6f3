//! A cluster's store as a whole, for its operator: read beside the nodes, a page at a time.

use std::{future::ready, path::PathBuf};

use mainstay_vocabulary::{Epoch, OpId, Sequence, SessionId, Shard, Tenant, Timestamp};
use tokio_postgres::{Client, Error as Failed, Row, types::ToSql};

use super::{Options, desk::Counter, schema::Version, tables::STORE};
use crate::{
    error::Error,
    seam::{Answer, MAX_ROWS, Remembered},
    whole::{Holding, Migrated, Outline, PAGE_BYTES, Page, Piece, Place, Record, Seen, Standing, Whole},
};

/// Lets a connection see the rows of all tenants.
pub(super) const ALL_TENANTS: &str = "SET mainstay.scope = 'all'";
/// Added to the format while a copy into the database is under way, so that no binary serves from it.
pub(super) const COPYING: i32 = 1_000_000;

/// A session: its row or its last event, whichever is further.
const OUTLINE: &str = "
SELECT s.tenant, greatest(s.sequence, coalesce(e.sequence, 0)),
    CASE WHEN e.sequence > s.sequence THEN e.chain ELSE s.chain END, s.open, s.erased,
    greatest(s.frame_next, coalesce(f.last + 1, 0)), (SELECT bytes FROM snapshot WHERE session = s.id)
FROM session s
LEFT JOIN LATERAL (SELECT sequence, chain FROM event WHERE session = s.id ORDER BY sequence DESC LIMIT 1) e ON true
LEFT JOIN LATERAL (SELECT last FROM frame WHERE session = s.id ORDER BY last DESC LIMIT 1) f ON true
WHERE s.id = $1";

/// Pieces by rank; see `Piece::place`. The running sum keeps a page within its bytes: lengths are read without content.
const BY_RANK: [&str; 6] = [
    "SELECT sequence, op, bytes FROM (
        SELECT sequence, op, bytes, sum(octet_length(bytes)) OVER (ORDER BY sequence) - octet_length(bytes) AS before
        FROM (SELECT sequence, op, bytes FROM event WHERE session = $1::bytea AND sequence > $2::int8 ORDER BY sequence LIMIT $4::int8) q
        WHERE $3::bytea IS NOT NULL
    ) r WHERE before < $5::int8 ORDER BY sequence",
    "SELECT expected, op FROM quiet WHERE session = $1::bytea AND (expected, op) > ($2::int8, $3::bytea) AND $5::int8 > 0
     ORDER BY expected, op LIMIT $4::int8",
    "SELECT first, last, bytes FROM (
        SELECT first, last, bytes, sum(octet_length(bytes)) OVER (ORDER BY last) - octet_length(bytes) AS before
        FROM (SELECT f.first, f.last, f.bytes FROM frame f JOIN session s ON s.id = f.session
            WHERE f.session = $1::bytea AND f.last >= s.frame_floor AND f.first > $2::int8 ORDER BY f.last LIMIT $4::int8) q
        WHERE $3::bytea IS NOT NULL
    ) r WHERE before < $5::int8 ORDER BY last",
    "SELECT digest, bytes FROM (
        SELECT digest, bytes, sum(octet_length(bytes)) OVER (ORDER BY digest) - octet_length(bytes) AS before
        FROM (SELECT digest, bytes FROM blob WHERE session = $1::bytea AND digest > $3::bytea ORDER BY digest LIMIT $4::int8) q
        WHERE $2::int8 IS NOT NULL
    ) r WHERE before < $5::int8 ORDER BY digest",
    "SELECT key, at FROM wakeup WHERE session = $1::bytea AND ($2::int8 < 0 OR key > convert_from($3::bytea, 'UTF8')) AND $5::int8 > 0
     ORDER BY key LIMIT $4::int8",
    "SELECT kind, key, value FROM (
        SELECT kind, key, value, sum(octet_length(value)) OVER (ORDER BY kind, key) - octet_length(value) AS before
        FROM (SELECT kind, key, value FROM entry WHERE session = $1::bytea
            AND ($2::int8 < 0 OR convert_to(kind, 'UTF8') || '\\x00'::bytea || key > $3::bytea) ORDER BY kind, key LIMIT $4::int8) q
    ) r WHERE before < $5::int8 ORDER BY kind, key",
];

/// Opens a database for its operator.
///
/// # Errors
/// `Unavailable`: there is no store, it is of a later format, nodes hold it and must not (`is_at_rest`).
pub fn look(options: Options, is_at_rest: bool) -> Result<std::sync::Arc<dyn Whole>, Error> {
    let kept = Kept::open(options)?;
    let version = kept.counter.ask(|desk| desk.with(async |link| STORE.version(link).await))?;
    admit(version)?;
    kept.count_shards()?;
    let holders = kept.stand(Timestamp(0))?.shards.iter().filter(|holding| holding.is_held).count();
    if is_at_rest && holders > 0 {
        let why = format!("nodes hold {holders} shards of the database; stop them first, and wait for their leases");
        return Err(Error::Unavailable(why));
    }
    Ok(std::sync::Arc::new(kept))
}

fn admit(version: Option<Version>) -> Result<(), Error> {
    let Some(version) = version else {
        return Err(Error::Unavailable("there is no store in the database".to_owned()));
    };
    if version.format >= COPYING {
        let why = "a copy into the database is not finished: run mainstay store copy again";
        return Err(Error::Unavailable(why.to_owned()));
    }
    STORE.admit(version)
}

/// Brings the tables to the format of this version, and makes them where there are none.
///
/// # Errors
/// `Unavailable`.
pub fn migrate(options: Options) -> Result<Migrated, Error> {
    let shards = options.shards;
    Kept::open(options)?.counter.ask(move |desk| {
        desk.with(async |link| {
            let from = STORE.version(link).await?.map_or(0, |version| version.format);
            let to = STORE.migrate(link, &first_shards(shards)).await?.format;
            Ok(Migrated { from: from as u32, to: to as u32 })
        })
    })
}

/// The shards of a new database.
pub(super) fn first_shards(shards: u16) -> String {
    format!(
        "INSERT INTO mainstay.shard (id, epoch, commit_no, incarnation, lease_until)
         SELECT id, 0, 0, '', '-infinity' FROM generate_series(0, {}) AS s(id)",
        shards.max(1) - 1
    )
}

/// An open database.
pub(super) struct Kept {
    pub(super) counter: Counter,
    pub(super) shards: std::sync::atomic::AtomicU16,
}

impl Kept {
    pub(super) fn open(options: Options) -> Result<Self, Error> {
        Ok(Self { counter: Counter::start(("operate", ALL_TENANTS), options, None)?, shards: 1.into() })
    }

    pub(super) fn count_shards(&self) -> Result<u16, Error> {
        let count =
            self.ask(async |client| client.query_one("SELECT count(*) FROM shard", &[]).await?.try_get::<_, i64>(0))?;
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        self.shards.store(count, std::sync::atomic::Ordering::Relaxed);
        Ok(count)
    }

    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl AsyncFn(&Client) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Error> {
        self.counter.ask(move |desk| desk.run(work))
    }

    fn stand(&self, now: Timestamp) -> Result<Standing, Error> {
        let now = i64::try_from(now.0).unwrap_or(i64::MAX);
        self.ask(async move |client| standing(client, now).await)
    }
}

impl Whole for Kept {
    fn standing(&self, now: Timestamp) -> Answer<'_, Standing> {
        Box::pin(ready(self.stand(now)))
    }

    fn backup(&self, _: PathBuf, _: Seen) -> Answer<'_, ()> {
        let how = "PostgreSQL is backed up by its own tools: pg_basebackup with an archive of the log, or pg_dump; see \
                   the guide to backups";
        Box::pin(ready(Err(Error::Unsupported(how.to_owned()))))
    }

    fn shards(&self) -> u16 {
        self.shards.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn sessions(&self, shard: Shard, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>> {
        let begin = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec()).max(shard.0.to_be_bytes().to_vec());
        let last = SessionId::new(shard, [0xff; 16]);
        let limit = limit.min(MAX_ROWS) as i64;
        let found = self.ask(async move |client| {
            let query = "SELECT id FROM session WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";
            let rows = client.query(query, &[&begin, &&last.as_bytes()[..], &limit]).await?;
            rows.iter().map(|row| session(row, 0)).collect()
        });
        Box::pin(ready(found))
    }

    fn outline(&self, session: SessionId) -> Answer<'_, Option<Outline>> {
        let found = self.ask(async move |client| {
            let row = client.query_opt(OUTLINE, &[&&session.as_bytes()[..]]).await?;
            row.as_ref().map(outline).transpose()
        });
        Box::pin(ready(found))
    }

    fn pieces(&self, session: SessionId, after: Option<Place>) -> Answer<'_, Page<Piece>> {
        Box::pin(ready(self.ask(async move |client| pieces(client, session, after.as_ref()).await)))
    }

    fn records(&self, shard: Shard, after: Option<Place>) -> Answer<'_, Page<Record>> {
        Box::pin(ready(self.ask(async move |client| records(client, shard, after.as_ref()).await)))
    }
}

async fn standing(client: &Client, now: i64) -> Result<Standing, Failed> {
    let counts = "SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM session WHERE open),
        (SELECT count(*) FROM session WHERE erased), (SELECT count(*) FROM event), (SELECT count(*) FROM wakeup),
        (SELECT count(*) FROM wakeup WHERE at <= $1), (SELECT count(*) FROM idempotency),
        pg_database_size(current_database()), (SELECT format FROM format WHERE name = 'store'),
        current_setting('server_version')";
    let row = client.query_one(counts, &[&now]).await?;
    let number = |column: usize| row.try_get::<_, i64>(column).map(|number| number as u64);
    let shards = "SELECT id, epoch, commit_no, incarnation, lease_until > now() FROM shard ORDER BY id";
    let holding = |row: &Row| {
        Ok(Holding {
            shard: Shard(row.try_get::<_, i16>(0)? as u16),
            epoch: Epoch(row.try_get::<_, i64>(1)? as u64),
            commits: row.try_get::<_, i64>(2)? as u64,
            holder: row.try_get::<_, &[u8]>(3)?.try_into().ok(),
            is_held: row.try_get(4)?,
        })
    };
    Ok(Standing {
        backend: format!("PostgreSQL {}", row.try_get::<_, &str>(9)?),
        format: row.try_get::<_, i32>(8)? as u32,
        bytes: number(7)?,
        sessions: number(0)?,
        open: number(1)?,
        erased: number(2)?,
        events: number(3)?,
        wakeups: (number(4)?, number(5)?),
        idempotency: number(6)?,
        shards: client.query(shards, &[]).await?.iter().map(holding).collect::<Result<_, Failed>>()?,
        ..Standing::default()
    })
}

/// Asks for all kinds at once and takes them in order until the page is full.
async fn pieces(client: &Client, session: SessionId, after: Option<&Place>) -> Result<Page<Piece>, Failed> {
    let mut page = Page { found: Vec::new(), more: false };
    let mut taken = 0;
    for rank in after.map_or(0, |place| place.0)..BY_RANK.len() as u8 {
        let from = after.filter(|place| place.0 == rank).map(|place| place.1.as_slice());
        let begin = if from.is_some() { 0 } else { -1 };
        let from = from.unwrap_or_default();
        let (number, rest) = match rank {
            0 | 2 => (from.first_chunk().map_or(-1, |bytes| i64::from_be_bytes(*bytes)), &[][..]),
            1 => (from.first_chunk().map_or(-1, |bytes| i64::from_be_bytes(*bytes)), from.get(8..).unwrap_or_default()),
            _ => (begin, from),
        };
        let (rows, bytes) = (MAX_ROWS as i64, PAGE_BYTES as i64);
        let values: [&(dyn ToSql + Sync); 5] = [&&session.as_bytes()[..], &number, &rest, &rows, &bytes];
        let found = client.query(BY_RANK[usize::from(rank)], &values).await?;
        let count = found.len();
        let mut size = 0;
        for row in &found {
            let piece = piece(rank, row)?;
            size += piece.bytes();
            page.found.push(piece);
        }
        taken += size;
        if count >= MAX_ROWS || size >= PAGE_BYTES || page.found.len() >= MAX_ROWS || taken >= PAGE_BYTES {
            page.more = true;
            page.found.truncate(MAX_ROWS);
            break;
        }
    }
    Ok(page)
}

fn piece(rank: u8, row: &Row) -> Result<Piece, Failed> {
    let number = |column: usize| row.try_get::<_, i64>(column).map(|number| number as u64);
    Ok(match rank {
        0 => Piece::Event {
            sequence: Sequence(number(0)?),
            op: row.try_get::<_, Option<&[u8]>>(1)?.and_then(|op| op.try_into().ok()).map(OpId),
            bytes: row.try_get::<_, &[u8]>(2)?.into(),
        },
        1 => Piece::Quiet {
            expected: Sequence(number(0)?),
            op: OpId(row.try_get::<_, &[u8]>(1)?.try_into().unwrap_or_default()),
        },
        2 => Piece::Slice { first: number(0)?, last: number(1)?, bytes: row.try_get::<_, &[u8]>(2)?.into() },
        3 => Piece::Blob { digest: digest(row, 0)?, bytes: row.try_get::<_, &[u8]>(1)?.into() },
        4 => Piece::Wakeup { key: row.try_get(0)?, at: Timestamp(number(1)?) },
        _ => Piece::Row { kind: row.try_get(0)?, key: row.try_get(1)?, value: row.try_get(2)? },
    })
}

async fn records(client: &Client, shard: Shard, after: Option<&Place>) -> Result<Page<Record>, Failed> {
    let mut found: Vec<Record> = Vec::new();
    let shard = shard.0 as i16;
    for rank in after.map_or(0, |place| place.0)..2 {
        let from = after.filter(|place| place.0 == rank).map(|place| place.1.as_slice());
        let begin = if from.is_some() { ">" } else { ">=" };
        let limit = (MAX_ROWS - found.len()) as i64;
        let query = match rank {
            0 => format!(
                "SELECT scope, session, sequence, request, expires FROM idempotency
                 WHERE shard = $1 AND scope {begin} $2 ORDER BY scope LIMIT $3"
            ),
            _ => format!(
                "SELECT account, amount FROM escrow WHERE shard = $1 AND account {begin} $2 ORDER BY account LIMIT $3"
            ),
        };
        let rows = client.query(&query, &[&shard, &from.unwrap_or_default(), &limit]).await?;
        for row in &rows {
            found.push(record(rank, row)?);
        }
        if found.len() >= MAX_ROWS {
            return Ok(Page { found, more: true });
        }
    }
    Ok(Page { found, more: false })
}

fn record(rank: u8, row: &Row) -> Result<Record, Failed> {
    if rank == 1 {
        return Ok(Record::Funds { account: row.try_get(0)?, amount: row.try_get(1)? });
    }
    let remembered = Remembered {
        session: session(row, 1)?,
        sequence: Sequence(row.try_get::<_, i64>(2)? as u64),
        request: digest(row, 3)?,
    };
    Ok(Record::Scope { scope: digest(row, 0)?, remembered, expires: Timestamp(row.try_get::<_, i64>(4)? as u64) })
}

fn outline(row: &Row) -> Result<Outline, Failed> {
    Ok(Outline {
        tenant: Tenant(row.try_get::<_, &str>(0)?.into()),
        sequence: Sequence(row.try_get::<_, i64>(1)? as u64),
        chain: digest(row, 2)?,
        open: row.try_get(3)?,
        erased: row.try_get(4)?,
        frame_next: row.try_get::<_, i64>(5)? as u64,
        snapshot: row.try_get::<_, Option<&[u8]>>(6)?.map(Into::into),
    })
}

fn session(row: &Row, column: usize) -> Result<SessionId, Failed> {
    Ok(SessionId::from_bytes(row.try_get::<_, &[u8]>(column)?.try_into().unwrap_or([0xff; 18])))
}

/// Of another length it is no digest: whoever compares it finds that.
fn digest(row: &Row, column: usize) -> Result<[u8; 32], Failed> {
    Ok(row.try_get::<_, &[u8]>(column)?.try_into().unwrap_or([0xff; 32]))
}
