//! Lives a history on the real store while everything that reaches the disk is recorded, with a mark where each call was
//! made and where it was answered: the mark is set on the thread that answers, before it does anything else.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use mainstay_interposer::{Recording, Trace, mark};
use mainstay_store::{
    Error, Store,
    seam::Answer,
    sqlite::{self, Options},
};
use mainstay_testkit::store::{sample::session, wait::wait};
use mainstay_vocabulary::Epoch;

use crate::history::{Call, History, Outcome, Step};

/// A folder in memory where there is one, removed in the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
        let name = format!("mainstay-crash-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens the store whose data directory is in a folder.
pub(crate) fn open(root: &Path) -> Result<Arc<dyn Store>, Error> {
    sqlite::open(Options { dir: root.join("data"), most_bytes: None })
}

/// A mark: a call was made, or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Made(usize),
    Answered(usize),
}

impl Mark {
    pub(crate) const fn read(number: u64) -> Self {
        let call = (number / 2) as usize;
        if number.is_multiple_of(2) { Self::Made(call) } else { Self::Answered(call) }
    }

    pub(crate) fn set(self) {
        mark(match self {
            Self::Made(call) => call as u64 * 2,
            Self::Answered(call) => call as u64 * 2 + 1,
        });
    }
}

struct Answered {
    call: usize,
    once: AtomicBool,
    waiting: Thread,
}

impl Wake for Answered {
    fn wake(self: Arc<Self>) {
        if !self.once.swap(true, Ordering::SeqCst) {
            Mark::Answered(self.call).set();
        }
        self.waiting.unpark();
    }
}

/// Lives the steps after the first `skipped` calls, which an earlier life made. Every answer must be the model's.
pub(crate) fn live(recording: &Recording, (history, skipped): (&History, usize)) {
    let mut store = open(recording.root()).unwrap();
    let (mut call, mut epoch) = (0, Epoch(history.epoch(skipped)));
    for step in &history.steps {
        match step {
            Step::Burst(calls) if call < skipped => call += calls.len(),
            Step::Burst(calls) => {
                let answers = burst(recording, &*store, (calls, call, epoch));
                for answer in answers {
                    assert_eq!(answer, *history.answer(call), "call {call} of {}", history.length());
                    call += 1;
                }
                epoch = Epoch(history.epoch(call));
            }
            Step::Reopen if call < skipped => {}
            Step::Reopen => {
                drop(store);
                store = open(recording.root()).unwrap();
            }
        }
    }
}

/// Makes calls at once. The writer is stopped at the first change that it makes for the first call, until all are
/// made; so it does the same every time.
pub(crate) fn burst(
    recording: &Recording,
    store: &dyn Store,
    (calls, first, epoch): (&[Call], usize, Epoch),
) -> Vec<Outcome> {
    // What the writer still does for the calls before comes to its end: it answers one thing after the other.
    drop(wait(store.frames(session(0))));
    (first..first + calls.len()).for_each(|call| Mark::Made(call).set());
    if let [alone @ Call::Sweep(_)] = calls {
        let outcome = wait(alone.make(store, epoch));
        Mark::Answered(first).set();
        return vec![outcome];
    }
    let held = recording.hold();
    let mut answers: Vec<(Pending<'_>, Option<Outcome>)> = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let mut answer = Pending::new(call.make(store, epoch), first + index);
        let mut done = answer.poll();
        while index == 0 && done.is_none() && !held.a_call_waits() {
            thread::yield_now();
            done = answer.poll();
        }
        answers.push((answer, done));
    }
    drop(held);
    answers.into_iter().map(|(mut answer, done)| done.unwrap_or_else(|| answer.wait())).collect()
}

struct Pending<'a> {
    answer: Answer<'a, u64>,
    waker: Waker,
}

impl<'a> Pending<'a> {
    fn new(answer: Answer<'a, u64>, call: usize) -> Self {
        let waker = Answered { call, once: AtomicBool::new(false), waiting: thread::current() };
        Self { answer, waker: Waker::from(Arc::new(waker)) }
    }

    fn poll(&mut self) -> Option<Outcome> {
        match Pin::new(&mut self.answer).poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    fn wait(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.poll() {
                return outcome;
            }
            thread::park();
        }
    }
}

/// Records a whole life from nothing.
pub(crate) fn record(history: &History) -> Trace {
    let scratch = Scratch::new();
    let recording = Recording::start(scratch.path(), None).unwrap();
    live(&recording, (history, 0));
    let root = recording.root().to_owned();
    let trace = recording.finish();
    let mut disk = crate::disk::Disk::empty();
    for op in &trace.ops {
        disk.apply(op);
    }
    assert_eq!(disk.killed().difference(&root, "-shm"), None, "not everything was recorded");
    trace
}
