//! A model file that is still coming: bounded, kept beside the library under its own name, with a note of where it
//! came from so that a later pull can go on.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use mainstay_providers::download::Earlier;
use serde::{Deserialize, Serialize};

use super::{
    progress::size,
    stop::{Stop, refuse},
};

/// What every model file begins with; anything else is refused before it has come whole.
const MAGIC: &[u8] = b"GGUF";

/// Room that is left to others: a full disk stops the server's journal too.
const SPARE_BYTES: u64 = 64 << 20;

/// Where the bytes came from.
#[derive(Deserialize, Serialize)]
struct Note {
    address: String,
    validator: String,
}

/// The file.
pub(crate) struct Partial {
    path: PathBuf,
    note: PathBuf,
    file: File,
    bytes: u64,
    most: u64,
}

impl Partial {
    /// Opens what an earlier pull left, or nothing. No more than `most` bytes are taken.
    pub(crate) fn open(path: PathBuf, most: u64) -> Result<Self, Stop> {
        let note = path.with_extension("partial-from");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(Stop::of_write)?;
        let bytes = file.seek(SeekFrom::End(0)).map_err(Stop::of_write)?;
        Ok(Self { path, note, file, bytes, most })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    /// What is here of the file at this address.
    pub(crate) fn earlier(&self, address: &str) -> Option<Earlier> {
        let note: Note = toml::from_str(&fs::read_to_string(&self.note).ok()?).ok()?;
        let fits = note.address == address && 0 < self.bytes && self.bytes < self.most;
        fits.then_some(Earlier { bytes: self.bytes, validator: note.validator })
    }

    /// Keeps the first `start` bytes and makes sure that the rest of `total` has room.
    pub(crate) fn begin(&mut self, start: u64, total: Option<u64>) -> Result<(), Stop> {
        if start > self.bytes {
            refuse!("goes on at byte {start}, where {} are here", self.bytes);
        }
        if total.is_some_and(|total| total > self.most) {
            let total = total.unwrap_or_default();
            refuse!("the file there has {total} bytes; no more than {} are taken", self.most);
        }
        self.file.set_len(start).and_then(|()| self.file.seek(SeekFrom::Start(start))).map_err(Stop::of_write)?;
        self.bytes = start;
        check_room(&self.path, total.unwrap_or_default().saturating_sub(start))
    }

    /// Notes the source, so that what comes can be gone on with; without a validator it cannot.
    pub(crate) fn note(&self, address: &str, validator: Option<String>) -> Result<(), Stop> {
        let Some(validator) = validator else {
            let _ = fs::remove_file(&self.note);
            return Ok(());
        };
        let note = Note { address: address.to_owned(), validator };
        let text = toml::to_string(&note).map_err(|error| Stop::Here(error.into()))?;
        fs::write(&self.note, text).map_err(Stop::of_write)
    }

    /// Takes the next piece.
    pub(crate) fn append(&mut self, piece: &[u8]) -> Result<(), Stop> {
        if self.bytes + piece.len() as u64 > self.most {
            refuse!("it is longer than the {} bytes that are taken", self.most);
        }
        let at = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        if let Some(expected) = MAGIC.get(at..)
            && !piece.iter().zip(expected).all(|(byte, expected)| byte == expected)
        {
            refuse!("what comes is not a GGUF file");
        }
        self.file.write_all(piece).map_err(Stop::of_write)?;
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Takes a whole file by sharing its blocks, where the file system can; the copy does not follow later changes.
    #[cfg(target_os = "linux")]
    pub(crate) fn share(&mut self, whole: &File, bytes: u64) -> Result<bool, Stop> {
        if rustix::fs::ioctl_ficlone(&self.file, whole).is_err() {
            return Ok(false);
        }
        self.bytes = self.file.seek(SeekFrom::End(0)).map_err(Stop::of_write)?;
        if self.bytes != bytes {
            refuse!("it changed while it was copied");
        }
        Ok(true)
    }

    /// Nothing is shared here.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn share(&mut self, _whole: &File, _bytes: u64) -> Result<bool, Stop> {
        Ok(false)
    }

    /// Everything is on disk under the temporary name.
    pub(crate) fn sync(&self) -> Result<(), Stop> {
        self.file.sync_all().map_err(Stop::of_write)
    }

    /// Removes the file.
    pub(crate) fn discard(self) {
        let _ = fs::remove_file(&self.note);
        let _ = fs::remove_file(&self.path);
    }

    /// The file has its place; the note goes.
    pub(crate) fn placed(self) {
        let _ = fs::remove_file(&self.note);
    }
}

/// Refuses what the file system has no room for.
pub(crate) fn check_room(beside: &Path, bytes: u64) -> Result<(), Stop> {
    let folder = beside.parent().unwrap_or(beside);
    let system = rustix::fs::statvfs(folder).map_err(|error| Stop::Here(anyhow!("looking for room: {error}")))?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if bytes > 0 && bytes.saturating_add(SPARE_BYTES) > free {
        let (needs, spare, free) = (size(bytes), size(SPARE_BYTES), size(free));
        let place = folder.display();
        return Err(Stop::Here(anyhow!("no room: {needs} are needed and {spare} to spare, {place} has {free} left")));
    }
    Ok(())
}
