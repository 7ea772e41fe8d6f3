//! The data directory and its keys: whether others on this machine may read them.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::finding::Finding;

/// Most key files that are looked at.
const MOST_FILES: usize = 64;

/// Bits of a mode by which others than the owner may read or write.
const OF_OTHERS: u32 = 0o077;

/// Bits by which others may write.
const WRITABLE: u32 = 0o022;

pub(super) fn examine(data_dir: &Path) -> Vec<Finding> {
    let shown = data_dir.display().to_string();
    match fs::metadata(data_dir) {
        Ok(found) if !found.is_dir() => {
            let advice = "name another with --data or server.data_dir";
            vec![Finding::fail("data directory", format!("{shown} is not a directory"), advice)]
        }
        Ok(found) => vec![folder(&shown, found.permissions().mode()), keys(data_dir, found.uid())],
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            vec![Finding::ok("data directory", format!("{shown} is not there yet; the first start makes it"))]
        }
        Err(error) => {
            let advice = "let the user of the server read it, or name another with --data";
            vec![Finding::fail("data directory", format!("{shown}: {error}"), advice)]
        }
    }
}

fn folder(shown: &str, mode: u32) -> Finding {
    let advice = format!("chmod 700 {shown}");
    match mode & OF_OTHERS {
        0 => Finding::ok("data directory", shown),
        bits if bits & WRITABLE != 0 => {
            Finding::fail("data directory", format!("{shown}: others may write into it"), advice)
        }
        _ => Finding::warn("data directory", format!("{shown}: others may look into it"), advice),
    }
}

fn keys(data_dir: &Path, owner: u32) -> Finding {
    let files = files(data_dir);
    if files.is_empty() {
        return Finding::ok("keys", "none yet; the first start makes them");
    }
    for path in &files {
        let shown = path.display();
        match fs::symlink_metadata(path) {
            Ok(found) if found.permissions().mode() & OF_OTHERS != 0 && !found.is_dir() => {
                let found = format!("others may read or change {shown}");
                let advice = format!("chmod 600 {shown}; whoever read it has the key: replace it");
                return Finding::fail("keys", found, advice);
            }
            Ok(found) if found.uid() != owner => {
                let found = format!("{shown} belongs to another user than its directory");
                return Finding::warn("keys", found, format!("chown {owner} {shown}"));
            }
            Ok(_) => {}
            Err(error) => return Finding::fail("keys", format!("{shown}: {error}"), "let the server's user read it"),
        }
    }
    Finding::ok("keys", format!("{} files, only for their owner", files.len()))
}

/// The first API key, the note of a running server, and what seals content.
fn files(data_dir: &Path) -> Vec<PathBuf> {
    let beside = ["api-key", "server.json"].map(|name| data_dir.join(name));
    let sealing = fs::read_dir(data_dir.join("keys")).into_iter().flatten().filter_map(Result::ok);
    let sealing = sealing.map(|entry| entry.path());
    beside.into_iter().filter(|path| path.exists()).chain(sealing).take(MOST_FILES).collect()
}
