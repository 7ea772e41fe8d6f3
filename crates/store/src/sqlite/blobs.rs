//! Blobs that are files: large content stays out of the database's pages. A file is complete and durable before the
//! batch that names it commits, and belongs to one session, so that erasure needs no counting of references.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mainstay_vocabulary::{SessionId, Timestamp};

use super::file::sync_folder;
use crate::seam::Digest;

/// Content above this is a file; up to it, a row.
pub(super) const LARGEST_ROW: usize = 256 << 10;
/// A file that no row names is removed once it is older: far longer than a batch can be under way.
const GRACE: Duration = Duration::from_secs(3_600);
/// Most orphans that one sweep removes.
const ORPHANS: usize = 1_000;
/// Marks a file that is still being written.
const PARTIAL: &str = "partial";

/// The folder of blob files.
#[derive(Clone)]
pub(super) struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn path(&self, session: &SessionId, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}-{}", hex(session.as_bytes()), hex(digest)))
    }

    /// Writes a file under another name, syncs it and renames it. The name itself is durable only after `sync`.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let partial = path.with_extension(PARTIAL);
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(partial, path)
    }

    /// Makes the names of written files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.folder)
    }

    /// Files past their grace period that `named` does not know, at most `ORPHANS`. What is partial is never named.
    pub(super) fn orphans(&self, now: Timestamp, named: impl Fn(&SessionId, &Digest) -> bool) -> Vec<PathBuf> {
        let Ok(files) = fs::read_dir(&self.folder) else { return Vec::new() };
        let limit = (UNIX_EPOCH + Duration::from_millis(now.0)).checked_sub(GRACE).unwrap_or(UNIX_EPOCH);
        let orphan =
            |path: &PathBuf| is_older(path, limit) && !parse(path).is_some_and(|(id, digest)| named(&id, &digest));
        files.flatten().map(|file| file.path()).filter(orphan).take(ORPHANS).collect()
    }

    /// Removes files, as far as possible: one that stays is an orphan for a later sweep.
    pub(super) fn remove(&self, paths: &[PathBuf]) {
        for path in paths {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "a blob file stays behind");
            }
        }
    }
}

/// Which blob a file holds.
pub(super) fn parse(path: &Path) -> Option<(SessionId, Digest)> {
    let (session, digest) = path.file_name()?.to_str()?.split_once('-')?;
    Some((SessionId::from_bytes(unhex(session)?), unhex(digest)?))
}

fn is_older(path: &Path, limit: SystemTime) -> bool {
    fs::metadata(path).and_then(|found| found.modified()).is_ok_and(|modified| modified < limit)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    if !text.is_ascii() || text.len() != 2 * LENGTH {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}
