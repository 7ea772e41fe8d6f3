//! Files that survive a crash: written under a temporary name, synced, renamed, their folder synced.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::Error;

/// Names an operation that failed.
pub(super) fn unavailable(operation: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Unavailable { operation, file: file.into(), source }
}

/// Makes `dir` if it is missing, with what is missing above it; only its owner may enter it, whoever made it.
/// Returns it locked: two processes that write one keyring would lose each other's keys.
pub(super) fn own_dir(dir: &Path) -> Result<File, Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unavailable("create", dir))?;
    sync_above(dir).map_err(unavailable("sync what is above", dir))?;
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(unavailable("restrict", dir))?;
    let handle = File::open(dir).map_err(unavailable("open", dir))?;
    match handle.try_lock() {
        Ok(()) => Ok(handle),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { dir: dir.into() }),
        Err(TryLockError::Error(source)) => Err(unavailable("lock", dir)(source)),
    }
}

/// The file's bytes, `None` if there is no such file; reads at most `limit` and one more.
pub(super) fn read(file: &Path, limit: usize) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    match File::open(file) {
        Ok(opened) => opened.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unavailable("read", file))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unavailable("open", file)(error)),
    };
    Ok(Some(bytes))
}

/// Puts `contents` in the file's place, whole or not at all, whenever a crash comes.
pub(super) fn replace<'a>(file: &Path, contents: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let temporary = temporary(file);
    remove(&temporary)?;
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let written = created.and_then(|opened| {
        let mut writer = io::BufWriter::new(opened);
        for part in contents {
            writer.write_all(part.as_bytes())?;
        }
        writer.into_inner()?.sync_all()
    });
    written.map_err(unavailable("write", &temporary))?;
    fs::rename(&temporary, file).map_err(unavailable("replace", file))?;
    sync_dir(parent_or_here(file))
}

/// Adds to the end of the file; on an error some of it may be there.
pub(super) fn append(file: &Path, line: &str) -> Result<(), Error> {
    let appended = OpenOptions::new().append(true).open(file).and_then(|mut opened| {
        opened.write_all(line.as_bytes())?;
        opened.sync_all()
    });
    appended.map_err(unavailable("append to", file))
}

/// Makes what was just read as lasting as what this process writes: the process that wrote it may have died between
/// its write and its sync, and a power loss could still undo what nothing else syncs.
pub(super) fn settle(file: &Path) -> Result<(), Error> {
    File::open(file).and_then(|file| file.sync_all()).map_err(unavailable("sync", file))?;
    sync_dir(parent_or_here(file))
}

/// Removes what a crash may have left of `replace`.
pub(super) fn remove_temporary(file: &Path) -> Result<(), Error> {
    remove(&temporary(file))
}

fn remove(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unavailable("remove", file)(error)),
        _ => Ok(()),
    }
}

fn temporary(file: &Path) -> PathBuf {
    file.with_added_extension("new")
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(unavailable("sync", dir))
}

/// Makes the folder's own name durable, and those of the folders above it: this process may have made any of them, or
/// one before it that died too soon. Up to where another file system begins or nothing may be read.
fn sync_above(dir: &Path) -> io::Result<()> {
    let dir = dir.canonicalize()?;
    let device = fs::metadata(&dir)?.dev();
    for above in dir.ancestors().skip(1) {
        match fs::metadata(above).and_then(|found| Ok((found.dev(), File::open(above)?))) {
            Ok((other, _)) if other != device => break,
            Ok((_, opened)) => opened.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn parent_or_here(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
