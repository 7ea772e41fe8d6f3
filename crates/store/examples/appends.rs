//! Measures durable appends of 1 KiB through the crate, beside the limit: a raw, pre-allocated log with the same group
//! commit and `fdatasync`. One line of JSON per measurement. `appends [DIRECTORY] [SECONDS]`

#![allow(clippy::disallowed_methods, reason = "a measurement needs the real clock and real threads")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails ends")]
#![allow(unsafe_code, reason = "the CPU time of a process is asked of the operating system")]

use std::{
    fs::{self, File, OpenOptions},
    future::Future,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use mainstay_store::{
    Store,
    seam::{Batch, Lease, Slice},
    sqlite::{self, Options},
};
use mainstay_vocabulary::{OpId, Sequence, SessionId, Shard, Tenant};

/// Bytes of one append.
const RECORD: usize = 1_024;
/// Bytes of one slice of deltas.
const SLICE: usize = 150;
/// The raw log is written round and round in this many bytes, allocated before.
const LOG_BYTES: usize = 64 << 20;
/// How many write at once.
const WRITERS: [usize; 3] = [1, 16, 64];
/// Events of the session that is read from the start.
const JOURNAL: u64 = 10_000;
/// How many streams write slices at once.
const STREAMS: [usize; 2] = [64, 500];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from).join("mainstay-appends");
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(3);
    let run = Run { directory, time: Duration::from_secs(seconds) };
    for writers in WRITERS {
        run.raw(writers);
        run.store(writers);
    }
    for streams in STREAMS {
        run.slices(streams);
    }
    run.read();
    let _ = fs::remove_dir_all(&run.directory);
}

struct Run {
    directory: PathBuf,
    time: Duration,
}

impl Run {
    fn fresh(&self) -> &Path {
        let _ = fs::remove_dir_all(&self.directory);
        fs::create_dir_all(&self.directory).unwrap();
        &self.directory
    }

    fn raw(&self, writers: usize) {
        let log = Log::create(&self.fresh().join("log"));
        let stopped = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| log.serve(&stopped));
            self.measure("raw_log_append", writers, |_, _| log.append());
            stopped.store(true, Ordering::Release);
            log.arrived.notify_all();
        });
    }

    fn store(&self, writers: usize) {
        let (store, lease) = open(self.fresh());
        let record: Arc<[u8]> = vec![7; RECORD].into();
        self.measure("store_append", writers, |writer, count| {
            wait(store.commit(lease, batch(writer, count, &record))).unwrap();
        });
        wait(store.close()).unwrap();
    }

    /// What a streamed event costs in the store: one slice, durable; sixty slices to a turn.
    fn slices(&self, streams: usize) {
        let (store, lease) = open(self.fresh());
        let record: Arc<[u8]> = vec![7; RECORD].into();
        let bytes: Arc<[u8]> = vec![7; SLICE].into();
        self.measure("store_slice", streams, |stream, count| {
            if count % 60 == 0 {
                let mut batch = batch(stream, count / 60, &record);
                batch.drop_frames_below = count;
                wait(store.commit(lease, batch)).unwrap();
            }
            let slice = Slice { session: session(stream), first: count, last: count, bytes: Arc::clone(&bytes) };
            wait(store.append_frames(lease, slice)).unwrap();
        });
        wait(store.close()).unwrap();
    }

    /// A cold wake without a snapshot: all events of a long journal that grew among others, page by page.
    fn read(&self) {
        let (store, lease) = open(self.fresh());
        let event: Arc<[u8]> = vec![7; RECORD / 2].into();
        for count in 0..JOURNAL {
            let answers = [0, 1, 2].map(|writer| store.commit(lease, batch(writer, count, &event)));
            if count % 100 == 99 {
                answers.into_iter().for_each(|answer| assert!(wait(answer).is_ok(), "an append failed"));
            }
        }
        self.measure("store_read_10000_events", 1, |_, _| {
            let mut after = Sequence(0);
            while let Some(last) =
                wait(store.read(&Tenant("acme".into()), session(1), after, usize::MAX)).unwrap().last()
            {
                after = last.sequence;
            }
            assert_eq!(after, Sequence(JOURNAL), "the journal is whole");
        });
        wait(store.close()).unwrap();
    }

    /// Calls `append(writer, count)` from each writer's thread for the time of the run and prints what it took.
    fn measure(&self, name: &str, writers: usize, append: impl Fn(usize, u64) + Sync) {
        let (begin, cpu) = (Instant::now(), cpu_time());
        let one = |writer| {
            let mut latencies = Vec::new();
            while begin.elapsed() < self.time {
                let asked = Instant::now();
                append(writer, latencies.len() as u64);
                latencies.push(asked.elapsed());
            }
            latencies
        };
        let mut latencies: Vec<Duration> = thread::scope(|scope| {
            let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(move || one(writer))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let (elapsed, cpu) = (begin.elapsed(), cpu_time() - cpu);
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_micros();
        println!(
            "{{\"name\":\"{name}\",\"writers\":{writers},\"per_second\":{:.0},\"p50_us\":{},\"p99_us\":{},\"cpu_us_per_op\":{:.1}}}",
            latencies.len() as f64 / elapsed.as_secs_f64(),
            at(50),
            at(99),
            cpu.as_secs_f64() * 1e6 / latencies.len() as f64
        );
    }
}

fn open(directory: &Path) -> (Arc<dyn Store>, Lease) {
    let store = sqlite::open(Options { dir: directory.to_owned(), most_bytes: None }).unwrap();
    let lease = wait(store.acquire(Shard(0), [1; 16])).unwrap();
    (store, lease)
}

fn session(number: usize) -> SessionId {
    let mut rest = [0; 16];
    rest[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    SessionId::new(Shard(0), rest)
}

fn batch(writer: usize, expected: u64, record: &Arc<[u8]>) -> Batch {
    Batch {
        session: session(writer),
        tenant: Tenant("acme".into()),
        expected: Sequence(expected),
        op: OpId([expected as u8; 16]),
        events: vec![Arc::clone(record)],
        chain: [expected as u8; 32],
        open: true,
        wakeups: Vec::new(),
        index: Vec::new(),
        idempotency: None,
        moves: Vec::new(),
        blobs: Vec::new(),
        snapshot: None,
        drop_frames_below: 0,
        erase: false,
    }
}

/// The limit: records are copied into one buffer while the last write runs, and written and synced together.
struct Log {
    file: File,
    state: Mutex<Gathering>,
    arrived: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct Gathering {
    buffer: Vec<u8>,
    gathered: u64,
    durable: u64,
}

impl Log {
    fn create(path: &Path) -> Self {
        let file = OpenOptions::new().create_new(true).write(true).open(path).unwrap();
        file.write_all_at(&vec![0; LOG_BYTES], 0).unwrap();
        file.sync_all().unwrap();
        Self { file, state: Mutex::default(), arrived: Condvar::new(), written: Condvar::new() }
    }

    fn append(&self) {
        let mut state = self.state.lock().unwrap();
        state.buffer.extend_from_slice(&[7; RECORD]);
        state.gathered += 1;
        let ticket = state.gathered;
        self.arrived.notify_one();
        while state.durable < ticket {
            state = self.written.wait(state).unwrap();
        }
    }

    fn serve(&self, stopped: &AtomicBool) {
        let (mut offset, mut writing) = (0, Vec::new());
        while !stopped.load(Ordering::Acquire) {
            let mut state = self.state.lock().unwrap();
            if state.buffer.is_empty() {
                state = self.arrived.wait_timeout(state, Duration::from_millis(50)).unwrap().0;
            }
            std::mem::swap(&mut writing, &mut state.buffer);
            let gathered = state.gathered;
            drop(state);
            if writing.is_empty() {
                continue;
            }
            if offset + writing.len() > LOG_BYTES {
                offset = 0;
            }
            self.file.write_all_at(&writing, offset as u64).unwrap();
            self.file.sync_data().unwrap();
            offset += writing.len();
            writing.clear();
            self.state.lock().unwrap().durable = gathered;
            self.written.notify_all();
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// CPU time of the process so far, of all its threads.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place to write to.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "the process has no clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
