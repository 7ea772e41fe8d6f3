//! One simulated process: a runtime of its own, which loses all that it holds in memory when it is dropped, in the
//! middle of whatever its tasks wait for. Its clock goes on where the last process stopped.

use std::{sync::Arc, time::Duration};

use mainstay_providers::Provider;
use mainstay_runtime::{
    Engine, Keys, Parts,
    clock::Virtual,
    fault::Faults,
    route::{Deployment, Deployments, Price},
    task::{Stage, Tasks},
};
use mainstay_seal::Keyring;
use mainstay_session::spec::Limits;
use mainstay_vocabulary::place::Place;

use super::{
    client::Clients,
    cluster::Net,
    compose::MODEL,
    disk::Disk,
    entropy::Seeded,
    provider::Actor,
    toolbox,
    world::{Outage, Shared, World},
};

/// Times that a process tries to start before that counts as hanging.
const STARTS: usize = 200;

/// How a process came to its end.
pub(super) enum End {
    /// Its memory is lost; another one follows.
    Crashed,
    /// All steps are done.
    Done,
}

/// Runs a process for as long as `work` takes; then all that it holds is lost.
pub(super) fn run<T>(world: &Shared, work: impl Future<Output = T>) -> T {
    let built = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    #[allow(clippy::expect_used, reason = "without a runtime there is no test")]
    let runtime = built.expect("a runtime");
    runtime.block_on(async {
        let worked = work.await;
        // Outside of its runtime a virtual clock would show real time.
        world.lock().stop_clock();
        worked
    })
}

/// The keys of a seed.
pub(super) fn keyring(seed: u64) -> Keyring {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Keyring::ephemeral(bytes)
}

/// Starts a process; tries again while the store is away. `None` if it never gets up.
pub(super) async fn start(world: &Shared) -> Option<Clients> {
    begin(world, None).await
}

/// The same for a node of a cluster.
pub(super) async fn begin(world: &Shared, net: Option<&Net>) -> Option<Clients> {
    let (seed, number, bug, continues, now) = {
        let mut world = world.lock();
        let number = world.next_process();
        (world.plan.seed, number, world.plan.bug, world.plan.continues_prefix, world.now())
    };
    let clock = Arc::new(Virtual::starting_at(now));
    if net.is_none() {
        world.lock().set_clock(clock.clone());
    }
    for _ in 0..STARTS {
        let actor = |continues_prefix| {
            let world = world.clone();
            Arc::new(Actor { world, process: number, continues_prefix }) as Arc<dyn Provider>
        };
        let mut deployments = Deployments::default();
        deployments.add(MODEL, deployment("first", actor(continues)));
        deployments.add(MODEL, deployment("second", actor(false)));
        let tasks = Tasks::default();
        let parts = Parts {
            store: Arc::new(Disk::new(world.clone(), number)),
            keyring: Arc::new(keyring(seed)),
            entropy: Arc::new(Seeded::new(seed ^ u64::from(number) << 32)),
            clock: clock.clone(),
            tasks: tasks.clone(),
            deployments,
            hands: toolbox::hands(world, number),
            judge: Arc::new(mainstay_runtime::hands::StandardJudge),
            keys: Keys::default(),
            limits: Limits::default(),
            outlets: mainstay_runtime::webhook::Outlets::default(),
            cluster: net.map(|net| net.place(number)),
            faults: Faults { bug, kill: None },
        };
        match Engine::start(parts).await {
            Ok(engine) => {
                world.lock().note(format_args!("process {number} starts"));
                if let Some(net) = net {
                    net.join(number, &engine);
                }
                return Some(Clients { world: world.clone(), process: number, engine, tasks });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    world.lock().violate("a process does not start");
    None
}

fn deployment(name: &str, provider: Arc<dyn Provider>) -> Deployment {
    Deployment {
        name: name.to_owned(),
        provider_name: name.to_owned(),
        provider,
        upstream_model: "upstream".to_owned(),
        place: Place::default(),
        price: Some(Price { input: 3, cached_input: 1, cache_write: 4, output: 15 }),
        max_output_tokens: None,
    }
}

/// Takes steps until the process crashes, or `until` is reached.
pub(super) async fn live(world: &Shared, clients: &mut Clients, until: u64) -> End {
    let mut zombies: Vec<Clients> = Vec::new();
    loop {
        let drawn = {
            let mut world = world.lock();
            if world.step >= until {
                break;
            }
            world.step += 1;
            draw(&mut world)
        };
        match drawn {
            Step::Crash => {
                world.lock().cover_fault_of_all("crash");
                return End::Crashed;
            }
            Step::Drain => {
                world.lock().cover_fault_of_all("drain");
                clients.engine.drain().await;
                return End::Crashed;
            }
            Step::TakeOver => {
                world.lock().cover_fault_of_all("takeover");
                let Some(successor) = start(world).await else { return End::Done };
                zombies.push(std::mem::replace(clients, successor));
            }
            Step::Outage(outage, for_ms) => world.lock().begin_outage(outage, for_ms),
            Step::Bury => {
                if let Some(zombie) = zombies.pop() {
                    zombie.tasks.advance(Stage::Stopped);
                }
            }
            Step::Wait(wait) => tokio::time::sleep(Duration::from_millis(wait)).await,
            Step::Client => clients.step(),
        }
        tokio::task::yield_now().await;
    }
    for zombie in zombies {
        zombie.tasks.advance(Stage::Stopped);
    }
    End::Done
}

/// One step of the world.
enum Step {
    Crash,
    Drain,
    TakeOver,
    Outage(Outage, u64),
    /// A process that was taken over ends at last.
    Bury,
    Wait(u64),
    Client,
}

fn draw(world: &mut World) -> Step {
    let plan = world.plan.clone();
    if world.is_faulty {
        if world.random.percent(plan.crash) {
            return Step::Crash;
        }
        if world.random.percent(plan.takeover) {
            return Step::TakeOver;
        }
        if world.random.percent(plan.drain) {
            return Step::Drain;
        }
        let for_ms = *world.random.one_of(&[5, 100, 2_000]);
        if world.random.percent(plan.full) {
            return Step::Outage(Outage::Full, for_ms);
        }
        if world.random.percent(plan.outage) {
            return Step::Outage(Outage::Away, for_ms);
        }
        if world.random.percent(3) {
            return Step::Bury;
        }
    }
    if world.random.percent(plan.hurry) {
        return Step::Client;
    }
    match world.random.below(10) {
        0..4 => Step::Client,
        4..9 => Step::Wait(*world.random.one_of(&[1, 2, 5, 25, 100, 500])),
        _ => Step::Wait(*world.random.one_of(&[1_000, 7_000, 30_000])),
    }
}
