//! Several simulated nodes over one store, in one process: they die, leave, come, lose the store for longer than a lease,
//! and lose letters to each other, while clients ask any of them. The checks are those of one process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use mainstay_providers::peer::{Answered, Letter, Lines, Listened, Peers, Unreached};
use mainstay_runtime::{Cluster, Engine, clock::Virtual, node::Refused, task::Stage};

use super::{
    after_process,
    client::Clients,
    process::{self, begin},
    settle,
    world::{Outage, Shared, World},
};
use crate::store::Memory;

/// Few shards, so that sessions meet in them.
const SHARDS: u16 = 5;
/// How long a lease runs.
const LEASE: Duration = Duration::from_secs(6);
/// How long a lost letter is waited for.
const LOST: Duration = Duration::from_secs(2);
/// How long a node may take to leave in order.
const LEAVES: Duration = Duration::from_secs(20);

/// The store of a cluster.
pub(super) fn store() -> Memory {
    Memory::shared(SHARDS, LEASE)
}

/// Nodes by address, each with the number of its process.
type Nodes = BTreeMap<String, (u32, Arc<Engine>)>;

/// The nodes that can be reached.
#[derive(Clone)]
pub(super) struct Net {
    world: Shared,
    nodes: Arc<Mutex<Nodes>>,
}

/// The network as one node sees it.
struct Port {
    net: Net,
    process: u32,
}

/// What befalls a letter.
enum Fate {
    Arrives,
    Lost,
    /// It arrives; the answer does not.
    Unanswered,
}

impl Net {
    fn new(world: &Shared) -> Self {
        Self { world: world.clone(), nodes: Arc::default() }
    }

    /// Where a node is to be, and how it sees the others.
    pub(super) fn place(&self, process: u32) -> Cluster {
        Cluster { address: address(process), peers: Arc::new(Port { net: self.clone(), process }) }
    }

    /// The node is there from now on.
    pub(super) fn join(&self, process: u32, engine: &Arc<Engine>) {
        self.lock().insert(address(process), (process, Arc::clone(engine)));
    }

    fn leave(&self, process: u32) {
        self.lock().remove(&address(process));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, url: &str) -> Result<(u32, Arc<Engine>), Unreached> {
        let nodes = self.lock();
        let found = nodes.iter().find(|(address, _)| url.starts_with(&format!("{address}/")));
        found.map(|(_, (process, engine))| (*process, Arc::clone(engine))).ok_or_else(|| not_sent("no such node"))
    }
}

fn address(process: u32) -> String {
    format!("http://node-{process}")
}

fn not_sent(why: &str) -> Unreached {
    Unreached::NotSent(why.to_owned())
}

fn refused(refused: Refused) -> Unreached {
    Unreached::Refused(421, format!("{refused:?}"))
}

impl Port {
    fn is_dead(&self, process: u32) -> bool {
        self.net.world.lock().dead.contains(&process)
    }

    async fn fate(&self) -> Fate {
        if self.is_dead(self.process) {
            std::future::pending::<()>().await;
        }
        let mut world = self.net.world.lock();
        let lost = world.plan.lost_letter;
        match world.is_faulty && world.disk.percent(lost) {
            true if world.disk.percent(50) => Fate::Lost,
            true => Fate::Unanswered,
            false => Fate::Arrives,
        }
    }

    async fn carry(&self, letter: Letter) -> Result<Vec<u8>, Unreached> {
        let fate = self.fate().await;
        let (process, engine) = self.net.find(&letter.url)?;
        if let Fate::Lost = fate {
            tokio::time::sleep(LOST).await;
            return Err(Unreached::Lost("simulated".to_owned()));
        }
        let answer = engine.take_errand(&letter.headers[0].1, &letter.body).await;
        if matches!(fate, Fate::Unanswered) || self.is_dead(process) {
            tokio::time::sleep(LOST).await;
            return Err(Unreached::Lost("simulated".to_owned()));
        }
        answer.map_err(refused)
    }

    async fn hear(&self, letter: Letter) -> Result<Lines, Unreached> {
        let fate = self.fate().await;
        let (process, engine) = self.net.find(&letter.url)?;
        if let Fate::Lost | Fate::Unanswered = fate {
            return Err(not_sent("simulated"));
        }
        let lines = engine.let_follow(&letter.headers[0].1, &letter.body).map_err(refused)?;
        let world = self.net.world.clone();
        let lines = lines.take_while(move |_| {
            let mut world = world.lock();
            let lost = world.plan.lost_letter;
            let breaks = world.is_faulty && world.disk.percent(lost / 4);
            std::future::ready(!breaks && !world.dead.contains(&process))
        });
        Ok(lines.map(|line| Ok(Bytes::from(line.strip_suffix(b"\n").unwrap_or(&line).to_vec()))).boxed())
    }
}

impl Peers for Port {
    fn ask(&self, letter: Letter) -> Answered<'_> {
        Box::pin(self.carry(letter))
    }

    fn listen(&self, letter: Letter) -> Listened<'_> {
        Box::pin(self.hear(letter))
    }
}

/// One step of the cluster.
enum Step {
    Kill(usize),
    Leave(usize),
    Come,
    Cut(usize, u64),
    Outage(Outage, u64),
    Wait(u64),
    Client(usize),
}

/// One seed.
pub(super) fn simulate(world: &Shared) {
    process::run(world, async {
        let clock = Arc::new(Virtual::starting_at(world.lock().now()));
        world.lock().set_clock(clock);
        let net = Net::new(world);
        let mut nodes: Vec<Clients> = Vec::new();
        let (steps, faulty) = {
            let world = world.lock();
            (world.plan.steps, world.plan.faulty_steps())
        };
        for step in 0..steps {
            if step == faulty {
                world.lock().end_faults();
            }
            while nodes.is_empty() {
                nodes.extend(begin(world, Some(&net)).await);
            }
            let drawn = draw(&mut world.lock(), nodes.len());
            take(world, &net, (&mut nodes, drawn)).await;
            tokio::task::yield_now().await;
        }
        world.lock().end_faults();
        if let Some(clients) = nodes.first() {
            settle(world, clients).await;
        }
        for node in nodes {
            node.tasks.advance(Stage::Stopped);
        }
    });
    after_process(world, true);
}

fn draw(world: &mut World, nodes: usize) -> Step {
    let plan = world.plan.clone();
    let node = world.random.below(nodes as u64) as usize;
    if nodes < plan.nodes && world.random.percent(10) {
        return Step::Come;
    }
    if world.is_faulty {
        if world.random.percent(plan.crash) {
            return Step::Kill(node);
        }
        if world.random.percent(plan.drain) {
            return Step::Leave(node);
        }
        if world.random.percent(plan.cut) {
            return Step::Cut(node, *world.random.one_of(&[50, 1_000, 5_500, 9_000]));
        }
        let for_ms = *world.random.one_of(&[5, 100, 2_000, 8_000]);
        if world.random.percent(plan.outage) {
            return Step::Outage(Outage::Away, for_ms);
        }
    }
    match world.random.below(20) {
        0..9 => Step::Client(node),
        9..18 => Step::Wait(*world.random.one_of(&[1, 2, 5, 25, 100, 500])),
        _ => Step::Wait(*world.random.one_of(&[1_000, 7_000, 30_000])),
    }
}

async fn take(world: &Shared, net: &Net, (nodes, step): (&mut Vec<Clients>, Step)) {
    match step {
        Step::Kill(node) => {
            let node = nodes.swap_remove(node);
            world.lock().cover_fault_of_all("crash");
            gone(world, net, &node);
            node.tasks.advance(Stage::Stopped);
        }
        Step::Leave(node) => {
            let node = nodes.swap_remove(node);
            world.lock().cover_fault_of_all("drain");
            // A node that cannot reach the store does not get through; it is then stopped all the same.
            let _ = tokio::time::timeout(LEAVES, node.engine.drain()).await;
            gone(world, net, &node);
        }
        Step::Come => nodes.extend(begin(world, Some(net)).await),
        Step::Cut(node, for_ms) => {
            let mut world = world.lock();
            let (process, until) = (nodes[node].process, world.now().plus_ms(for_ms));
            world.cut.insert(process, until);
            world.cover_fault_of_all("cut off");
        }
        Step::Outage(outage, for_ms) => world.lock().begin_outage(outage, for_ms),
        Step::Wait(wait) => tokio::time::sleep(Duration::from_millis(wait)).await,
        Step::Client(node) => nodes[node].step(),
    }
}

/// A process ends: what it still does reaches nobody.
fn gone(world: &Shared, net: &Net, node: &Clients) {
    net.leave(node.process);
    let mut world = world.lock();
    world.dead.insert(node.process);
    let process = node.process;
    world.note(format_args!("p{process} is gone"));
    world.followers.iter_mut().filter(|follower| follower.process == process).for_each(|f| f.is_connected = false);
}
