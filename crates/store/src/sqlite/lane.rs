//! The lane: the one place that writes to the database. It applies the requests that gathered as one transaction,
//! decides when the log is checkpointed, and after a failure refuses to write until the shard is taken anew.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use mainstay_vocabulary::{Epoch, SessionId, Shard, Tenant};
use rusqlite::{Connection, config::DbConfig, params};

use super::{
    apply::{self, Stop, Work},
    blobs::{self, Blobs},
    fault,
    file::Folder,
    frames::Frames,
    heads::Heads,
    read::Readers,
    request::{Answers, Request, Sweep},
    rows, schema, whole,
};
use crate::{
    error::Error,
    seam::{Lease, Slice},
};

/// The log is checkpointed once it holds a quarter of the database, within these bounds, in pages: a small database
/// stays small on disk; above, a longer log makes commits little cheaper (a page that many of them touch is written to
/// the database once) and the wait for a checkpoint longer.
const LOG_PAGES: std::ops::RangeInclusive<u64> = 256..=512;
/// Idempotency records that one sweep removes, so that it holds up the lane for some milliseconds only.
const EXPIRED_ROWS: i64 = 2_000;

/// What is open while the lane may write.
struct Open {
    connection: Connection,
    heads: Heads,
    frames: Frames,
    /// Pages in the log after the last commit, as SQLite told.
    log_pages: Arc<AtomicU64>,
    log_limit: u64,
}

/// The writer's state; lives on its thread.
///
/// After a failed fsync the kernel may count pages as clean that never reached the disk, and calling fsync again
/// succeeds without writing them. So the lane trusts nothing that was open: it closes every connection without a
/// checkpoint, and on the next `acquire` SQLite reads the log anew and a full checkpoint writes every page of it to the
/// database file and syncs that, before the new epoch (which overwrites the log from its start) makes the outcome
/// final. If that fails too, the lane stays closed.
pub(super) struct Lane {
    folder: Folder,
    blobs: Blobs,
    most_pages: Option<u64>,
    readers: Arc<Readers>,
    open: Option<Open>,
    /// Epochs that this process was given since the database was opened: a lease kept from before is not among them.
    epochs: HashMap<Shard, Epoch>,
    /// Closed for good: a shard can no longer be taken.
    ended: bool,
}

impl Lane {
    /// Opens the database for writing.
    pub(super) fn new(folder: Folder, readers: Arc<Readers>, most_pages: Option<u64>) -> Result<Self, Error> {
        let blobs = Blobs::new(folder.blobs());
        let mut lane = Self { folder, blobs, most_pages, readers, open: None, epochs: HashMap::new(), ended: false };
        lane.reopen()?;
        Ok(lane)
    }

    /// How many shards the database is of.
    pub(super) fn shards(&self) -> Result<u16, Error> {
        let open = self.open.as_ref().ok_or_else(ended)?;
        whole::shards(&open.connection).map_err(|error| fault::before_commit(&error))
    }

    /// Takes a shard, after opening the database again if a failure closed it.
    pub(super) fn acquire(&mut self, shard: Shard, incarnation: [u8; 16]) -> Result<Lease, Error> {
        if self.ended {
            return Err(ended());
        }
        if self.open.is_none() {
            self.reopen()?;
        }
        let taken = self.transact(|work| Ok(apply::take_shard(work.connection, shard.0.into(), &incarnation)?));
        let epoch = Epoch(taken?);
        self.epochs.insert(shard, epoch);
        Ok(Lease { shard, epoch })
    }

    /// Applies writes as one transaction and answers each. No answer, a refusal included, is given before the commit:
    /// it may rest on what another request of the same transaction wrote.
    pub(super) fn write(&mut self, requests: Vec<Request>) {
        let mut answers = Answers::with_capacity(requests.len());
        let epochs = std::mem::take(&mut self.epochs);
        let mut moved = Vec::new();
        let outcome = self.transact(|work| {
            for request in &requests {
                let answer = match admit(work, (&epochs, request.lease()), &mut moved) {
                    Ok(()) => request.apply(work),
                    Err(stop) => Err(stop),
                };
                match answer {
                    Ok(committed) => answers.push(Ok(committed)),
                    Err(Stop::Refused(error)) => answers.push(Err(error)),
                    Err(Stop::Broken(error)) => return Err(Stop::Broken(error)),
                }
            }
            work.frames.clean(work.connection)?;
            Ok(())
        });
        if self.open.is_some() {
            self.epochs = epochs;
        }
        match outcome {
            Ok(()) => requests.into_iter().zip(answers).for_each(|(request, answer)| request.reply(answer)),
            Err(error) => requests.into_iter().for_each(|request| request.reply(Err(error.clone()))),
        }
        self.checkpoint_if_due();
    }

    /// Slices that are held for a session. Read here, because only the lane knows where they lie.
    pub(super) fn frames(&mut self, tenant: &Tenant, session: SessionId) -> Result<Vec<Slice>, Error> {
        let open = self.open.as_mut().ok_or_else(ended)?;
        read_frames(open, (tenant, session)).map_err(|error| fault::before_commit(&error))
    }

    /// Removes expired idempotency records and the orphans among the named files.
    pub(super) fn sweep(&mut self, sweep: &Sweep) -> Result<(), Error> {
        let limits = (sweep.now.0.min(i64::MAX as u64) as i64, EXPIRED_ROWS);
        self.transact(|work| {
            rows::expire(work.connection, sweep.shard.0, limits)?;
            work.removed.extend_from_slice(&sweep.orphans);
            Ok(())
        })?;
        self.checkpoint_if_due();
        Ok(())
    }

    /// Closes for good. The last connection to close checkpoints and removes the log, so that one file remains.
    pub(super) fn close(&mut self) {
        self.ended = true;
        self.readers.close();
        if let Some(open) = self.open.take()
            && let Err(error) = open.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        {
            tracing::warn!(%error, "the log is left for the next start");
        }
    }

    /// The one function through which everything is written: all of `work`, or nothing.
    ///
    /// # Errors
    /// `Full`: nothing was written, and the lane goes on. Any other closes the lane until `acquire`; it is `Unknown`
    /// where the failure was COMMIT's.
    fn transact<T>(&mut self, work: impl FnOnce(&mut Work<'_>) -> Result<T, Stop>) -> Result<T, Error> {
        let Some(open) = self.open.as_mut() else { return Err(if self.ended { ended() } else { shut() }) };
        let mut removed = Vec::new();
        let outcome = run(open, &self.blobs, (&mut removed, work));
        match outcome {
            Ok(value) => {
                if !removed.is_empty() {
                    self.remove_files(removed);
                }
                Ok(value)
            }
            Err(error) => {
                self.fail(&error);
                Err(error)
            }
        }
    }

    /// Goes back to what is on disk.
    fn fail(&mut self, error: &Error) {
        let Some(open) = &mut self.open else { return };
        if matches!(error, Error::Full) && open.roll_back().is_ok() {
            return;
        }
        tracing::error!(%error, "writing failed; no write is accepted until the shard is taken anew");
        self.shut();
    }

    fn shut(&mut self) {
        self.readers.close();
        self.open = None;
        self.epochs.clear();
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let mut open = Open::new(&self.folder, self.most_pages)?;
        open.rewrite()?;
        open.grow(&self.folder);
        // SQLite syncs the name of a log that it makes, but does not say when that fails.
        self.folder.sync().map_err(|error| fault::file(&error))?;
        self.open = Some(open);
        self.readers.open();
        Ok(())
    }

    fn checkpoint_if_due(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.log_pages.load(Ordering::Relaxed) < open.log_limit {
            return;
        }
        match open.checkpoint() {
            Ok(true) => open.grow(&self.folder),
            Ok(false) => open.log_limit = open.log_pages.load(Ordering::Relaxed) + LOG_PAGES.start(),
            Err(error) if matches!(fault::before_commit(&error), Error::Full) => {
                tracing::warn!("no room to checkpoint the log; it grows until there is");
            }
            Err(error) => {
                tracing::error!(%error, "a checkpoint failed; no write is accepted until the shard is taken anew");
                self.shut();
            }
        }
    }

    /// Removes files that no row names, looking again: a later batch may have brought the same content back.
    fn remove_files(&self, mut paths: Vec<PathBuf>) {
        let Some(open) = &self.open else { return };
        paths.retain(|path| match blobs::parse(path) {
            Some((session, digest)) => rows::is_named(&open.connection, &session, &digest).is_ok_and(|named| !named),
            None => true,
        });
        self.blobs.remove(&paths);
    }
}

impl Open {
    fn new(folder: &Folder, most_pages: Option<u64>) -> Result<Self, Error> {
        let log_pages = Arc::new(AtomicU64::new(0));
        let opened = || {
            let mut connection = folder.writer()?;
            if let Some(pages) = most_pages {
                connection.pragma_update_and_check(None, "max_page_count", pages as i64, |_| Ok(()))?;
            }
            let told = Arc::clone(&log_pages);
            connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
                told.store(pages.max(0) as u64, Ordering::Relaxed);
                Ok(())
            }))?;
            let frames = Frames::load(&connection)?;
            Ok((connection, frames))
        };
        let (connection, frames) = opened().map_err(|error: rusqlite::Error| fault::before_commit(&error))?;
        Folder::recognise(&connection)?;
        Ok(Self { connection, heads: Heads::default(), frames, log_pages, log_limit: *LOG_PAGES.start() })
    }

    /// Rewrites the whole log into the database file before anything is served from it.
    fn rewrite(&self) -> Result<(), Error> {
        match self.checkpoint() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Unavailable("the database is in use by another program".to_owned())),
            Err(error) => Err(fault::before_commit(&error)),
        }
    }

    /// Copies the log into the database and lets the next commit begin it anew; the file keeps its length. `false`: a
    /// reader was in the way, and the log goes on growing until the next try.
    fn checkpoint(&self) -> rusqlite::Result<bool> {
        self.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
    }

    /// Extends the log to what it may hold. That it cannot is no failure: commits extend it as well.
    fn grow(&mut self, folder: &Folder) {
        let pages = self.connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap_or(0);
        self.log_limit = (pages as u64 / 4).clamp(*LOG_PAGES.start(), *LOG_PAGES.end());
        if let Err(error) = folder.grow_log(self.log_limit * schema::PAGE_BYTES) {
            tracing::debug!(%error, "the log was not extended ahead");
        }
    }

    fn roll_back(&mut self) -> rusqlite::Result<()> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.heads = Heads::default();
        self.frames = Frames::load(&self.connection)?;
        Ok(())
    }
}

fn run<T>(
    open: &mut Open,
    blobs: &Blobs,
    (removed, work): (&mut Vec<PathBuf>, impl FnOnce(&mut Work<'_>) -> Result<T, Stop>),
) -> Result<T, Error> {
    let before = |error: rusqlite::Error| fault::before_commit(&error);
    let Open { connection, heads, frames, .. } = open;
    connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(before)?;
    let value = work(&mut Work { connection, heads, frames, blobs, removed }).map_err(|stop| match stop {
        Stop::Refused(error) | Stop::Broken(error) => error,
    })?;
    let mut commit = connection.prepare_cached("COMMIT").map_err(before)?;
    commit.execute([]).map_err(|error| fault::at_commit(&error))?;
    Ok(value)
}

/// Whether the lease holds; moves the shard row once per transaction, which fails it if the database knows better.
fn admit(
    work: &Work<'_>,
    (epochs, lease): (&HashMap<Shard, Epoch>, Lease),
    moved: &mut Vec<Shard>,
) -> Result<(), Stop> {
    if epochs.get(&lease.shard) != Some(&lease.epoch) {
        return Err(Stop::Refused(Error::Fenced));
    }
    if moved.contains(&lease.shard) {
        return Ok(());
    }
    if !apply::move_shard(work.connection, lease.shard.0.into(), lease.epoch.0)? {
        return Err(Stop::Refused(Error::Fenced));
    }
    moved.push(lease.shard);
    Ok(())
}

fn read_frames(open: &mut Open, (tenant, session): (&Tenant, SessionId)) -> rusqlite::Result<Vec<Slice>> {
    let head = open.heads.get(&open.connection, session)?;
    let Some(head) = head.filter(|head| head.tenant == *tenant) else { return Ok(Vec::new()) };
    let mut slice = open.connection.prepare_cached("SELECT first, last, bytes FROM frame WHERE id = ?")?;
    let read = |id| {
        slice.query_row(params![id], |row| {
            let bytes = row.get_ref(2)?.as_blob()?.into();
            Ok(Slice { session, first: row.get::<_, i64>(0)? as u64, last: row.get::<_, i64>(1)? as u64, bytes })
        })
    };
    open.frames.rows(head.key).map(read).collect()
}

fn ended() -> Error {
    Error::Unavailable("the store is closed".to_owned())
}

/// Not `Unavailable`: waiting alone would never help.
fn shut() -> Error {
    Error::Unknown("a write failed; the shard must be taken anew".to_owned())
}

#[cfg(test)]
mod tests;
