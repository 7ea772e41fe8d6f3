//! Measures durable fenced appends of 1 KiB on a private PostgreSQL 18: through the whole store, and beside it the same
//! by plain SQL with group commit. One line of JSON per measurement. `postgres [SECONDS] [LANES]`

#![allow(clippy::disallowed_methods, reason = "a measurement needs the real clock and real threads")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails ends")]

use std::{
    fs,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mainstay_store::{
    postgres::{self, Options, link::Link},
    seam::{Lease, Slice},
};
use mainstay_testkit::{
    postgres::{Server, Version, block_on},
    store::{sample, wait::wait},
};
use mainstay_vocabulary::{SessionId, Shard};

/// Bytes of one append.
const RECORD: usize = 1_024;
/// Bytes of one slice of deltas.
const SLICE: usize = 150;
/// How many write at once.
const WRITERS: [usize; 3] = [1, 16, 64];
/// How many streams write slices at once.
const STREAMS: usize = 64;
/// Shards that the writers are spread over: each has its own, as far as they go, which costs a fence the most.
const SHARDS: u16 = 64;
/// Not measured: plans are made, files are grown.
const WARM_UP: Duration = Duration::from_millis(300);

const WRITABLE: &str = "SET default_transaction_read_only = off";
const BARE_TABLES: &str = "
CREATE SCHEMA bare;
CREATE TABLE bare.shard (id int PRIMARY KEY, epoch bigint, commit_no bigint, lease_until timestamptz);
INSERT INTO bare.shard VALUES (0, 1, 0, now());
CREATE TABLE bare.event (session bigint, sequence bigint, bytes bytea NOT NULL, PRIMARY KEY (session, sequence));";
const BARE_FENCE: &str = "
UPDATE bare.shard SET commit_no = commit_no + 1, lease_until = clock_timestamp() + interval '10 s'
WHERE id = 0 AND epoch = 1";
const BARE_EVENTS: &str = "INSERT INTO bare.event SELECT * FROM unnest($1::int8[], $2::int8[], $3::bytea[])";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(3);
    let lanes = arguments.next().and_then(|text| text.parse().ok());
    let Some(server) = Version::V18.start(&["shared_buffers=256MB", "max_wal_size=4GB"]) else { return };
    let run = Run { server, time: Duration::from_secs(seconds), lanes };
    for writers in WRITERS {
        run.bare(writers);
        run.store(writers);
    }
    run.slices();
}

struct Run {
    server: Server,
    time: Duration,
    lanes: Option<usize>,
}

impl Run {
    /// Plain SQL: what gathered while the last commit ran is the next one.
    fn bare(&self, writers: usize) {
        let database = self.server.database();
        let bare = Bare::default();
        let url = self.server.url(&database);
        thread::scope(|scope| {
            scope.spawn(|| block_on(bare.serve(&url)));
            let record = vec![7; RECORD];
            self.measure("bare_append", writers, |writer, count| bare.append((writer as i64, count as i64), &record));
            bare.stopped.store(true, Ordering::Release);
            bare.arrived.notify_all();
        });
    }

    fn open(&self) -> (Arc<dyn mainstay_store::Store>, Vec<Lease>) {
        let database = self.server.database();
        let mut options = Options::new(self.server.url(&database));
        options.lanes = self.lanes.unwrap_or(options.lanes);
        let store = postgres::open(options).unwrap();
        let leases = (0..SHARDS).map(|shard| wait(store.acquire(Shard(shard), [1; 16])).unwrap()).collect();
        (store, leases)
    }

    fn store(&self, writers: usize) {
        let (store, leases) = self.open();
        let record: Arc<[u8]> = vec![7; RECORD].into();
        self.measure("store_append", writers, |writer, count| {
            let lease = leases[writer % leases.len()];
            let mut batch = sample::batch(session(writer), count, &[]);
            batch.events = vec![Arc::clone(&record)];
            wait(store.commit(lease, batch)).unwrap();
        });
        wait(store.close()).unwrap();
    }

    /// What a streamed event costs in the store: one slice, durable; sixty slices to an item.
    fn slices(&self) {
        let (store, leases) = self.open();
        let bytes: Arc<[u8]> = vec![7; SLICE].into();
        self.measure("store_slice", STREAMS, |stream, count| {
            let (lease, id) = (leases[stream % leases.len()], session(stream));
            if count % 60 == 0 {
                let mut batch = sample::batch(id, count / 60, &["item"]);
                batch.drop_frames_below = count;
                wait(store.commit(lease, batch)).unwrap();
            }
            let slice = Slice { session: id, first: count, last: count, bytes: Arc::clone(&bytes) };
            wait(store.append_frames(lease, slice)).unwrap();
        });
        wait(store.close()).unwrap();
    }

    /// CPU time so far of the client and of the server's processes, which all live as long as a measurement.
    fn cpu(&self) -> [f64; 2] {
        let process = self.server.process();
        let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
        [cpu_seconds("self"), children.split_whitespace().map(cpu_seconds).sum()]
    }

    /// Calls `append(writer, count)` from each writer's thread for the time of the run and prints what it took.
    fn measure(&self, name: &str, writers: usize, append: impl Fn(usize, u64) + Sync) {
        let (begin, cpu) = (Instant::now() + WARM_UP, Mutex::new([0.0; 2]));
        let one = |writer| {
            let (mut latencies, mut count) = (Vec::new(), 0);
            while begin.elapsed() < self.time {
                let asked = Instant::now();
                append(writer, count);
                count += 1;
                if asked >= begin {
                    latencies.push(asked.elapsed());
                } else if writer == 0 {
                    *cpu.lock().unwrap() = self.cpu();
                }
            }
            latencies
        };
        let mut latencies: Vec<Duration> = thread::scope(|scope| {
            let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(move || one(writer))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let (elapsed, before, after) = (begin.elapsed(), *cpu.lock().unwrap(), self.cpu());
        let [client, server] = [0, 1].map(|at| (after[at] - before[at]) * 1e6 / latencies.len() as f64);
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_micros();
        println!(
            "{{\"name\":\"{name}\",\"writers\":{writers},\"per_second\":{:.0},\"p50_us\":{},\"p99_us\":{},\"cpu_us_per_op\":{:.1},\"client_cpu_us\":{client:.1},\"server_cpu_us\":{server:.1}}}",
            latencies.len() as f64 / elapsed.as_secs_f64(),
            at(50),
            at(99),
            client + server
        );
    }
}

/// A session of a writer, in the shard that it writes to.
fn session(writer: usize) -> SessionId {
    let mut rest = [0; 16];
    rest[..8].copy_from_slice(&(writer as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    SessionId::new(Shard(writer as u16 % SHARDS), rest)
}

/// The limit: appends gather while the last commit runs, and are committed together by one connection.
#[derive(Default)]
struct Bare {
    state: Mutex<Gathering>,
    arrived: Condvar,
    committed: Condvar,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Gathering {
    rows: Vec<(i64, i64, Vec<u8>)>,
    gathered: u64,
    durable: u64,
}

impl Bare {
    fn append(&self, (session, sequence): (i64, i64), record: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.rows.push((session, sequence, record.to_vec()));
        state.gathered += 1;
        let ticket = state.gathered;
        self.arrived.notify_one();
        while state.durable < ticket {
            state = self.committed.wait(state).unwrap();
        }
    }

    /// What gathered, after a moment's wait for something.
    fn gathered(&self) -> (Vec<(i64, i64, Vec<u8>)>, u64) {
        let mut state = self.state.lock().unwrap();
        if state.rows.is_empty() {
            state = self.arrived.wait_timeout(state, Duration::from_millis(50)).unwrap().0;
        }
        (std::mem::take(&mut state.rows), state.gathered)
    }

    async fn serve(&self, url: &str) {
        let mut link = Link::connect(&Options::new(url)).await.unwrap();
        let prepared = link
            .run(async |client| {
                client.batch_execute(WRITABLE).await?;
                client.batch_execute(BARE_TABLES).await?;
                Ok((client.prepare(BARE_FENCE).await?, client.prepare(BARE_EVENTS).await?))
            })
            .await;
        let (fence, events) = prepared.unwrap();
        while !self.stopped.load(Ordering::Acquire) {
            let (rows, gathered) = self.gathered();
            if rows.is_empty() {
                continue;
            }
            let sessions: Vec<i64> = rows.iter().map(|row| row.0).collect();
            let sequences: Vec<i64> = rows.iter().map(|row| row.1).collect();
            let bytes: Vec<&[u8]> = rows.iter().map(|row| &row.2[..]).collect();
            link.run(async |client| {
                let ((), moved, _, ()) = tokio::try_join!(
                    client.batch_execute("BEGIN"),
                    client.execute(&fence, &[]),
                    async { client.execute(&events, &[&sessions, &sequences, &bytes]).await },
                    client.batch_execute("COMMIT"),
                )?;
                assert_eq!(moved, 1, "fenced");
                Ok(())
            })
            .await
            .unwrap();
            self.state.lock().unwrap().durable = gathered;
            self.committed.notify_all();
        }
    }
}

/// CPU time of a process so far, of all its threads.
fn cpu_seconds(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok()).sum();
    // Linux counts 100 a second, whatever the kernel's own tick.
    ticks / 100.0
}
