//! The statements of one batch, table by table. Knows no order and no rule: `apply` does.

use mainstay_vocabulary::{Sequence, SessionId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{apply::Stop, blobs::LARGEST_ROW, heads::Head};
use crate::{
    error::Error,
    seam::{Batch, Blob, Digest, IndexChange, Remembered, WakeupChange},
};

/// Funds of the accounts that a batch touches, after it.
pub(super) type Funds<'a> = Vec<(&'a [u8], i64)>;

pub(super) fn remembered(connection: &Connection, batch: &Batch) -> rusqlite::Result<Option<Remembered>> {
    let Some(record) = &batch.idempotency else { return Ok(None) };
    find_remembered(connection, batch.session.shard().0, &record.scope)
}

pub(super) fn find_remembered(
    connection: &Connection,
    shard: u16,
    scope: &Digest,
) -> rusqlite::Result<Option<Remembered>> {
    connection
        .prepare_cached("SELECT session, sequence, request FROM idempotency WHERE shard = ? AND scope = ?")?
        .query_row(params![shard, scope], |row| {
            Ok(Remembered { session: session_id(row, 0)?, sequence: sequence(row, 1)?, request: row.get(2)? })
        })
        .optional()
}

/// Whether a batch without events was applied under this op.
pub(super) fn is_repeated(connection: &Connection, head: &Head, batch: &Batch) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM quiet WHERE session = ? AND expected = ? AND op = ?")?.exists(params![
        head.key,
        batch.expected.0 as i64,
        batch.op.0
    ])
}

/// What the accounts hold after the batch's moves, made one by one.
pub(super) fn moved_funds<'a>(connection: &Connection, batch: &'a Batch) -> Result<Funds<'a>, Stop> {
    let mut funds: Funds<'a> = Vec::new();
    for change in &batch.moves {
        let account = change.account.as_slice();
        let index = match funds.iter().position(|(name, _)| *name == account) {
            Some(index) => index,
            None => {
                funds.push((account, find_funds(connection, batch.session.shard().0, account)?));
                funds.len() - 1
            }
        };
        let sum = funds[index].1.checked_add(change.amount);
        let sum = sum.ok_or(Stop::Refused(Error::Malformed("an account would overflow")))?;
        // Putting funds in is never refused, so an account is never below zero.
        if sum < 0 {
            return Err(Stop::Refused(Error::Funds));
        }
        funds[index].1 = sum;
    }
    Ok(funds)
}

pub(super) fn find_funds(connection: &Connection, shard: u16, account: &[u8]) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT amount FROM escrow WHERE shard = ? AND account = ?")?
        .query_row(params![shard, account], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

pub(super) fn write_funds(connection: &Connection, batch: &Batch, funds: &Funds<'_>) -> rusqlite::Result<()> {
    for (account, amount) in funds {
        connection
            .prepare_cached(
                "INSERT INTO escrow (shard, account, amount) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET amount = ?3",
            )?
            .execute(params![batch.session.shard().0, account, amount])?;
    }
    Ok(())
}

/// Makes the head row, before its first event.
pub(super) fn create(connection: &Connection, batch: &Batch) -> rusqlite::Result<Head> {
    connection
        .prepare_cached(
            "INSERT INTO session (id, tenant, sequence, chain, open, erased, frame_next, frame_floor)
             VALUES (?, ?, 0, ?, ?, 0, 0, 0)",
        )?
        .execute(params![batch.session.as_bytes(), batch.tenant.0, batch.chain, batch.open])?;
    Ok(Head {
        key: connection.last_insert_rowid(),
        tenant: batch.tenant.clone(),
        sequence: 0,
        open: batch.open,
        erased: false,
        frame_next: 0,
        frame_floor: 0,
    })
}

pub(super) fn write_events(connection: &Connection, head: &Head, batch: &Batch) -> rusqlite::Result<()> {
    if batch.events.is_empty() {
        connection.prepare_cached("INSERT INTO quiet (session, expected, op) VALUES (?, ?, ?)")?.execute(params![
            head.key,
            batch.expected.0 as i64,
            batch.op.0
        ])?;
    }
    let mut insert =
        connection.prepare_cached("INSERT INTO event (session, sequence, op, bytes) VALUES (?, ?, ?, ?)")?;
    for (index, event) in batch.events.iter().enumerate() {
        let op = (index == 0).then_some(batch.op.0);
        insert.execute(params![head.key, batch.expected.0 as i64 + 1 + index as i64, op, &**event])?;
    }
    Ok(())
}

/// Wakeups, index rows, idempotency, blobs and snapshot.
pub(super) fn write_rest(connection: &Connection, head: &Head, batch: &Batch) -> rusqlite::Result<()> {
    for change in &batch.wakeups {
        write_wakeup(connection, head.key, (batch, change))?;
    }
    for change in &batch.index {
        write_entry(connection, head.key, (batch, change))?;
    }
    for blob in &batch.blobs {
        write_blob(connection, head.key, blob)?;
    }
    if let Some(record) = &batch.idempotency {
        connection
            .prepare_cached(
                "INSERT INTO idempotency (shard, scope, session, sequence, request, expires)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                batch.session.shard().0,
                record.scope,
                batch.session.as_bytes(),
                batch.expected.next().0 as i64,
                record.request,
                record.expires.0 as i64
            ])?;
    }
    if let Some(snapshot) = &batch.snapshot {
        connection
            .prepare_cached(
                "INSERT INTO snapshot (session, bytes) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET bytes = ?2",
            )?
            .execute(params![head.key, &**snapshot])?;
    }
    Ok(())
}

fn write_wakeup(connection: &Connection, key: i64, (batch, change): (&Batch, &WakeupChange)) -> rusqlite::Result<()> {
    match change.at {
        Some(at) => connection
            .prepare_cached(
                "INSERT INTO wakeup (session, key, shard, at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET at = ?4",
            )?
            .execute(params![key, change.key, batch.session.shard().0, at.0 as i64])?,
        None => connection
            .prepare_cached("DELETE FROM wakeup WHERE session = ? AND key = ?")?
            .execute(params![key, change.key])?,
    };
    Ok(())
}

fn write_entry(connection: &Connection, key: i64, (batch, change): (&Batch, &IndexChange)) -> rusqlite::Result<()> {
    let shard = batch.session.shard().0;
    match &change.value {
        Some(value) => connection
            .prepare_cached(
                "INSERT INTO entry (shard, tenant, kind, key, session, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET session = ?5, value = ?6",
            )?
            .execute(params![shard, batch.tenant.0, change.kind, change.key, key, value])?,
        None => connection
            .prepare_cached("DELETE FROM entry WHERE shard = ? AND tenant = ? AND kind = ? AND key = ?")?
            .execute(params![shard, batch.tenant.0, change.kind, change.key])?,
    };
    Ok(())
}

/// A digest that is there already keeps its content: it is the same, sealed another time.
fn write_blob(connection: &Connection, key: i64, blob: &Blob) -> rusqlite::Result<()> {
    let bytes = (blob.bytes.len() <= LARGEST_ROW).then_some(&*blob.bytes);
    connection
        .prepare_cached("INSERT INTO blob (session, digest, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
        .execute(params![key, blob.digest, bytes])?;
    Ok(())
}

/// Digests of a session's blobs that are files.
pub(super) fn file_names(connection: &Connection, key: i64) -> rusqlite::Result<Vec<Digest>> {
    let mut names = connection.prepare_cached("SELECT digest FROM blob WHERE session = ? AND bytes IS NULL")?;
    names.query_map([key], |row| row.get(0))?.collect()
}

/// Whether a row names this file.
pub(super) fn is_named(connection: &Connection, session: &SessionId, digest: &Digest) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM blob WHERE session = (SELECT key FROM session WHERE id = ?) AND digest = ? AND bytes IS NULL",
        )?
        .exists(params![session.as_bytes(), digest])
}

/// Deletes all content of a session but its frames.
pub(super) fn erase(connection: &Connection, key: i64) -> rusqlite::Result<()> {
    for statement in [
        "DELETE FROM event WHERE session = ?",
        "DELETE FROM quiet WHERE session = ?",
        "DELETE FROM snapshot WHERE session = ?",
        "DELETE FROM wakeup WHERE session = ?",
        "DELETE FROM entry WHERE session = ?",
        "DELETE FROM blob WHERE session = ?",
    ] {
        connection.prepare_cached(statement)?.execute([key])?;
    }
    Ok(())
}

/// Deletes at most `limit` idempotency records that expired before `now`.
pub(super) fn expire(connection: &Connection, shard: u16, (now, limit): (i64, i64)) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM idempotency WHERE shard = ?1 AND scope IN
             (SELECT scope FROM idempotency WHERE shard = ?1 AND expires < ?2 ORDER BY expires LIMIT ?3)",
        )?
        .execute(params![shard, now, limit])
}

pub(super) fn session_id(row: &Row<'_>, column: usize) -> rusqlite::Result<SessionId> {
    row.get(column).map(SessionId::from_bytes)
}

pub(super) fn sequence(row: &Row<'_>, column: usize) -> rusqlite::Result<Sequence> {
    Ok(Sequence(row.get::<_, i64>(column)? as u64))
}
