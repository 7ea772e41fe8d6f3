//! The embedded backend: one SQLite file in a data directory, one thread that writes. The verbs here only hand work to
//! threads; start with `lane` (what a commit is), then `apply` (one batch), `frames` (slices), `read`.

mod apply;
mod backup;
mod blobs;
mod fault;
mod file;
mod frames;
mod heads;
mod lane;
mod migrate;
mod pieces;
mod read;
mod receive;
mod request;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod whole;
mod work;

use std::{
    fs::{self, File},
    future::ready,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use mainstay_vocabulary::{OpId, Sequence, SessionId, Shard, Tenant, Timestamp};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::{
    check,
    error::Error,
    queue::{Queue, Refused},
    seam::{
        Answer, Batch, Committed, Digest, Entry, Head, IndexQuery, IndexRow, Lease, Remembered, Slice, Store, Wakeup,
    },
};
use blobs::Blobs;
use file::Folder;
use lane::Lane;
use read::Readers;
use request::{Reply, Request, Sweep, Task};

pub use backup::{Backup, read_backup, restore};
pub use migrate::migrate;
pub use receive::receive;
pub use whole::{Others, look};

/// Where and how to open a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The data directory; made if it does not exist.
    pub dir: PathBuf,
    /// The database file may not grow beyond this; then writes fail as `Error::Full` until there is room again.
    /// `None`: as large as the disk allows.
    pub most_bytes: Option<u64>,
}

/// Opens the database of a data directory, and makes it where there is none.
///
/// # Errors
/// `Unavailable` if another process uses the directory, or it was written by a later version; `Full`; `Corrupt`.
pub fn open(options: Options) -> Result<Arc<dyn Store>, Error> {
    let folder = Folder::new(options.dir);
    let lock = folder.lock()?;
    folder.prepare()?;
    let readers = Readers::new(folder.clone());
    let most_pages = options.most_bytes.map(|bytes| bytes / schema::PAGE_BYTES);
    let lane = Lane::new(folder.clone(), Arc::clone(&readers), most_pages)?;
    let shards = lane.shards()?;
    let tasks = Arc::new(Queue::new());
    let threads = work::start(lane, &tasks, &readers).map_err(|error| fault::file(&error))?;
    Ok(Arc::new(Sqlite {
        shards,
        tasks,
        readers,
        blobs: Blobs::new(folder.blobs()),
        closed: AtomicBool::new(false),
        threads: Mutex::new(threads),
        _lock: lock,
    }))
}

struct Sqlite {
    shards: u16,
    tasks: Arc<Queue<Task>>,
    readers: Arc<Readers>,
    blobs: Blobs,
    closed: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Dropped last, when the threads have ended: the next process may begin.
    _lock: File,
}

impl Sqlite {
    /// Hands a task to the writer now; the answer comes when it is polled.
    fn write<T: Send + 'static>(&self, bytes: usize, task: impl FnOnce(Reply<T>) -> Task) -> Answer<'_, T> {
        if self.closed.load(Ordering::Acquire) {
            return refused(Refused::Closed);
        }
        let (reply, answer) = oneshot::channel();
        match self.tasks.push(task(reply), bytes) {
            Ok(()) => Box::pin(async move {
                answer.await.unwrap_or_else(|_| Err(Error::Unknown("the writing thread ended".to_owned())))
            }),
            Err(refusal) => refused(refusal),
        }
    }

    /// Hands a query to the readers now; the answer comes when it is polled.
    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        self.look(move |connection| query(connection).map_err(|error| fault::before_commit(&error)))
    }

    fn look<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Answer<'_, T> {
        if self.closed.load(Ordering::Acquire) {
            return refused(Refused::Closed);
        }
        let (reply, answer) = oneshot::channel();
        let read: read::Read = Box::new(move |connection| drop(reply.send(connection.and_then(query))));
        match self.readers.queue.push(read, 0) {
            Ok(()) => Box::pin(async move {
                answer.await.unwrap_or_else(|_| Err(Error::Unavailable("the reading thread ended".to_owned())))
            }),
            Err(refusal) => refused(refusal),
        }
    }
}

impl Store for Sqlite {
    /// One, unless what it holds came from a cluster.
    fn shards(&self) -> u16 {
        self.shards
    }

    fn acquire(&self, shard: Shard, incarnation: [u8; 16]) -> Answer<'_, Lease> {
        self.write(0, |reply| Task::Acquire { shard, incarnation, reply })
    }

    fn commit(&self, lease: Lease, batch: Batch) -> Answer<'_, Committed> {
        if let Err(error) = check::batch(lease, &batch) {
            return Box::pin(ready(Err(error)));
        }
        let batch = Box::new(batch);
        self.write(check::bytes(&batch), |reply| Task::Write(Request::Commit { lease, batch, reply }))
    }

    fn append_frames(&self, lease: Lease, slice: Slice) -> Answer<'_, ()> {
        if let Err(error) = check::slice(lease, &slice) {
            return Box::pin(ready(Err(error)));
        }
        self.write(slice.bytes.len(), |reply| Task::Write(Request::Append { lease, slice, reply }))
    }

    fn outcome(&self, session: SessionId, expected: Sequence, op: OpId) -> Answer<'_, bool> {
        self.read(move |connection| read::outcome(connection, session, (expected, op)))
    }

    fn head(&self, session: SessionId) -> Answer<'_, Option<Head>> {
        self.read(move |connection| read::head(connection, session))
    }

    fn read(&self, tenant: &Tenant, session: SessionId, after: Sequence, limit: usize) -> Answer<'_, Vec<Entry>> {
        let tenant = tenant.clone();
        self.read(move |connection| read::events(connection, (&tenant, session), (after, limit)))
    }

    fn frames(&self, tenant: &Tenant, session: SessionId) -> Answer<'_, Vec<Slice>> {
        let tenant = tenant.clone();
        self.write(0, |reply| Task::Frames { tenant, session, reply })
    }

    fn remembered(&self, shard: Shard, scope: Digest) -> Answer<'_, Option<Remembered>> {
        self.read(move |connection| rows::find_remembered(connection, shard.0, &scope))
    }

    fn open_sessions(&self, shards: Vec<Shard>, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>> {
        self.read(move |connection| read::open_sessions(connection, shards, (after, limit)))
    }

    fn due(&self, shards: Vec<Shard>, until: Timestamp, limit: usize) -> Answer<'_, Vec<Wakeup>> {
        self.read(move |connection| read::due(connection, shards, (until, limit)))
    }

    fn list(&self, query: IndexQuery) -> Answer<'_, Vec<IndexRow>> {
        if let Err(error) = check::query(&query) {
            return Box::pin(ready(Err(error)));
        }
        self.read(move |connection| read::list(connection, &query))
    }

    fn funds(&self, shard: Shard, account: Vec<u8>) -> Answer<'_, i64> {
        self.read(move |connection| rows::find_funds(connection, shard.0, &account))
    }

    fn blob(&self, tenant: &Tenant, session: SessionId, digest: Digest) -> Answer<'_, Option<Arc<[u8]>>> {
        let tenant = tenant.clone();
        let path = self.blobs.path(&session, &digest);
        self.look(move |connection| {
            let row =
                read::blob(connection, (&tenant, session), &digest).map_err(|error| fault::before_commit(&error))?;
            let Some(None) = row else { return Ok(row.flatten()) };
            match fs::read(path) {
                Ok(bytes) => Ok(Some(bytes.into())),
                // It was erased since the row was read, or the file is gone although the row is there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match read::blob(connection, (&tenant, session), &digest)
                        .map_err(|error| fault::before_commit(&error))?
                    {
                        Some(_) => Err(Error::Corrupt("a blob's file is missing".to_owned())),
                        None => Ok(None),
                    }
                }
                Err(error) => Err(Error::Unavailable(error.to_string())),
            }
        })
    }

    fn sweep(&self, shard: Shard, now: Timestamp) -> Answer<'_, ()> {
        let blobs = self.blobs.clone();
        let tasks = Arc::clone(&self.tasks);
        let orphans = self.look(move |connection| {
            // A query that fails counts as "named": a file is removed only when it surely belongs to nothing.
            Ok(blobs.orphans(now, |session, digest| rows::is_named(connection, session, digest).unwrap_or(true)))
        });
        Box::pin(async move {
            let sweep = Sweep { shard, now, orphans: orphans.await? };
            let (reply, answer) = oneshot::channel();
            tasks.push(Task::Sweep { sweep, reply }, 0).map_err(unavailable)?;
            answer.await.unwrap_or_else(|_| Err(Error::Unavailable("the writing thread ended".to_owned())))
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        let closing = self.write(0, |reply| Task::Close { reply });
        self.closed.store(true, Ordering::Release);
        closing
    }
}

impl Drop for Sqlite {
    /// Ends the threads after what was asked before, so that the directory can be opened again at once.
    fn drop(&mut self) {
        self.tasks.close();
        self.readers.queue.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

fn refused<'a, T: Send + 'a>(refusal: Refused) -> Answer<'a, T> {
    Box::pin(ready(Err(unavailable(refusal))))
}

fn unavailable(refusal: Refused) -> Error {
    Error::Unavailable(match refusal {
        Refused::Overloaded => "too much waits to be written".to_owned(),
        Refused::Closed => "the store is closed".to_owned(),
    })
}
