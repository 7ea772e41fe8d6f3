//! The store: whether it opens, how large it is, and how long its disk takes to make a write durable.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use mainstay_runtime::clock::{Clock, System};
use mainstay_store::{Error, sqlite};

use super::{World, disk::size, finding::Finding};

/// The database and its log in the data directory.
const FILES: [&str; 2] = ["mainstay.db", "mainstay.db-wal"];

/// A log beyond this is not being taken into the database: a reader holds it.
const LONG_LOG: u64 = 1 << 30;

/// Writes that are timed: enough that one slow one does not decide.
const SYNCS: u64 = 32;

/// Size of each, bytes: a page.
const PAGE: usize = 4_096;

/// Beyond this an accepted input waits noticeably, milliseconds.
const SLOW_MS: u64 = 20;

pub(super) async fn examine(world: &World) -> Vec<Finding> {
    let folder = &world.config.data_dir;
    let mut findings = vec![opened(world).await];
    if folder.is_dir() {
        findings.push(sync(folder));
    }
    findings
}

async fn opened(world: &World) -> Finding {
    let folder = &world.config.data_dir;
    let [database, log] = FILES.map(|name| fs::metadata(folder.join(name)).map_or(0, |found| found.len()));
    if database == 0 {
        return Finding::ok("store", "none yet; the first start makes it");
    }
    let sizes = format!("database {}, log {}", size(database), size(log));
    if world.running.is_some() {
        return of_log(format!("in use by the server; {sizes}"), log);
    }
    match sqlite::open(sqlite::Options { dir: folder.clone(), most_bytes: None }) {
        Ok(store) => match store.close().await {
            Ok(()) => of_log(format!("opens and closes; {sizes}"), log),
            Err(error) => refused(&error),
        },
        Err(error) => refused(&error),
    }
}

fn of_log(found: String, log: u64) -> Finding {
    if log > LONG_LOG {
        return Finding::warn("store", found, "the log is long: does another program keep the database open?");
    }
    Finding::ok("store", found)
}

fn refused(error: &Error) -> Finding {
    let advice = match error {
        Error::Full => "make room on the disk",
        Error::Corrupt(_) => "stop, copy the data directory as it is, and restore a backup",
        _ => "see the reason; a process that was killed may still be ending",
    };
    Finding::fail("store", error.to_string(), advice)
}

/// Writes a file beside the database and times how long each write takes to be durable.
fn sync(folder: &Path) -> Finding {
    let path = folder.join(format!("doctor.{}", std::process::id()));
    let began = System.now().0;
    let written = write(&path);
    let took = System.now().0.saturating_sub(began);
    let removed = fs::remove_file(&path);
    if let Err(error) = written.and(removed) {
        let advice = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                "make room on the disk, or raise the limit on the size of files"
            }
            _ => "let the user of the server write there, or name another directory with --data",
        };
        return Finding::fail("sync", format!("{}: {error}", folder.display()), advice);
    }
    let found = format!("{:.1} ms for each durable write, {SYNCS} tried", took as f64 / SYNCS as f64);
    if took / SYNCS >= SLOW_MS {
        return Finding::warn("sync", found, "every accepted input waits for one: use a faster disk");
    }
    Finding::ok("sync", found)
}

fn write(path: &PathBuf) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    for _ in 0..SYNCS {
        file.write_all(&[0; PAGE])?;
        file.sync_data()?;
    }
    Ok(())
}
