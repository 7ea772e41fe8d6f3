//! Everything that is held of a session or shard, read in order from wherever a page ended.

use std::fs;

use mainstay_vocabulary::{OpId, Sequence, SessionId, Shard, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{blobs::Blobs, fault, rows};
use crate::{
    error::Error,
    seam::{MAX_ROWS, Remembered},
    whole::{PAGE_BYTES, Page, Piece, Place, Record},
};

/// The queries by rank; see `Piece::place`. Each is given the session's key and the key of the last piece.
const BY_RANK: [&str; 6] = [
    "SELECT sequence, op, bytes FROM event WHERE session = ?1 AND sequence > ?2 ORDER BY sequence",
    "SELECT expected, op FROM quiet WHERE session = ?1 AND (expected, op) > (?2, ?3) ORDER BY expected, op",
    "",
    "SELECT digest, bytes FROM blob WHERE session = ?1 AND digest > ?2 ORDER BY digest",
    "SELECT key, at FROM wakeup WHERE session = ?1 AND (key > ?2 OR ?3) ORDER BY key",
    "SELECT kind, key, value FROM entry WHERE session = ?1 AND (kind, key) > (?2, ?3) ORDER BY kind, key",
];
/// Rank of slices, whose rows the caller knows.
const SLICES: u8 = 2;

/// A page under way.
struct Gather {
    found: Vec<Piece>,
    bytes: usize,
}

impl Gather {
    fn is_full(&self) -> bool {
        self.found.len() >= MAX_ROWS || self.bytes >= PAGE_BYTES
    }

    fn push(&mut self, piece: Piece) {
        self.bytes += piece.bytes();
        self.found.push(piece);
    }
}

/// Reads a page of a session with this key and these rows of slices.
pub(super) fn read(
    connection: &Connection,
    blobs: &Blobs,
    (session, key, slices): (SessionId, i64, &[i64]),
    after: Option<&Place>,
) -> Result<Page<Piece>, Error> {
    let asked = |error: rusqlite::Error| fault::before_commit(&error);
    let mut page = Gather { found: Vec::new(), bytes: 0 };
    let first = after.map_or(0, |place| place.0);
    for rank in first..BY_RANK.len() as u8 {
        let from = after.filter(|place| place.0 == rank).map(|place| place.1.as_slice());
        if rank == SLICES {
            read_slices(connection, slices, (from, &mut page)).map_err(asked)?;
        } else {
            read_rank(connection, (key, rank), (from, &mut page)).map_err(asked)?;
        }
        if page.is_full() {
            break;
        }
    }
    let is_cut = fill(connection, blobs, session, &mut page.found)?;
    Ok(Page { more: is_cut || page.is_full(), found: page.found })
}

fn read_rank(
    connection: &Connection,
    (session, rank): (i64, u8),
    (from, page): (Option<&[u8]>, &mut Gather),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(BY_RANK[usize::from(rank)])?;
    let number = |bytes: &[u8]| bytes.first_chunk().map_or(-1, |bytes| i64::from_be_bytes(*bytes));
    let begins = from.is_none();
    let from = from.unwrap_or_default();
    let mut found = match rank {
        0 => statement.query(params![session, number(from)])?,
        1 => statement.query(params![session, number(from), from.get(8..).unwrap_or_default()])?,
        3 => statement.query(params![session, from])?,
        4 => statement.query(params![session, String::from_utf8_lossy(from), begins])?,
        _ => {
            let end = from.iter().position(|byte| *byte == 0).unwrap_or(0);
            let kind = String::from_utf8_lossy(&from[..end]);
            statement.query(params![session, kind, from.get(end + 1..).unwrap_or_default()])?
        }
    };
    while !page.is_full() {
        let Some(row) = found.next()? else { break };
        page.push(piece(rank, row)?);
    }
    Ok(())
}

fn piece(rank: u8, row: &Row<'_>) -> rusqlite::Result<Piece> {
    Ok(match rank {
        0 => Piece::Event {
            sequence: rows::sequence(row, 0)?,
            op: row.get::<_, Option<_>>(1)?.map(OpId),
            bytes: row.get_ref(2)?.as_blob()?.into(),
        },
        1 => Piece::Quiet { expected: rows::sequence(row, 0)?, op: OpId(row.get(1)?) },
        // One that is a file is filled in later: an empty one here is looked at again.
        3 => Piece::Blob { digest: row.get(0)?, bytes: row.get_ref(1)?.as_blob_or_null()?.unwrap_or_default().into() },
        4 => Piece::Wakeup { key: row.get(0)?, at: Timestamp(row.get::<_, i64>(1)? as u64) },
        _ => Piece::Row { kind: row.get(0)?, key: row.get(1)?, value: row.get(2)? },
    })
}

fn read_slices(
    connection: &Connection,
    rows: &[i64],
    (from, page): (Option<&[u8]>, &mut Gather),
) -> rusqlite::Result<()> {
    let from = from.and_then(<[u8]>::first_chunk).map(|bytes| u64::from_be_bytes(*bytes));
    let mut slice = connection.prepare_cached("SELECT first, last, bytes FROM frame WHERE id = ?")?;
    for row in rows {
        let found = slice.query_row([row], |row| {
            let bytes = row.get_ref(2)?.as_blob()?.into();
            Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64, bytes))
        });
        // A server may have dropped it since the directory was read.
        let Some((first, last, bytes)) = found.optional()? else { continue };
        if from.is_some_and(|from| first <= from) {
            continue;
        }
        if page.is_full() {
            break;
        }
        page.push(Piece::Slice { first, last, bytes });
    }
    Ok(())
}

/// Reads the blobs that are files. They count only as they are read, so a page that names many is cut here: `true`.
fn fill(connection: &Connection, blobs: &Blobs, session: SessionId, found: &mut Vec<Piece>) -> Result<bool, Error> {
    let mut taken = 0;
    for place in 0..found.len() {
        let Piece::Blob { digest, bytes } = &mut found[place] else { continue };
        if !bytes.is_empty() || !is_file(connection, &session, digest)? {
            continue;
        }
        if taken >= PAGE_BYTES {
            found.truncate(place);
            return Ok(true);
        }
        let path = blobs.path(&session, digest);
        *bytes = match fs::read(&path) {
            Ok(bytes) => bytes.into(),
            Err(error) if is_file(connection, &session, digest)? => {
                return Err(Error::Corrupt(format!("the blob file {}: {error}", path.display())));
            }
            Err(_) => return Err(Error::Unavailable(format!("session {session} was erased while it was read"))),
        };
        taken += bytes.len();
    }
    Ok(false)
}

fn is_file(connection: &Connection, session: &SessionId, digest: &[u8; 32]) -> Result<bool, Error> {
    rows::is_named(connection, session, digest).map_err(|error| fault::before_commit(&error))
}

/// Reads a page of what belongs to a shard.
pub(super) fn records(connection: &Connection, shard: Shard, after: Option<&Place>) -> rusqlite::Result<Page<Record>> {
    let mut found = Vec::new();
    for rank in after.map_or(0, |place| place.0)..2 {
        let from = after.filter(|place| place.0 == rank).map(|place| place.1.as_slice());
        // A page that begins a kind takes an empty account or scope too.
        let begin = if from.is_some() { ">" } else { ">=" };
        let left = (MAX_ROWS - found.len()) as i64;
        let query = match rank {
            0 => format!(
                "SELECT scope, session, sequence, request, expires FROM idempotency
                 WHERE shard = ? AND scope {begin} ? ORDER BY scope LIMIT ?"
            ),
            _ => format!(
                "SELECT account, amount FROM escrow WHERE shard = ? AND account {begin} ? ORDER BY account LIMIT ?"
            ),
        };
        let mut statement = connection.prepare_cached(&query)?;
        let page = statement.query_map(params![shard.0, from.unwrap_or_default(), left], |row| record(rank, row))?;
        found.extend(page.collect::<Result<Vec<_>, _>>()?);
        if found.len() >= MAX_ROWS {
            return Ok(Page { found, more: true });
        }
    }
    Ok(Page { found, more: false })
}

fn record(rank: u8, row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(match rank {
        0 => Record::Scope {
            scope: row.get(0)?,
            remembered: Remembered {
                session: rows::session_id(row, 1)?,
                sequence: Sequence(row.get::<_, i64>(2)? as u64),
                request: row.get(3)?,
            },
            expires: Timestamp(row.get::<_, i64>(4)? as u64),
        },
        _ => Record::Funds { account: row.get(0)?, amount: row.get(1)? },
    })
}
