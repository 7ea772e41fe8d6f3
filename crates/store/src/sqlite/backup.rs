//! A backup of a data directory: one moment of the database and the blob files that it names, in a folder that
//! `sha256sum -c SHA256SUMS` verifies too. The server may run meanwhile. Never holds keys. Start with `write`.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use mainstay_vocabulary::SessionId;
use ring::digest::{Context, SHA256};
use rusqlite::{Connection, OpenFlags};

use super::{
    blobs::{self, Blobs},
    fault,
    file::{DATABASE, Folder, UNFINISHED, switch_to_log, sync_folder},
    rows,
    whole::Kept,
};
use crate::{error::Error, seam::Digest, whole::Seen};

/// Digests and names of all files, one a line, as `sha256sum` prints them.
const SUMS: &str = "SHA256SUMS";
/// Written last: says that the backup is whole, and the digest of `SUMS`.
const HEADER: &str = "BACKUP";
/// First line of the header.
const TITLE: &str = "mainstay backup 1";
/// Longest header, bytes.
const HEADER_BYTES: u64 = 1_024;
/// What may be in a directory that a backup is restored into: keys may be put there first, and what a restore that
/// broke off left is written over.
const MAY_BE_THERE: [&str; 5] = ["keys", "api-key", "mainstay.lock", UNFINISHED, "blobs"];
/// Moments that are tried: one is given up when a session that it holds is erased before its files were copied.
const TRIES: u32 = 5;
/// Steps of SQLite's machine between two looks at how far it is.
const STEPS: i32 = 100_000;
/// No watcher.
type Unwatched = Box<dyn FnMut() -> bool + Send>;
/// Read and written at once.
const PIECE_BYTES: usize = 1 << 20;

/// What a backup says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Files, the database included.
    pub files: u64,
    /// What they take, bytes.
    pub bytes: u64,
    /// Sessions in it.
    pub sessions: u64,
    /// Digest of the list of digests.
    pub sums: Digest,
}

/// Writes a backup into a folder that does not exist or is empty.
pub(super) fn write(kept: &Kept, into: &Path, seen: &Seen) -> Result<(), Error> {
    if fs::read_dir(into).is_ok_and(|mut found| found.next().is_some()) {
        return Err(Error::Unsupported(format!("{} is not empty: name a folder that does not exist", into.display())));
    }
    let unfinished = into.with_added_extension("unfinished");
    for _ in 0..TRIES {
        remove(&unfinished)?;
        let writing = Writing { kept, folder: &unfinished, seen, done: 0, files: 0 };
        if writing.write()? {
            let _ = fs::remove_dir(into);
            let parent = into.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return fs::rename(&unfinished, into)
                .and_then(|()| sync_folder(parent))
                .map_err(|error| fault::file(&error));
        }
    }
    remove(&unfinished)?;
    Err(Error::Unavailable("sessions were erased while they were copied; try again".to_owned()))
}

struct Writing<'a> {
    kept: &'a Kept,
    folder: &'a Path,
    seen: &'a Seen,
    done: u64,
    files: u64,
}

impl Writing<'_> {
    /// `false`: a file that the moment names is gone.
    fn write(mut self) -> Result<bool, Error> {
        let failed = |error: io::Error| fault::file(&error);
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder.join("blobs")).map_err(failed)?;
        let database = self.folder.join(DATABASE);
        self.moment(&database)?;
        let (snapshot, sessions) = prepare(&database).map_err(|error| fault::before_commit(&error))?;
        let mut sums = BufWriter::new(File::create(self.folder.join(SUMS)).map_err(failed)?);
        if !self.blobs(&snapshot, &mut sums)? {
            return Ok(false);
        }
        snapshot.close().map_err(|(_, error)| fault::before_commit(&error))?;
        let file = File::open(&database).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let (digest, bytes) = copy(file, &mut io::sink()).map_err(failed)?;
        self.note(&mut sums, &digest, (DATABASE, bytes)).map_err(failed)?;
        sums.into_inner().map_err(|error| fault::file(error.error()))?.sync_all().map_err(failed)?;
        self.finish(sessions).map_err(failed)?;
        Ok(true)
    }

    /// One moment of the database, without what was deleted from it.
    fn moment(&self, database: &Path) -> Result<(), Error> {
        let asked = |error: rusqlite::Error| fault::before_commit(&error);
        let mut connection = self.kept.connection();
        let total = fs::metadata(self.kept.folder.database()).map_or(0, |found| found.len());
        let (seen, growing) = (Arc::clone(self.seen), database.to_owned());
        let look = move || {
            seen(fs::metadata(&growing).map_or(0, |found| found.len()), total);
            false
        };
        connection.progress_handler(STEPS, Some(look)).map_err(asked)?;
        let written = connection.execute("VACUUM INTO ?", [database.display().to_string()]);
        connection.progress_handler(STEPS, None::<Unwatched>).map_err(asked)?;
        written.map(drop).map_err(asked)
    }

    fn blobs(&mut self, snapshot: &Connection, sums: &mut impl Write) -> Result<bool, Error> {
        let asked = |error: rusqlite::Error| fault::before_commit(&error);
        let failed = |error: io::Error| fault::file(&error);
        let named = "SELECT s.id, b.digest FROM blob b JOIN session s ON s.key = b.session WHERE b.bytes IS NULL";
        let mut named = snapshot.prepare(named).map_err(asked)?;
        let mut named = named.query([]).map_err(asked)?;
        let (live, copies) = (Blobs::new(self.kept.folder.blobs()), Blobs::new(self.folder.join("blobs")));
        while let Some(row) = named.next().map_err(asked)? {
            let session = rows::session_id(row, 0).map_err(asked)?;
            let digest: Digest = row.get(1).map_err(asked)?;
            let from = match File::open(live.path(&session, &digest)) {
                Ok(from) => from,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return self.is_erased((session, digest)),
                Err(error) => return Err(fault::file(&error)),
            };
            let to = copies.path(&session, &digest);
            let (sum, bytes) = write_file(from, &to).map_err(failed)?;
            let name = to.file_name().unwrap_or_default().to_string_lossy();
            self.note(sums, &sum, (&format!("blobs/{name}"), bytes)).map_err(failed)?;
        }
        copies.sync().map_err(failed)?;
        Ok(true)
    }

    /// A file is not there: `Ok(false)` where nothing names it any more.
    fn is_erased(&self, (session, digest): (SessionId, Digest)) -> Result<bool, Error> {
        let named = rows::is_named(&self.kept.connection(), &session, &digest);
        match named.map_err(|error| fault::before_commit(&error))? {
            false => Ok(false),
            true => Err(Error::Corrupt(format!("a blob file of session {session} is missing"))),
        }
    }

    fn note(&mut self, sums: &mut impl Write, sum: &Digest, (name, bytes): (&str, u64)) -> io::Result<()> {
        self.files += 1;
        self.done += bytes;
        writeln!(sums, "{}  {name}", blobs::hex(sum))
    }

    fn finish(&self, sessions: u64) -> io::Result<()> {
        let (sum, _) = copy(File::open(self.folder.join(SUMS))?, &mut io::sink())?;
        let (files, bytes, sum) = (self.files, self.done, blobs::hex(&sum));
        let mut header = File::create(self.folder.join(HEADER))?;
        write!(header, "{TITLE}\nfiles {files}\nbytes {bytes}\nsessions {sessions}\nsums {sum}\n")?;
        header.sync_all()?;
        sync_folder(self.folder)
    }
}

/// Makes the copy what a data directory holds, and counts its sessions.
fn prepare(database: &Path) -> rusqlite::Result<(Connection, u64)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    switch_to_log(&connection)?;
    let sessions = connection.query_row("SELECT count(*) FROM session", [], |row| row.get::<_, i64>(0))?;
    Ok((connection, sessions as u64))
}

/// Reads what a backup says of itself and the digest of its list.
///
/// # Errors
/// `Unsupported` where the folder is no whole backup, `Corrupt` where its list was changed.
pub fn read_backup(from: &Path) -> Result<Backup, Error> {
    let mut text = String::new();
    let opened = File::open(from.join(HEADER)).and_then(|file| file.take(HEADER_BYTES).read_to_string(&mut text));
    let whole = opened.ok().and_then(|_| parse(&text));
    let backup = whole.ok_or_else(|| Error::Unsupported(format!("{} is no whole backup", from.display())))?;
    let list = File::open(from.join(SUMS)).map_err(|error| missing(SUMS, &error))?;
    let (sums, _) = copy(list, &mut io::sink()).map_err(|error| missing(SUMS, &error))?;
    if sums == backup.sums { Ok(backup) } else { Err(damaged(SUMS)) }
}

fn parse(text: &str) -> Option<Backup> {
    let mut lines = text.lines();
    let mut field = |name: &str| lines.next()?.strip_prefix(name);
    field(TITLE)?;
    Some(Backup {
        files: field("files ")?.parse().ok()?,
        bytes: field("bytes ")?.parse().ok()?,
        sessions: field("sessions ")?.parse().ok()?,
        sums: blobs::unhex(field("sums ")?)?,
    })
}

/// Verifies a backup whole, then writes it into a data directory that holds nothing but keys. A crash leaves either no
/// database there, and it can be restored again, or all of it.
///
/// # Errors
/// `Unsupported`: it is no backup, or the directory is not empty. `Corrupt`: a file of it is not as it was written.
pub fn restore(from: &Path, dir: PathBuf, seen: &Seen) -> Result<Backup, Error> {
    let failed = |error: io::Error| fault::file(&error);
    let backup = read_backup(from)?;
    must_be_empty(&dir)?;
    each(from, (seen, backup.bytes * 2, 0), |_, file| copy(file, &mut io::sink()))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
    let folder = Folder::new(dir);
    let _lock = folder.lock()?;
    fs::create_dir_all(folder.blobs()).map_err(failed)?;
    let unfinished = folder.path().join(UNFINISHED);
    each(from, (seen, backup.bytes * 2, backup.bytes), |name, file| {
        let to = if name == DATABASE { unfinished.clone() } else { folder.path().join(name) };
        write_file(file, &to)
    })?;
    sync_folder(&folder.blobs()).map_err(failed)?;
    fs::rename(unfinished, folder.database()).and_then(|()| folder.sync()).map_err(failed)?;
    Ok(backup)
}

fn must_be_empty(dir: &Path) -> Result<(), Error> {
    let Ok(found) = fs::read_dir(dir) else { return Ok(()) };
    for file in found.flatten() {
        let name = file.file_name();
        if !MAY_BE_THERE.iter().any(|known| name == *known) {
            let what = format!("{} holds {}: restore into a directory of its own", dir.display(), name.display());
            return Err(Error::Unsupported(what));
        }
    }
    Ok(())
}

/// Hands every file of the list to `take`, which answers its digest and length; both must be right.
fn each(
    from: &Path,
    (seen, total, mut done): (&Seen, u64, u64),
    take: impl Fn(&str, File) -> io::Result<(Digest, u64)>,
) -> Result<(), Error> {
    let list = File::open(from.join(SUMS)).map_err(|error| missing(SUMS, &error))?;
    for line in BufReader::new(list).lines() {
        let line = line.map_err(|error| missing(SUMS, &error))?;
        let (sum, name) = line.split_once("  ").ok_or_else(|| damaged(SUMS))?;
        let is_blob = name.strip_prefix("blobs/").is_some_and(|name| blobs::parse(Path::new(name)).is_some());
        if name != DATABASE && (!is_blob || name.matches('/').count() != 1) {
            return Err(damaged(SUMS));
        }
        let file = File::open(from.join(name)).map_err(|error| missing(name, &error))?;
        let (found, bytes) = take(name, file).map_err(|error| fault::file(&error))?;
        if blobs::unhex(sum) != Some(found) {
            return Err(damaged(name));
        }
        done += bytes;
        seen(done, total);
    }
    Ok(())
}

fn damaged(name: &str) -> Error {
    Error::Corrupt(format!("{name} of the backup is not as it was written"))
}

fn missing(name: &str, error: &io::Error) -> Error {
    Error::Corrupt(format!("{name} of the backup cannot be read: {error}"))
}

/// Writes a file that did not exist, on disk when this returns but for its name.
fn write_file(from: impl Read, to: &Path) -> io::Result<(Digest, u64)> {
    let mut file = File::create(to)?;
    let written = copy(from, &mut file)?;
    file.sync_all()?;
    Ok(written)
}

fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<(Digest, u64)> {
    let (mut context, mut bytes) = (Context::new(&SHA256), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            let mut digest = [0; 32];
            digest.copy_from_slice(context.finish().as_ref());
            return Ok((digest, bytes));
        }
        context.update(&piece[..count]);
        to.write_all(&piece[..count])?;
        bytes += count as u64;
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault::file(&error)),
        _ => Ok(()),
    }
}
