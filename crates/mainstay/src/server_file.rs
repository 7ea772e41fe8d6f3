//! `server.json` in the data directory: which process serves it and where, so that the command line finds it without
//! being told. A note, not a lock: the store's lock decides who serves.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

/// Its name in the data directory.
const FILE: &str = "server.json";

/// A server that runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Running {
    /// Its process.
    pub(crate) pid: i32,
    /// Where a client on this machine reaches it.
    pub(crate) url: String,
}

/// Removes the note when the server stops in order.
#[derive(Debug)]
pub(crate) struct Note {
    path: PathBuf,
    running: Running,
}

/// Notes that this process serves a data directory at an address.
///
/// # Errors
/// Where the file cannot be written.
pub(crate) fn write(data_dir: &Path, listening: SocketAddr) -> Result<Note> {
    let running = Running { pid: rustix::process::getpid().as_raw_nonzero().get(), url: url(listening) };
    let path = data_dir.join(FILE);
    put(&path, &serde_json::to_vec(&running)?).with_context(|| format!("writing {}", path.display()))?;
    Ok(Note { path, running })
}

/// Whole or not at all, for its owner only.
fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("json.unfinished");
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    fs::rename(beside, path)
}

/// The server that a data directory's note tells of; `None` where there is none or its process is gone.
pub(crate) fn running(data_dir: &Path) -> Option<Running> {
    let running: Running = serde_json::from_slice(&fs::read(data_dir.join(FILE)).ok()?).ok()?;
    let pid = Pid::from_raw(running.pid)?;
    // A process of another user cannot be signalled, and lives.
    let lives = !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH));
    lives.then_some(running)
}

/// An address that listens everywhere is reached on loopback.
fn url(listening: SocketAddr) -> String {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listening.port()))
}

impl Drop for Note {
    fn drop(&mut self) {
        // Another process may have taken the directory over; its note stays.
        let found = fs::read(&self.path).ok().and_then(|bytes| serde_json::from_slice::<Running>(&bytes).ok());
        if found.as_ref() == Some(&self.running) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("mainstay-note-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_note_lives_as_long_as_its_server() {
        let folder = folder("own");
        let note = write(&folder, "0.0.0.0:7071".parse().unwrap()).unwrap();
        let found = running(&folder).unwrap();
        assert_eq!(found.url, "http://127.0.0.1:7071");
        assert_eq!(u32::try_from(found.pid).unwrap(), std::process::id());
        drop(note);
        assert_eq!(running(&folder), None);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_stale_note_is_ignored_and_anothers_is_kept() {
        let folder = folder("stale");
        let note = write(&folder, "[::]:7071".parse().unwrap()).unwrap();
        assert_eq!(running(&folder).unwrap().url, "http://[::1]:7071");
        // No process can have this number: it is above the kernel's limit.
        let stale = br#"{"pid": 1073741824, "url": "http://127.0.0.1:1"}"#;
        fs::write(folder.join(FILE), stale).unwrap();
        assert_eq!(running(&folder), None);
        drop(note);
        assert_eq!(fs::read(folder.join(FILE)).unwrap(), stale);
        fs::remove_dir_all(folder).unwrap();
    }
}
