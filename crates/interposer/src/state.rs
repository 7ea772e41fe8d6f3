//! What a recording knows while it runs: names, open files, the changes so far, and the fault that is to come.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};

use crate::{Fault, FileId, Kind, Op, Trace};

/// Whether anything is recorded; where not, calls go straight through.
pub(crate) static ACTIVE: AtomicBool = AtomicBool::new(false);
/// Calls that wait for the state.
pub(crate) static WAITING: AtomicUsize = AtomicUsize::new(0);
/// Most descriptors that are told apart; a store opens a dozen.
const DESCRIPTORS: usize = 4_096;
/// Which file a descriptor is open on, and one; 0 is none that is recorded. Read without the lock, so that writing to
/// a terminal never waits.
static OPEN: [AtomicU32; DESCRIPTORS] = [const { AtomicU32::new(0) }; DESCRIPTORS];
static STATE: Mutex<State> = Mutex::new(State::new());

/// The state of the recording under way.
pub(crate) struct State {
    root: PathBuf,
    start: BTreeMap<PathBuf, FileId>,
    names: BTreeMap<PathBuf, FileId>,
    next: u32,
    pub(crate) ops: Vec<Op>,
    calls: Vec<Kind>,
    fault: Option<(usize, Fault)>,
    struck: Option<usize>,
    pub(crate) full: bool,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    /// A write stops half way.
    Half,
    Fail(i32),
    Sync(Fault),
}

pub(crate) fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state, if anything is recorded.
pub(crate) fn enter() -> Option<MutexGuard<'static, State>> {
    if !ACTIVE.load(Ordering::SeqCst) {
        return None;
    }
    WAITING.fetch_add(1, Ordering::SeqCst);
    let state = lock();
    WAITING.fetch_sub(1, Ordering::SeqCst);
    ACTIVE.load(Ordering::SeqCst).then_some(state)
}

/// The state and the file, if the descriptor is on a recorded file.
pub(crate) fn on_file(descriptor: i32) -> Option<(MutexGuard<'static, State>, FileId)> {
    let number = slot(descriptor)?.load(Ordering::SeqCst);
    if number == 0 {
        return None;
    }
    enter().map(|state| (state, FileId(number - 1)))
}

/// Says which file a descriptor is on now; `None` when it is closed.
pub(crate) fn set_file(descriptor: i32, file: Option<FileId>) {
    if let Some(slot) = slot(descriptor) {
        slot.store(file.map_or(0, |file| file.0 + 1), Ordering::SeqCst);
    }
}

fn slot(descriptor: i32) -> Option<&'static AtomicU32> {
    usize::try_from(descriptor).ok().and_then(|index| OPEN.get(index))
}

impl State {
    const fn new() -> Self {
        Self {
            root: PathBuf::new(),
            start: BTreeMap::new(),
            names: BTreeMap::new(),
            next: 0,
            ops: Vec::new(),
            calls: Vec::new(),
            fault: None,
            struck: None,
            full: false,
        }
    }

    pub(crate) fn begin(root: PathBuf, names: BTreeMap<PathBuf, FileId>, fault: Option<(usize, Fault)>) -> Self {
        OPEN.iter().for_each(|slot| slot.store(0, Ordering::SeqCst));
        let next = names.len() as u32;
        Self { root, start: names.clone(), names, next, fault, ..Self::new() }
    }

    pub(crate) fn take(&mut self) -> Trace {
        let ended = std::mem::replace(self, Self::new());
        Trace { names: ended.start, ops: ended.ops, calls: ended.calls, struck: ended.struck }
    }

    /// The path below the folder; `None` if it is elsewhere.
    pub(crate) fn relative(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.root).ok().map(Path::to_owned)
    }

    pub(crate) fn absolute(&self, file: FileId) -> Option<PathBuf> {
        self.names.iter().find(|(_, id)| **id == file).map(|(path, _)| self.root.join(path))
    }

    pub(crate) fn named(&self, path: &Path) -> Option<FileId> {
        self.names.get(path).copied()
    }

    /// Counts a call and says what becomes of it.
    pub(crate) fn admit(&mut self, kind: Kind, needs_room: bool) -> Verdict {
        let number = self.calls.len();
        self.calls.push(kind);
        let due = self.fault.filter(|(nth, _)| *nth == number).map(|(_, fault)| fault);
        if due.is_some() {
            self.struck = Some(self.ops.len());
        }
        match due {
            Some(Fault::Full) => {
                self.full = true;
                if kind == Kind::Write {
                    return Verdict::Half;
                }
            }
            Some(Fault::Error(number)) => return Verdict::Fail(number),
            Some(fault) if kind == Kind::Sync => return Verdict::Sync(fault),
            _ => {}
        }
        if self.full && needs_room { Verdict::Fail(libc::ENOSPC) } else { Verdict::Go }
    }

    pub(crate) fn created(&mut self, path: PathBuf, folder: bool) -> FileId {
        let file = FileId(self.next);
        self.next += 1;
        self.names.insert(path.clone(), file);
        self.ops.push(Op::Create { path, file, folder });
        file
    }

    pub(crate) fn written(&mut self, file: FileId, offset: u64, bytes: &[u8]) {
        self.ops.push(Op::Write { file, offset, bytes: Arc::from(bytes) });
    }

    pub(crate) fn renamed(&mut self, from: PathBuf, to: PathBuf) {
        if let Some(file) = self.names.remove(&from) {
            self.names.insert(to.clone(), file);
        }
        self.ops.push(Op::Rename { from, to });
    }

    pub(crate) fn removed(&mut self, path: PathBuf) {
        self.names.remove(&path);
        self.ops.push(Op::Remove { path });
    }

    /// What of a file made during the recording is on disk: everything up to its last sync, but what was lost.
    pub(crate) fn durable(&self, file: FileId) -> Vec<u8> {
        let (mut durable, mut waiting) = (Vec::new(), Vec::new());
        for op in &self.ops {
            match op {
                Op::Write { file: at, .. } | Op::Resize { file: at, .. } if *at == file => waiting.push(op),
                Op::Sync { file: at } if *at == file => waiting.drain(..).for_each(|op| replay(op, &mut durable)),
                Op::Lose { file: at, .. } if *at == file => waiting.clear(),
                _ => {}
            }
        }
        durable
    }
}

fn replay(op: &Op, contents: &mut Vec<u8>) {
    match op {
        Op::Write { offset, bytes, .. } => {
            let end = *offset as usize + bytes.len();
            contents.resize(contents.len().max(end), 0);
            contents[*offset as usize..end].copy_from_slice(bytes);
        }
        Op::Resize { length, .. } => contents.resize(*length as usize, 0),
        _ => {}
    }
}
