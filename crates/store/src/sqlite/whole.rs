//! The embedded store as a whole, for its operator: opened to be read beside a server, or alone. Every read is short,
//! so that a server's checkpoints go on; only a backup holds one moment for as long as it takes.

use std::{
    fs::{self, File},
    future::ready,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mainstay_vocabulary::{Epoch, SessionId, Shard, Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{backup, blobs::Blobs, fault, file::Folder, frames::Frames, pieces, rows, schema};
use crate::{
    error::Error,
    seam::{Answer, MAX_ROWS},
    whole::{Holding, Outline, Page, Piece, Place, Record, Seen, Standing, Whole},
};

/// Findings of SQLite's own check that are told.
const FINDINGS: u32 = 100;

/// Whether another process may have the store open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// A server may serve from it meanwhile.
    Allowed,
    /// It must be at rest, and stays so for as long as it is looked at.
    Refused,
}

/// Opens the store of a data directory for its operator.
///
/// # Errors
/// `Unavailable`: there is none, it is of another format, it is in use and must not be.
pub fn look(dir: PathBuf, others: Others) -> Result<Arc<dyn Whole>, Error> {
    let folder = Folder::new(dir);
    folder.must_exist()?;
    let lock = match folder.take_lock()? {
        Ok(lock) => Some(lock),
        Err(_) if others == Others::Allowed => None,
        Err(holder) => return Err(Error::Unavailable(format!("{holder}; stop it first"))),
    };
    let connection = folder.reader().map_err(|error| fault::before_commit(&error))?;
    Folder::recognise(&connection)?;
    Ok(Arc::new(Kept::new(folder, connection, lock)))
}

/// An open store.
pub(super) struct Kept {
    pub(super) folder: Folder,
    connection: Mutex<Connection>,
    /// Where slices lie, and the version of the database that this was read from.
    frames: Mutex<Option<(i64, Frames)>>,
    /// Held where no server has it.
    lock: Option<File>,
}

impl Kept {
    pub(super) const fn new(folder: Folder, connection: Connection, lock: Option<File>) -> Self {
        Self { folder, connection: Mutex::new(connection), frames: Mutex::new(None), lock }
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        // A statement that panicked leaves no transaction behind: they are rolled back when dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a query now.
    pub(super) fn ask<'a, T: Send + 'a>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Answer<'a, T> {
        let answer = query(&self.connection()).map_err(|error| fault::before_commit(&error));
        Box::pin(ready(answer))
    }

    /// Rows of a session's slices that are held.
    fn slice_rows(&self, connection: &Connection, session: i64) -> rusqlite::Result<Vec<i64>> {
        let version = connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0))?;
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        // What this connection wrote itself does not count as a change, so a receiver never trusts what it read before.
        if self.lock.is_some() && !connection.is_readonly("main")? {
            *frames = None;
        }
        let loaded = match frames.take() {
            Some((known, loaded)) if known == version => loaded,
            _ => Frames::load(connection)?,
        };
        let rows = loaded.rows(session).collect();
        *frames = Some((version, loaded));
        Ok(rows)
    }

    fn read_pieces(&self, session: SessionId, after: Option<&Place>) -> Result<Page<Piece>, Error> {
        let connection = self.connection();
        let asked = |error: rusqlite::Error| fault::before_commit(&error);
        let key = "SELECT key FROM session WHERE id = ?";
        let key = connection
            .prepare_cached(key)
            .and_then(|mut key| key.query_row([session.as_bytes()], |row| row.get::<_, i64>(0)).optional());
        let Some(key) = key.map_err(asked)? else { return Ok(Page { found: Vec::new(), more: false }) };
        let slices = self.slice_rows(&connection, key).map_err(asked)?;
        pieces::read(&connection, &Blobs::new(self.folder.blobs()), (session, key, &slices), after)
    }

    fn stand(&self, now: Timestamp) -> Result<Standing, Error> {
        let connection = self.connection();
        let mut standing = count(&connection, now).map_err(|error| fault::before_commit(&error))?;
        if self.lock.is_some() {
            standing.shards.iter_mut().for_each(|holding| holding.is_held = false);
        }
        for file in [self.folder.database(), self.folder.log()] {
            standing.bytes += fs::metadata(file).map_or(0, |found| found.len());
        }
        for file in fs::read_dir(self.folder.blobs()).into_iter().flatten().flatten() {
            standing.files.0 += 1;
            standing.files.1 += file.metadata().map_or(0, |found| found.len());
        }
        Ok(standing)
    }
}

impl Whole for Kept {
    fn standing(&self, now: Timestamp) -> Answer<'_, Standing> {
        Box::pin(ready(self.stand(now)))
    }

    fn examine(&self) -> Answer<'_, Vec<String>> {
        self.ask(|connection| {
            let mut check = connection.prepare(&format!("PRAGMA integrity_check({FINDINGS})"))?;
            let found: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(found.into_iter().filter(|line| line != "ok").collect())
        })
    }

    fn backup(&self, into: PathBuf, seen: Seen) -> Answer<'_, ()> {
        Box::pin(ready(backup::write(self, &into, &seen)))
    }

    fn shards(&self) -> u16 {
        shards(&self.connection()).unwrap_or(1)
    }

    fn sessions(&self, shard: Shard, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>> {
        self.ask(|connection| {
            // Two bytes alone sort before all ids that begin with them.
            let begin = after.map_or_else(|| shard.0.to_be_bytes().to_vec(), |after| after.as_bytes().to_vec());
            let begin = begin.max(shard.0.to_be_bytes().to_vec());
            let last = SessionId::new(shard, [0xff; 16]);
            let mut ids =
                connection.prepare_cached("SELECT id FROM session WHERE id > ? AND id <= ? ORDER BY id LIMIT ?")?;
            let limit = limit.min(MAX_ROWS) as i64;
            ids.query_map(params![begin, last.as_bytes(), limit], |row| rows::session_id(row, 0))?.collect()
        })
    }

    fn outline(&self, session: SessionId) -> Answer<'_, Option<Outline>> {
        self.ask(|connection| {
            // The highest ordinal may be newer than the row tells: see `frames`.
            let mut row = connection.prepare_cached(
                "SELECT tenant, sequence, chain, open, erased, frame_next, bytes, key
                 FROM session LEFT JOIN snapshot ON snapshot.session = session.key WHERE id = ?",
            )?;
            let found = row.query_row([session.as_bytes()], |row| Ok((outline(row)?, row.get::<_, i64>(7)?)));
            let Some((mut outline, key)) = found.optional()? else { return Ok(None) };
            if let Some(last) = self.slice_rows(connection, key)?.last() {
                let last =
                    connection.query_row("SELECT last FROM frame WHERE id = ?", [last], |row| row.get::<_, i64>(0));
                let next = last.optional()?.map_or(0, |last| last as u64 + 1);
                outline.frame_next = outline.frame_next.max(next);
            }
            Ok(Some(outline))
        })
    }

    fn pieces(&self, session: SessionId, after: Option<Place>) -> Answer<'_, Page<Piece>> {
        Box::pin(ready(self.read_pieces(session, after.as_ref())))
    }

    fn records(&self, shard: Shard, after: Option<Place>) -> Answer<'_, Page<Record>> {
        self.ask(|connection| pieces::records(connection, shard, after.as_ref()))
    }
}

/// As many shards as the highest that was ever taken asks for: one, unless it came from a cluster.
pub(super) fn shards(connection: &Connection) -> rusqlite::Result<u16> {
    let highest = connection.query_row("SELECT max(id) FROM shard", [], |row| row.get::<_, Option<u16>>(0))?;
    Ok(highest.unwrap_or(0).saturating_add(1))
}

fn outline(row: &Row<'_>) -> rusqlite::Result<Outline> {
    Ok(Outline {
        tenant: Tenant(row.get_ref(0)?.as_str()?.into()),
        sequence: rows::sequence(row, 1)?,
        chain: row.get(2)?,
        open: row.get(3)?,
        erased: row.get(4)?,
        frame_next: row.get::<_, i64>(5)? as u64,
        snapshot: row.get_ref(6)?.as_blob_or_null()?.map(Into::into),
    })
}

fn count(connection: &Connection, now: Timestamp) -> rusqlite::Result<Standing> {
    let number =
        |query: &str| connection.query_row(query, [], |row| Ok(row.get::<_, Option<i64>>(0)?.unwrap_or(0) as u64));
    let now = now.0.min(i64::MAX as u64);
    let mut shards = connection.prepare("SELECT id, epoch, commit_no, incarnation FROM shard ORDER BY id")?;
    let holding = |row: &Row<'_>| {
        Ok(Holding {
            shard: Shard(row.get(0)?),
            epoch: Epoch(row.get::<_, i64>(1)? as u64),
            commits: row.get::<_, i64>(2)? as u64,
            holder: Some(row.get(3)?),
            is_held: true,
        })
    };
    Ok(Standing {
        backend: format!("SQLite {}", rusqlite::version()),
        format: schema::FORMAT as u32,
        sessions: number("SELECT count(*) FROM session")?,
        open: number("SELECT count(*) FROM session WHERE open = 1")?,
        erased: number("SELECT count(*) FROM session WHERE erased = 1")?,
        events: number("SELECT count(*) FROM event")?,
        wakeups: (
            number("SELECT count(*) FROM wakeup")?,
            number(&format!("SELECT count(*) FROM wakeup WHERE at <= {now}"))?,
        ),
        idempotency: number("SELECT count(*) FROM idempotency")?,
        shards: shards.query_map([], holding)?.collect::<Result<_, _>>()?,
        ..Standing::default()
    })
}

impl Folder {
    /// Refuses a directory without a database, before anything is made there.
    pub(super) fn must_exist(&self) -> Result<(), Error> {
        if self.database().exists() {
            return Ok(());
        }
        Err(Error::Unavailable(format!("there is no store in {}", self.path().display())))
    }
}
