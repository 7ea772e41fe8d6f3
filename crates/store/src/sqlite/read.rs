//! Reading: a few threads, each with its own connection, and the queries they run. A read sees every commit that was
//! acknowledged before it began, and never waits for the writer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_vocabulary::{OpId, Sequence, SessionId, Shard, Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension, ToSql, params, params_from_iter};

use super::{file::Folder, rows};
use crate::{
    error::Error,
    queue::Queue,
    seam::{Direction, Entry, Head, IndexQuery, IndexRow, MAX_ROWS, Shards, Wakeup},
};

/// Threads and connections for reading: one may read a long journal while another answers short questions.
pub(super) const READERS: usize = 2;

/// A read to be done, given a connection or the reason why there is none.
pub(super) type Read = Box<dyn FnOnce(Result<&Connection, Error>) + Send>;

/// One thread's connection.
enum Slot {
    /// The lane is closed after a failure, or for good: what the files hold may not be shown.
    Closed,
    /// To be connected by the next read.
    Idle,
    Connected(Connection),
}

/// The reading side of a database.
pub(super) struct Readers {
    folder: Folder,
    pub(super) queue: Queue<Read>,
    slots: [Mutex<Slot>; READERS],
}

impl Readers {
    pub(super) fn new(folder: Folder) -> Arc<Self> {
        Arc::new(Self { folder, queue: Queue::new(), slots: [const { Mutex::new(Slot::Closed) }; READERS] })
    }

    /// Lets reads through.
    pub(super) fn open(&self) {
        self.slots.iter().for_each(|slot| *lock(slot) = Slot::Idle);
    }

    /// Waits for the reads under way and closes their connections; later ones are refused.
    pub(super) fn close(&self) {
        self.slots.iter().for_each(|slot| *lock(slot) = Slot::Closed);
    }

    /// A reading thread's life: until the queue is closed and empty.
    pub(super) fn serve(&self, slot: usize) {
        while let Some(read) = self.queue.take() {
            let mut slot = lock(&self.slots[slot]);
            match self.connect(&mut slot) {
                Ok(connection) => read(Ok(connection)),
                Err(error) => read(Err(error)),
            }
        }
    }

    fn connect<'a>(&self, slot: &'a mut Slot) -> Result<&'a Connection, Error> {
        if matches!(slot, Slot::Idle) {
            let connection = self.folder.reader().map_err(|error| Error::Unavailable(error.to_string()))?;
            *slot = Slot::Connected(connection);
        }
        match slot {
            Slot::Connected(connection) => Ok(connection),
            _ => Err(Error::Unavailable("the store is closed".to_owned())),
        }
    }
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    // A slot is replaced whole, so it is never half changed.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `session` as its key; NULL, which equals nothing, if it does not exist.
macro_rules! key_of_session {
    () => {
        "(SELECT key FROM session WHERE id = ?1)"
    };
}

/// The same if it is this tenant's.
macro_rules! key_of_tenants_session {
    () => {
        "(SELECT key FROM session WHERE id = ?1 AND tenant = ?2)"
    };
}

pub(super) fn outcome(
    connection: &Connection,
    session: SessionId,
    (expected, op): (Sequence, OpId),
) -> rusqlite::Result<bool> {
    let statement = concat!(
        "SELECT 1 FROM event WHERE session = ",
        key_of_session!(),
        " AND sequence = ?4 AND op = ?3 UNION ALL SELECT 1 FROM quiet WHERE session = ",
        key_of_session!(),
        " AND expected = ?2 AND op = ?3"
    );
    let expected = number(expected.0);
    connection.prepare_cached(statement)?.exists(params![
        session.as_bytes(),
        expected,
        op.0,
        expected.saturating_add(1)
    ])
}

pub(super) fn head(connection: &Connection, session: SessionId) -> rusqlite::Result<Option<Head>> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, sequence, chain, open, erased, bytes
         FROM session LEFT JOIN snapshot ON snapshot.session = session.key WHERE id = ?",
    )?;
    statement
        .query_row([session.as_bytes()], |row| {
            Ok(Head {
                tenant: Tenant(row.get_ref(0)?.as_str()?.into()),
                sequence: rows::sequence(row, 1)?,
                chain: row.get(2)?,
                open: row.get(3)?,
                erased: row.get(4)?,
                snapshot: row.get_ref(5)?.as_blob_or_null()?.map(Into::into),
            })
        })
        .optional()
}

pub(super) fn events(
    connection: &Connection,
    (tenant, session): (&Tenant, SessionId),
    (after, limit): (Sequence, usize),
) -> rusqlite::Result<Vec<Entry>> {
    let statement = concat!(
        "SELECT sequence, bytes FROM event WHERE session = ",
        key_of_tenants_session!(),
        " AND sequence > ?3 ORDER BY sequence LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(statement)?;
    let found = statement.query_map(params![session.as_bytes(), tenant.0, number(after.0), bounded(limit)], |row| {
        Ok(Entry { sequence: rows::sequence(row, 0)?, bytes: row.get_ref(1)?.as_blob()?.into() })
    })?;
    found.collect()
}

pub(super) fn open_sessions(
    connection: &Connection,
    mut shards: Vec<Shard>,
    (after, limit): (Option<SessionId>, usize),
) -> rusqlite::Result<Vec<SessionId>> {
    shards.sort_unstable();
    shards.dedup();
    let mut found = Vec::new();
    for shard in shards {
        let left = limit.min(MAX_ROWS) - found.len();
        found.extend(open_in(connection, shard, (after, left))?);
    }
    Ok(found)
}

fn open_in(
    connection: &Connection,
    shard: Shard,
    (after, limit): (Option<SessionId>, usize),
) -> rusqlite::Result<Vec<SessionId>> {
    // A shard's ids begin with its two bytes; two bytes alone sort before all of them.
    let begin = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec()).max(shard.0.to_be_bytes().to_vec());
    let last = SessionId::new(shard, [0xff; 16]);
    let mut statement = connection
        .prepare_cached("SELECT id FROM session WHERE open = 1 AND id > ? AND id <= ? ORDER BY id LIMIT ?")?;
    let found = statement.query_map(params![begin, last.as_bytes(), bounded(limit)], |row| rows::session_id(row, 0))?;
    found.collect()
}

pub(super) fn due(
    connection: &Connection,
    shards: Vec<Shard>,
    (until, limit): (Timestamp, usize),
) -> rusqlite::Result<Vec<Wakeup>> {
    let mut found = Vec::new();
    for shard in shards {
        found.extend(due_in(connection, shard, (until, limit))?);
    }
    found.sort_by(|one, other| (one.at, one.session, &one.key).cmp(&(other.at, other.session, &other.key)));
    found.truncate(limit.min(MAX_ROWS));
    Ok(found)
}

fn due_in(connection: &Connection, shard: Shard, (until, limit): (Timestamp, usize)) -> rusqlite::Result<Vec<Wakeup>> {
    let mut statement = connection.prepare_cached(
        "SELECT s.id, w.key, w.at FROM wakeup w JOIN session s ON s.key = w.session
         WHERE w.shard = ? AND w.at <= ? ORDER BY w.at, s.id, w.key LIMIT ?",
    )?;
    let found = statement.query_map(params![shard.0, number(until.0), bounded(limit)], |row| {
        Ok(Wakeup { session: rows::session_id(row, 0)?, key: row.get(1)?, at: Timestamp(row.get::<_, i64>(2)? as u64) })
    })?;
    found.collect()
}

pub(super) fn list(connection: &Connection, query: &IndexQuery) -> rusqlite::Result<Vec<IndexRow>> {
    let shards = match &query.shards {
        Shards::One(shard) => return list_in(connection, *shard, query),
        Shards::Some(shards) => shards.clone(),
        Shards::All => shards(connection)?,
    };
    let mut rows = Vec::new();
    for shard in shards {
        rows.extend(list_in(connection, shard, query)?);
    }
    rows.sort_by(|one, other| match query.direction {
        Direction::Ascending => one.key.cmp(&other.key),
        Direction::Descending => other.key.cmp(&one.key),
    });
    rows.truncate(query.limit.min(MAX_ROWS));
    Ok(rows)
}

fn shards(connection: &Connection) -> rusqlite::Result<Vec<Shard>> {
    let mut shards = connection.prepare_cached("SELECT id FROM shard")?;
    shards.query_map([], |row| Ok(Shard(row.get(0)?)))?.collect()
}

fn list_in(connection: &Connection, shard: Shard, query: &IndexQuery) -> rusqlite::Result<Vec<IndexRow>> {
    let end = end_of_prefix(&query.prefix);
    let (bound, order) = match query.direction {
        Direction::Ascending => (" AND e.key > ?", " ORDER BY e.key"),
        Direction::Descending => (" AND e.key < ?", " ORDER BY e.key DESC"),
    };
    let mut statement = String::from(
        "SELECT e.key, s.id, e.value FROM entry e JOIN session s ON s.key = e.session
         WHERE e.shard = ? AND e.tenant = ? AND e.kind = ? AND e.key >= ?",
    );
    let mut values: Vec<&dyn ToSql> = vec![&shard.0, &query.tenant.0, &query.kind, &query.prefix];
    if let Some(end) = &end {
        statement.push_str(" AND e.key < ?");
        values.push(end);
    }
    if let Some(after) = &query.after {
        statement.push_str(bound);
        values.push(after);
    }
    statement.push_str(order);
    statement.push_str(" LIMIT ?");
    let limit = bounded(query.limit);
    values.push(&limit);
    let mut statement = connection.prepare_cached(&statement)?;
    let found = statement.query_map(params_from_iter(values), |row| {
        Ok(IndexRow { key: row.get(0)?, session: rows::session_id(row, 1)?, value: row.get(2)? })
    })?;
    found.collect()
}

/// The content of a blob that is a row; `Some(None)` if it is a file.
pub(super) fn blob(
    connection: &Connection,
    (tenant, session): (&Tenant, SessionId),
    digest: &[u8; 32],
) -> rusqlite::Result<Option<Option<Arc<[u8]>>>> {
    let statement = concat!("SELECT bytes FROM blob WHERE session = ", key_of_tenants_session!(), " AND digest = ?3");
    connection
        .prepare_cached(statement)?
        .query_row(params![session.as_bytes(), tenant.0, digest], |row| {
            Ok(row.get_ref(0)?.as_blob_or_null()?.map(Into::into))
        })
        .optional()
}

/// The smallest key above all that begin with the prefix; `None` if there is no such key.
fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

/// A number as SQLite keeps it; one beyond is beyond all that is stored.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn bounded(limit: usize) -> i64 {
    limit.min(MAX_ROWS) as i64
}
