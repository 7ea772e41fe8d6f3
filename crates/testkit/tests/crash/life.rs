//! Lives a history on the real store while everything that reaches the disk is recorded, with a mark where each call was
//! made and where it was answered: the mark is set on the thread that answers, before it does anything else.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
use mainstay_testkit::store::{
    sample::{session, tenant},
    wait::wait,
};
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

/// Where tests share a process they take turns: a recording sees the calls of the whole process.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the store whose data directory is to be made, with the folder that it is in, in a folder.
pub(crate) fn open(root: &Path) -> Result<Arc<dyn Store>, Error> {
    sqlite::open(Options { dir: root.join("home/data"), most_bytes: None })
}

/// A mark: a call was made, or answered. A call that failed is made again under the number of that attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Made { call: usize },
    Answered { call: usize, attempt: u32 },
}

impl Mark {
    pub(crate) const fn read(number: u64) -> Self {
        let (call, attempt) = ((number as u32) as usize, (number >> 32) as u32);
        if attempt == 0 { Self::Made { call } } else { Self::Answered { call, attempt: attempt - 1 } }
    }

    pub(crate) fn set(self) {
        mark(match self {
            Self::Made { call } => call as u64,
            Self::Answered { call, attempt } => call as u64 | u64::from(attempt + 1) << 32,
        });
    }
}

struct Answered {
    mark: Mark,
    once: AtomicBool,
    waiting: Thread,
}

impl Wake for Answered {
    fn wake(self: Arc<Self>) {
        if !self.once.swap(true, Ordering::SeqCst) {
            self.mark.set();
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
                let attempt = Attempt { first: call, number: 0, epoch };
                let answers = burst(recording, &*store, (calls, attempt));
                for (made, answer) in calls.iter().zip(answers) {
                    match (made, &answer) {
                        // A crash may have left an epoch that the model does not know of.
                        (Call::Acquire, Ok(given)) if *given >= history.epoch(call + 1) => epoch = Epoch(*given),
                        _ => assert_eq!(answer, *history.answer(call), "call {call} of {}", history.length()),
                    }
                    call += 1;
                }
            }
            Step::Reopen if call < skipped => {}
            Step::Reopen => {
                drop(store);
                store = open(recording.root()).unwrap();
            }
        }
    }
}

/// As which calls a burst counts, and under which lease.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) first: usize,
    pub(crate) number: u32,
    pub(crate) epoch: Epoch,
}

/// Makes calls at once. The writer is stopped at the first change that it makes for the first call, until all are
/// made; so it does the same every time.
pub(crate) fn burst(recording: &Recording, store: &dyn Store, (calls, attempt): (&[Call], Attempt)) -> Vec<Outcome> {
    let Attempt { first, number, epoch } = attempt;
    let answered = |index| Mark::Answered { call: first + index, attempt: number };
    // What the writer still does for the calls before comes to its end: it answers one thing after the other.
    drop(wait(store.frames(&tenant(), session(0))));
    (first..first + calls.len()).for_each(|call| Mark::Made { call }.set());
    if let [alone @ Call::Sweep(_)] = calls {
        let outcome = wait(alone.make(store, epoch));
        answered(0).set();
        return vec![outcome];
    }
    let held = recording.hold();
    let mut answers: Vec<(Pending<'_>, Option<Outcome>)> = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let mut answer = Pending::new(call.make(store, epoch), answered(index));
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
    fn new(answer: Answer<'a, u64>, mark: Mark) -> Self {
        let waker = Answered { mark, once: AtomicBool::new(false), waiting: thread::current() };
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
