//! The seeded simulation: the real engine under a virtual clock, over the in-memory store, with faults in store,
//! provider and clients, crashes and takeovers. The same seed gives the same run. Start with `run`, then `plan`
//! (what a seed does), `process` (one life), `client` (who asks) and `check` (what must hold).

use std::{
    cell::Cell,
    hash::{DefaultHasher, Hasher},
    sync::{Arc, Once},
    time::Duration,
};

use mainstay_runtime::{From as Since, Listing, fault::Bug};
use mainstay_session::{
    event::Kind,
    feed::{Cursor, Moment, expand},
};
use mainstay_store::Store;
use mainstay_vocabulary::{SessionId, Shard, Tenant};

mod ask;
mod check;
mod client;
mod cluster;
mod compose;
mod coverage;
mod disk;
mod entropy;
mod follower;
mod plan;
mod process;
mod provider;
mod reader;
mod toolbox;
mod world;

pub use coverage::Coverage;
pub use plan::{Mode, Plan};

use crate::store::{Memory, wait::wait};
use client::Clients;
use process::End;
use reader::Reader;
use world::{Shared, World, short};

/// Rounds of waiting for everything to come to rest: longer than the longest turn and all its attempts.
const ROUNDS: usize = 120;
/// Virtual time between two looks.
const ROUND: Duration = Duration::from_secs(20);
/// Virtual time after which a replay that shows nothing more is over.
const QUIET: Duration = Duration::from_secs(2);

/// What a seed came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was wrong; empty if nothing was.
    pub violations: Vec<String>,
    /// Everything that happened, in order.
    pub trace: Vec<String>,
    /// Which cases were met.
    pub coverage: Coverage,
}

impl Outcome {
    /// A digest of the whole trace: equal for equal runs.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.trace.iter().for_each(|line| hasher.write(line.as_bytes()));
        hasher.finish()
    }
}

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Runs one seed, with a bug planted or without.
pub fn run(seed: u64, bug: Option<Bug>) -> Outcome {
    play(Plan::of(seed, bug), Memory::default(), simulate)
}

/// The same with several nodes over one store.
pub fn run_cluster(seed: u64, bug: Option<Bug>) -> Outcome {
    play(Plan::of_cluster(seed, bug), cluster::store(), cluster::simulate)
}

fn play(plan: Plan, store: Memory, simulate: impl FnOnce(&Shared)) -> Outcome {
    count_panics();
    let panics = PANICS.get();
    let (seed, store) = (plan.seed, Arc::new(store));
    let reader = Reader::new(Arc::clone(&store), process::keyring(seed), Tenant("acme".into()));
    let world = Shared::new(World::new(plan, store, Arc::new(reader)));
    simulate(&world);
    let mut world = world.lock();
    if PANICS.get() > panics {
        world.violate("a task panicked");
    }
    Outcome {
        seed,
        violations: std::mem::take(&mut world.violations),
        trace: std::mem::take(&mut world.trace),
        coverage: std::mem::take(&mut world.coverage),
    }
}

/// A task that panics ends silently, so panics of this thread are counted.
fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            usual(panic);
        }));
    });
}

fn simulate(world: &Shared) {
    let (steps, faulty, mode) = {
        let world = world.lock();
        (world.plan.steps, world.plan.faulty_steps(), world.plan.mode)
    };
    loop {
        let end = process::run(world, async {
            let Some(mut clients) = process::start(world).await else { return End::Done };
            if let End::Crashed = process::live(world, &mut clients, faulty).await {
                return End::Crashed;
            }
            if mode == Mode::Liveness {
                world.lock().end_faults();
                process::live(world, &mut clients, steps).await;
                settle(world, &clients).await;
            }
            End::Done
        });
        let is_done = matches!(end, End::Done);
        after_process(world, is_done && mode == Mode::Liveness);
        if is_done {
            break;
        }
    }
    if mode == Mode::Safety {
        world.lock().end_faults();
        process::run(world, async {
            if let Some(clients) = process::start(world).await {
                settle(world, &clients).await;
            }
        });
        after_process(world, true);
    }
}

/// The process is gone with all that it held; what stands in the store must be right.
fn after_process(world: &Shared, is_at_rest: bool) {
    let mut world = world.lock();
    world.followers.iter_mut().for_each(|follower| follower.is_connected = false);
    for violation in check::violations(&world, is_at_rest) {
        world.violate(violation);
    }
}

/// Waits until all sessions rest, answering calls as a client would, then reads every stream again.
async fn settle(world: &Shared, clients: &Clients) {
    for _ in 0..ROUNDS {
        tokio::time::sleep(ROUND).await;
        if !clients.finish_calls() && is_at_rest(&world.lock()) {
            break;
        }
    }
    let sessions: Vec<_> = {
        let world = world.lock();
        let open = world.sessions.iter().filter(|(_, shadow)| !shadow.state.deleted && !shadow.is_volatile);
        open.map(|(session, _)| *session).collect()
    };
    for session in &sessions {
        read_again(world, clients, *session).await;
    }
    check_list(world, clients).await;
}

fn is_at_rest(world: &World) -> bool {
    let shards = (0..world.store.shards()).map(Shard).collect();
    let open = wait(world.store.open_sessions(shards, None, 1));
    open.is_ok_and(|open| open.is_empty())
}

/// Reads a stream from its start and from cursors that followers held.
async fn read_again(world: &Shared, clients: &Clients, session: SessionId) {
    let (stream, cursors) = {
        let mut world = world.lock();
        let journal = world.reader.journal(session).unwrap_or_default();
        let recorded: Vec<_> = journal.into_iter().map(|entered| entered.recorded).collect();
        let slices = world.reader.slices(session).unwrap_or_default();
        let mut cursors = vec![Cursor::default()];
        let held = world.followers.iter().filter(|follower| follower.session == session);
        let held: Vec<_> = held.flat_map(|follower| &follower.seen).map(|moment| moment.cursor).collect();
        for _ in 0..held.len().min(3) {
            cursors.push(*world.random.one_of(&held));
        }
        (expand(&recorded, &slices), cursors)
    };
    for cursor in cursors {
        let since = if cursor == Cursor::default() { Since::Start } else { Since::After(cursor.sequence) };
        let read = replay(clients, session, since, stream.last().map(|moment| moment.cursor)).await;
        let read: Vec<_> = read.into_iter().filter(|moment| moment.cursor > cursor).collect();
        let from = stream.partition_point(|moment| moment.cursor <= cursor);
        if read != stream[from..] {
            world.lock().violate(format_args!("{}: read again from {cursor:?} it differs", short(session)));
        }
    }
}

async fn replay(clients: &Clients, session: SessionId, since: Since, until: Option<Cursor>) -> Vec<Moment> {
    let Ok(mut follow) = clients.engine.follow(&World::caller(), session, since).await else { return Vec::new() };
    let mut read: Vec<Moment> = Vec::new();
    while read.last().map(|moment| moment.cursor) < until {
        match tokio::time::timeout(QUIET, follow.next()).await {
            Ok(Some(Ok(moments))) => read.extend(moments),
            _ => break,
        }
    }
    read
}

/// The list of agent sessions shows those that exist.
async fn check_list(world: &Shared, clients: &Clients) {
    let direction = mainstay_runtime::Direction::Ascending;
    let listed = clients
        .engine
        .list(&World::caller(), Listing { kind: Kind::Agent, after: None, direction, limit: 100 })
        .await
        .unwrap_or_default();
    let mut listed: Vec<_> = listed.iter().map(|state| state.session).collect();
    listed.sort_unstable();
    let mut world = world.lock();
    let there = world.sessions.iter().filter(|(_, shadow)| shadow.state.kind == Kind::Agent && !shadow.state.deleted);
    let there: Vec<_> = there.map(|(session, _)| *session).collect();
    if listed != there {
        world.violate(format_args!("{} sessions are listed, {} exist", listed.len(), there.len()));
    }
}
