//! A source that is on this machine: a file, or a folder that holds it under a name of its own or any other.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Error};

use super::{
    catalogue::Entry,
    digest::Digest,
    partial::Partial,
    progress::Progress,
    stop::{Stop, refuse},
};

/// Most files of a folder that are looked at.
const MAX_FILES: usize = 10_000;

/// Read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Finds the entry's file at `place` and copies it.
pub(crate) fn read(place: &Path, entry: &Entry, partial: &mut Partial, progress: &mut Progress) -> Result<(), Stop> {
    let found = find(place, entry, progress)?;
    copy(&found, partial, progress)
}

/// Copies a file, by the file system's own means where it shares blocks.
pub(crate) fn copy(from: &Path, partial: &mut Partial, progress: &mut Progress) -> Result<(), Stop> {
    let refused = |error: std::io::Error| Stop::Refused(Error::new(error).context(from.display().to_string()));
    let mut file = File::open(from).map_err(refused)?;
    let bytes = file.metadata().map_err(refused)?.len();
    partial.begin(0, Some(bytes))?;
    partial.note("", None)?;
    if partial.share(&file, bytes)? {
        return Ok(());
    }
    progress.begin("copied", 0, Some(bytes));
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = file.read(&mut piece).map_err(refused)?;
        if count == 0 {
            return Ok(());
        }
        partial.append(&piece[..count])?;
        progress.advance(partial.bytes());
    }
}

/// The file whose digest is the entry's; those with a name that it is known by are looked at first.
fn find(place: &Path, entry: &Entry, progress: &mut Progress) -> Result<PathBuf, Stop> {
    let mut wrong = Vec::new();
    for path in candidates(place, entry)? {
        let Ok(found) = fs::metadata(&path) else { continue };
        if !found.is_file() {
            continue;
        }
        if entry.bytes.is_some_and(|bytes| bytes != found.len()) {
            wrong.push(format!("{} has {} bytes", path.display(), found.len()));
            continue;
        }
        progress.begin("compared", 0, Some(found.len()));
        let digest = File::open(&path).and_then(|file| Digest::of(file, |bytes| progress.advance(bytes)));
        match digest {
            Ok(digest) if digest == entry.digest => return Ok(path),
            Ok(digest) => wrong.push(format!("{} has the digest {digest}", path.display())),
            Err(error) => wrong.push(format!("{}: {error}", path.display())),
        }
    }
    let expected = entry.bytes.map_or_else(String::new, |bytes| format!(" and {bytes} bytes"));
    wrong.truncate(3);
    let seen = if wrong.is_empty() { "no file ends in .gguf".to_owned() } else { wrong.join("; ") };
    refuse!("{} has no file with the digest {}{expected} ({seen})", place.display(), entry.digest)
}

fn candidates(place: &Path, entry: &Entry) -> Result<Vec<PathBuf>, Stop> {
    if !place.is_dir() {
        return Ok(vec![place.to_path_buf()]);
    }
    let names = entry.file_names();
    let files = fs::read_dir(place).with_context(|| place.display().to_string()).map_err(Stop::Refused)?;
    let mut paths: Vec<_> =
        files.flatten().take(MAX_FILES).map(|file| file.path()).filter(|path| is_model(path)).collect();
    let is_named = |path: &PathBuf| path.file_name().is_some_and(|name| names.iter().any(|known| **known == *name));
    paths.sort_by_key(|path| (!is_named(path), path.clone()));
    Ok(paths)
}

fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
}
