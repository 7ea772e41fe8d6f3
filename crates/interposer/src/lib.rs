//! Stands between a test and the C library: every call that changes a file below a folder is recorded in order, and
//! one can be made to fail. Linked into a test binary it takes the place of `write`, `fsync`, `rename`…; SQLite and
//! std call it without knowing. Knows nothing of what is written. Start with `Recording`; the calls are in `calls`.

mod calls;
mod state;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use state::{ACTIVE, State, WAITING};

/// Names a file or folder for as long as a recording lasts, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// One change, as it took place. Paths are relative to the recorded folder, which is itself the empty path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A file or folder came to be.
    Create {
        /// Its name.
        path: PathBuf,
        /// What it is called from now on.
        file: FileId,
        /// Whether it is a folder.
        folder: bool,
    },
    /// Bytes were written.
    Write {
        /// Where.
        file: FileId,
        /// From which byte on.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// The file was cut off or made longer.
    Resize {
        /// Which.
        file: FileId,
        /// How long it is now.
        length: u64,
    },
    /// A sync: for a file, of what it holds and its length; for a folder, of the names in it.
    Sync {
        /// Which.
        file: FileId,
    },
    /// A sync failed, and what it should have written is lost: no later sync of the file will write it.
    Lose {
        /// Which.
        file: FileId,
        /// Whether it was also dropped from memory, so that reads return what is on disk.
        evicted: bool,
    },
    /// A file got another name, in the place of what had that name.
    Rename {
        /// Its name before.
        from: PathBuf,
        /// Its name now.
        to: PathBuf,
    },
    /// A name was removed.
    Remove {
        /// Which.
        path: PathBuf,
    },
    /// The test says that something happened now, by a number of its own.
    Mark(u64),
}

/// What kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `open` and its like.
    Open,
    /// `write` and its like.
    Write,
    /// `fsync`, `fdatasync`.
    Sync,
    /// `ftruncate`, `fallocate` and their like.
    Resize,
    /// `rename` and its like.
    Rename,
    /// `unlink`.
    Remove,
    /// `mkdir`.
    MakeFolder,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails once with this error number and does nothing.
    Error(i32),
    /// From it on, every call that needs room fails with ENOSPC, until `heal`. The first write stops half way.
    Full,
    /// A sync fails although everything was written.
    SyncLanded,
    /// A sync fails and what it should have written is lost, but for the copy in memory.
    SyncLost,
    /// A sync fails and what it should have written is lost, in memory too.
    SyncEvicted,
}

/// What was recorded.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What there was at the start.
    pub names: BTreeMap<PathBuf, FileId>,
    /// What changed, in order.
    pub ops: Vec<Op>,
    /// Every call below the folder, those that changed nothing included, in order.
    pub calls: Vec<Kind>,
    /// How many changes there were when the fault struck; `None` if it did not.
    pub struck: Option<usize>,
}

/// A recording under way. One at a time in a process: the next waits.
pub struct Recording {
    root: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// While it lives, every call that a recording would see waits.
pub struct Held {
    _state: MutexGuard<'static, State>,
}

static TURN: Mutex<()> = Mutex::new(());

impl Recording {
    /// Records what happens below a folder. `fault` is what becomes of the call of that number, counted from 0.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn start(root: &Path, fault: Option<(usize, Fault)>) -> io::Result<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let root = root.canonicalize()?;
        let mut names = BTreeMap::new();
        scan(&root, &root, &mut names)?;
        calls::link();
        *state::lock() = State::begin(root.clone(), names, fault);
        ACTIVE.store(true, Ordering::SeqCst);
        Ok(Self { root, _turn: turn })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes all further calls wait.
    pub fn hold(&self) -> Held {
        Held { _state: state::lock() }
    }

    /// Ends `Fault::Full`; returns whether there was one.
    pub fn heal(&self) -> bool {
        std::mem::take(&mut state::lock().full)
    }

    /// Ends the recording.
    pub fn finish(self) -> Trace {
        ACTIVE.store(false, Ordering::SeqCst);
        state::lock().take()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        ACTIVE.store(false, Ordering::SeqCst);
    }
}

impl Held {
    /// Whether a call waits.
    pub fn a_call_waits(&self) -> bool {
        WAITING.load(Ordering::SeqCst) > 0
    }
}

/// Puts a number in the recording under way, from any thread.
pub fn mark(number: u64) {
    if let Some(mut state) = state::enter() {
        state.ops.push(Op::Mark(number));
    }
}

fn scan(root: &Path, folder: &Path, names: &mut BTreeMap<PathBuf, FileId>) -> io::Result<()> {
    let id = FileId(names.len() as u32);
    names.insert(folder.strip_prefix(root).unwrap_or(folder).to_owned(), id);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            scan(root, &path, names)?;
        } else {
            let id = FileId(names.len() as u32);
            names.insert(path.strip_prefix(root).unwrap_or(&path).to_owned(), id);
        }
    }
    Ok(())
}
