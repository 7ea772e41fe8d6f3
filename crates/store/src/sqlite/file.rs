//! The data directory: one process at a time, a database file that appears whole or not at all, and connections with
//! the settings that durability rests on. Knows nothing of what the tables mean.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{fault, schema};
use crate::error::Error;

/// The database file's name in the data directory.
pub(super) const DATABASE: &str = "mainstay.db";
/// Under this name it is made; it gets its own name when it is complete and on disk.
pub(super) const UNFINISHED: &str = "mainstay.db.unfinished";
/// Held locked by the process that uses the directory; holds its process id.
const LOCK: &str = "mainstay.lock";
/// The journal mode that a commit's durability rests on.
const JOURNAL: &str = "wal";
/// The oldest SQLite without the bug that could lose commits when the log restarts.
const OLDEST_SQLITE: i32 = 3_051_003;
/// How long a lock is waited for. Only a checkpoint has to wait, for reads of the log that are under way; nobody else
/// should lock the database, but somebody who looks at it with a tool may for a moment.
const BUSY: Duration = Duration::from_secs(1);
/// Page cache of the writing connection, in KiB: hot index leaves and heads.
const WRITER_CACHE_KIB: i64 = 8_192;
/// Page cache of each reading connection, in KiB.
const READER_CACHE_KIB: i64 = 2_048;
/// Statements kept prepared; more than there are in the source.
const STATEMENTS: usize = 64;

/// Where things are in a data directory.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join(format!("{DATABASE}-wal"))
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// Makes the directory and the database where they do not exist.
    ///
    /// A crash at any point leaves either no `mainstay.db`, and what was begun is thrown away here next time, or a
    /// complete one: it is synced before the rename and the folder after it. Names that are found are synced again: the
    /// process that made them may have died before it did, and a power loss could still take them away.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(Error::Unavailable(format!("SQLite {} is too old", rusqlite::version())));
        }
        let made = |error: io::Error| fault::file(&error);
        fs::create_dir_all(self.blobs()).map_err(made)?;
        self.sync().map_err(made)?;
        if self.database().exists() {
            return Ok(());
        }
        self.sync_ancestors().map_err(made)?;
        self.create()
    }

    /// Makes the names in the directory durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    /// Makes the directory's own name durable, and those of the folders above it, any of which may have been made with
    /// it: up to where another file system begins or nothing may be read.
    fn sync_ancestors(&self) -> io::Result<()> {
        let path = self.path.canonicalize()?;
        let device = fs::metadata(&path)?.dev();
        for folder in path.ancestors().skip(1) {
            match fs::metadata(folder).and_then(|found| Ok((found.dev(), File::open(folder)?))) {
                Ok((other, _)) if other != device => break,
                Ok((_, opened)) => opened.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn create(&self) -> Result<(), Error> {
        let unfinished = self.path.join(UNFINISHED);
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let leftover = self.path.join(format!("{UNFINISHED}{suffix}"));
            match fs::remove_file(leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault::file(&error)),
                _ => {}
            }
        }
        build(&unfinished).map_err(|error| fault::before_commit(&error))?;
        File::open(&unfinished)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&unfinished, self.database()))
            .and_then(|()| self.sync())
            .map_err(|error| fault::file(&error))
    }

    /// Takes the directory for this process, until the file is dropped.
    ///
    /// # Errors
    /// `Unavailable`, saying which process holds it.
    pub(super) fn lock(&self) -> Result<File, Error> {
        fs::create_dir_all(&self.path).map_err(|error| fault::file(&error))?;
        self.take_lock()?.map_err(Error::Unavailable)
    }

    /// The lock of a directory that exists, or in words who holds it.
    pub(super) fn take_lock(&self) -> Result<Result<File, String>, Error> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.path.join(LOCK));
        let mut file = opened.map_err(|error| fault::file(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(fault::file(&error)),
            Err(TryLockError::WouldBlock) => return Ok(Err(held(&self.path, &mut file))),
        }
        file.set_len(0)
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
            .map_err(|error| fault::file(&error))?;
        Ok(Ok(file))
    }

    /// The one connection that writes. It never checkpoints by itself: when is the lane's decision.
    pub(super) fn writer(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(self.database(), flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
        configure(&connection, WRITER_CACHE_KIB)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "secure_delete", "FAST")?;
        Ok(connection)
    }

    /// A connection that only reads.
    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(self.database(), flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
        configure(&connection, READER_CACHE_KIB)?;
        Ok(connection)
    }

    /// Refuses a file that another program or a later version wrote.
    pub(super) fn recognise(connection: &Connection) -> Result<(), Error> {
        let number = |name| {
            let read = connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
            read.map_err(|error| fault::before_commit(&error))
        };
        if number("application_id")? != schema::APPLICATION {
            return Err(Error::Unavailable(format!("{DATABASE} was not made by this program")));
        }
        let format = number("user_version")?;
        if format == schema::UNFINISHED {
            let message = format!("a copy into this {DATABASE} is not finished: run mainstay store copy again");
            return Err(Error::Unavailable(message));
        }
        if format != schema::FORMAT {
            let message = format!("{DATABASE} has format {format}; this version reads {}", schema::FORMAT);
            return Err(Error::Unavailable(message));
        }
        let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
        match mode.map_err(|error| fault::before_commit(&error))? {
            mode if mode == JOURNAL => Ok(()),
            mode => Err(Error::Unavailable(format!("{DATABASE} has the journal mode {mode}, not {JOURNAL}"))),
        }
    }

    /// Extends the write-ahead log with zeros, so that commits overwrite and do not also have to make the file longer
    /// (a second write to the file system's own journal with every fsync). Zeros are no valid frame: SQLite reads a log
    /// up to the first frame whose checksum fails. Only the thread that commits may call this.
    pub(super) fn grow_log(&self, bytes: u64) -> io::Result<()> {
        const STEP: usize = 256 << 10;
        let mut file = OpenOptions::new().write(true).open(self.log())?;
        let mut length = file.seek(SeekFrom::End(0))?;
        if length >= bytes {
            return Ok(());
        }
        let zeros = vec![0; STEP];
        while length < bytes {
            let step = (bytes - length).min(STEP as u64) as usize;
            file.write_all(&zeros[..step])?;
            length += step as u64;
        }
        file.sync_all()
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

const fn flags(access: OpenFlags) -> OpenFlags {
    access.union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn build(path: &Path) -> rusqlite::Result<()> {
    let create = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = Connection::open_with_flags(path, flags(create))?;
    connection.pragma_update(None, "page_size", schema::PAGE_BYTES as i64)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "application_id", schema::APPLICATION)?;
    connection.execute_batch(&format!("BEGIN;{}PRAGMA user_version={};COMMIT", schema::TABLES, schema::FORMAT))?;
    // Last: what is in a log would reach the file by a checkpoint while closing, whose failure is not told.
    switch_to_log(&connection)?;
    connection.close().map_err(|(_, error)| error)
}

/// Steps to the end of the statement: what was asked for stands in its only row, and that it failed comes after that.
pub(super) fn switch_to_log(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA journal_mode = {JOURNAL}"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

fn configure(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    // Sorting and statement journals stay off the disk, which may be full.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
    // Closing after a failed write must leave the log as it is.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn held(path: &Path, file: &mut File) -> String {
    let mut holder = String::new();
    // Twenty characters hold any process id; a file that is not ours is not read further.
    let read = file.take(20).read_to_string(&mut holder);
    match (read, holder.parse::<u32>()) {
        (Ok(_), Ok(process)) => format!("{} is in use by process {process}", path.display()),
        _ => format!("{} is in use by another process", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::tests::Scratch;

    #[test]
    fn what_a_crash_left_of_a_creation_is_thrown_away() {
        let scratch = Scratch::new("creation");
        let folder = Folder::new(scratch.path().to_owned());
        fs::create_dir_all(scratch.path()).unwrap();
        fs::write(scratch.path().join(UNFINISHED), b"half a database").unwrap();
        fs::write(scratch.path().join(format!("{UNFINISHED}-wal")), b"half a log").unwrap();
        folder.prepare().unwrap();
        Folder::recognise(&folder.writer().unwrap()).unwrap();
        assert!(!scratch.path().join(UNFINISHED).exists());
    }

    #[test]
    fn a_file_of_another_program_or_of_a_later_format_is_refused() {
        let scratch = Scratch::new("recognise");
        let folder = Folder::new(scratch.path().to_owned());
        folder.prepare().unwrap();
        let writer = folder.writer().unwrap();
        writer.pragma_update(None, "user_version", schema::FORMAT + 1).unwrap();
        assert!(matches!(Folder::recognise(&writer), Err(Error::Unavailable(why)) if why.contains("format 2")));
        writer.pragma_update(None, "application_id", 1).unwrap();
        assert!(matches!(Folder::recognise(&writer), Err(Error::Unavailable(why)) if why.contains("not made by")));
    }

    #[test]
    fn the_directory_belongs_to_one_process_and_the_refusal_names_it() {
        let scratch = Scratch::new("lock");
        let folder = Folder::new(scratch.path().to_owned());
        let first = folder.lock().unwrap();
        let Err(Error::Unavailable(why)) = folder.lock() else { panic!("locked twice") };
        assert!(why.contains(&std::process::id().to_string()), "{why}");
        drop(first);
        folder.lock().unwrap();
    }

    #[test]
    fn zeros_after_the_log_are_not_part_of_it() {
        let scratch = Scratch::new("grow");
        let folder = Folder::new(scratch.path().to_owned());
        folder.prepare().unwrap();
        let writer = folder.writer().unwrap();
        writer.execute("INSERT INTO shard VALUES (0, 1, 1, x'00')", []).unwrap();
        folder.grow_log(1 << 20).unwrap();
        writer.execute("INSERT INTO shard VALUES (1, 1, 1, x'00')", []).unwrap();
        assert_eq!(fs::metadata(folder.log()).unwrap().len(), 1 << 20);
        drop(writer);
        let count = folder.reader().unwrap().query_row("SELECT count(*) FROM shard", [], |row| row.get::<_, i64>(0));
        assert_eq!(count, Ok(2));
    }
}
