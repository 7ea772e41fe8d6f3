//! Clients: send commands with and without keys, lose patience, try again, follow, go away and come back.

use std::{sync::Arc, time::Duration};

use mainstay_runtime::{
    Caller, Engine,
    task::{TaskKind, Tasks},
};
use mainstay_session::{Command, State, command::Create, event::Kind};
use mainstay_vocabulary::{Principal, SessionId, Tenant};

use super::{
    ask::{Ask, Reply},
    compose::{self, Composed},
    coverage::effect,
    follower,
    world::{Shared, World, short},
};

/// Of a hundred commands, those that carry an idempotency key.
const KEYED: u64 = 40;

/// The clients of one process.
pub(super) struct Clients {
    pub(super) world: Shared,
    /// The number of the process.
    pub(super) process: u32,
    pub(super) engine: Arc<Engine>,
    pub(super) tasks: Tasks,
}

impl Clients {
    /// One step of some client.
    pub(super) fn step(&self) {
        let drawn = self.world.lock().random.below(100);
        match drawn {
            0..10 => self.create(),
            10..13 => self.fork(),
            13..17 => self.registry(),
            17..27 => self.try_again(),
            27..30 => self.impersonate(),
            30..42 => self.follow(),
            42..50 => self.come_back(),
            50..52 => self.intrude(),
            _ => self.command(),
        }
    }

    /// Answers one call of each session that waits for its client. Whether there was any.
    pub(super) fn finish_calls(&self) -> bool {
        let numbers: Vec<_> = {
            let mut world = self.world.lock();
            let waiting = world.sessions.values().map(|shadow| &shadow.state);
            let waits = |state: &&State| !state.calls.is_empty() || compose::asks(state) && !state.deleted;
            let waiting: Vec<_> = waiting.filter(waits).cloned().collect();
            waiting
                .iter()
                .map(|state| {
                    let composed = if state.calls.is_empty() {
                        compose::respond(&mut world, state)
                    } else {
                        compose::return_call(&mut world, state)
                    };
                    note(&mut world, state.session, composed)
                })
                .collect()
        };
        numbers.iter().for_each(|number| self.send(*number));
        !numbers.is_empty()
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if self.tasks.spawn(TaskKind::Connection, task).is_err() {
            self.world.lock().violate("there are too many connections");
        }
    }

    /// Sends a command that is kept under its number.
    fn send(&self, number: usize) {
        let (ask, patience) = {
            let mut world = self.world.lock();
            let patience = patience(&mut world);
            world.asks[number].attempts += 1;
            (world.asks[number].clone(), patience)
        };
        let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
        let follows = ask.key.is_none() && self.world.lock().random.percent(15);
        let (tasks, process) = (self.tasks.clone(), self.process);
        self.spawn(async move {
            let (caller, session, command) = (ask.caller.clone(), ask.session, ask.command.clone());
            let idempotent = ask.idempotent();
            if follows {
                let sent = engine.submit_and_follow(&caller, session, command, idempotent);
                let Some(answer) = wait(patience, sent).await else { return lost(&world, number) };
                let answer = answer.map(|(accepted, follow)| {
                    follower::attend(&world, (&tasks, process), (accepted.first, follow), session);
                    accepted
                });
                world.lock().answer(number, Reply::from(answer));
            } else {
                let sent = engine.submit(&caller, session, command, idempotent);
                let Some(answer) = wait(patience, sent).await else { return lost(&world, number) };
                world.lock().answer(number, Reply::from(answer));
            }
        });
    }

    fn create(&self) {
        let number = {
            let mut world = self.world.lock();
            if world.sessions.len() >= world.plan.sessions {
                return;
            }
            let (composed, _) = compose::create(&mut world);
            self.note_create(&mut world, composed)
        };
        self.send(number);
    }

    fn note_create(&self, world: &mut World, composed: Composed) -> usize {
        let unplaced = self.engine.session_id(&World::caller(), None, None);
        let number = note(world, unplaced, composed);
        if let Some(idempotent) = world.asks[number].idempotent() {
            world.asks[number].session = self.engine.session_id(&World::caller(), Some(&idempotent), None);
        }
        number
    }

    /// Forks some session at the end of its last turn.
    fn fork(&self) {
        let (number, parent, create) = {
            let mut world = self.world.lock();
            if world.sessions.len() >= world.plan.sessions {
                return;
            }
            let Some(session) = pick(&mut world) else { return };
            let shadow = &world.sessions[&session];
            let Some(last) = shadow.state.last_turn.clone().filter(|_| !shadow.is_volatile) else { return };
            let open = effect(&shadow.state);
            world.coverage.note(open, "fork");
            let (composed, create) = compose::create(&mut world);
            let number = self.note_create(&mut world, Composed { kind: "fork", ..composed });
            world.asks[number].attempts += 1;
            (number, (session, last.ended), create)
        };
        let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
        self.spawn(async move {
            let caller = World::caller();
            let (session, create) = match engine.fork(&caller, parent.0, parent.1, create).await {
                Ok(create) => (world.lock().asks[number].session, answered(create)),
                Err(error) => return world.lock().answer(number, Reply::Refused(error.to_string())),
            };
            let idempotent = {
                let mut world = world.lock();
                world.asks[number].is_ready = true;
                world.asks[number].command = Command::Create(Box::new(create.clone()));
                world.asks[number].idempotent()
            };
            let answer = engine.submit(&caller, session, Command::Create(Box::new(create)), idempotent).await;
            world.lock().answer(number, Reply::from(answer));
        });
    }

    /// Opens the registry, or changes it.
    fn registry(&self) {
        let known = {
            let world = self.world.lock();
            world.sessions.iter().find(|(_, shadow)| shadow.state.kind == Kind::Registry).map(|(id, _)| *id)
        };
        if let Some(session) = known {
            return self.command_to(session);
        }
        let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
        self.spawn(async move {
            let opened = engine.registry(&World::caller()).await;
            world.lock().note(format_args!("registry {}", opened.is_ok()));
        });
    }

    fn command(&self) {
        let session = pick(&mut self.world.lock());
        if let Some(session) = session {
            self.command_to(session);
        }
    }

    fn command_to(&self, session: SessionId) {
        let number = {
            let mut world = self.world.lock();
            let Some(composed) = compose::command(&mut world, session) else { return };
            note(&mut world, session, composed)
        };
        self.send(number);
    }

    /// Sends a command with a key once more, maybe while the first attempt is still under way.
    fn try_again(&self) {
        let number = {
            let mut world = self.world.lock();
            let again = world.random.percent(10);
            let known =
                world.asks.iter().enumerate().filter(|(_, ask)| ask.key.is_some() && ask.is_ready && !ask.is_impostor);
            let known: Vec<_> = known.filter(|(_, ask)| ask.is_unsure() || again).map(|(number, _)| number).collect();
            if known.is_empty() {
                return;
            }
            let number = *world.random.one_of(&known);
            let kind = world.asks[number].kind;
            world.coverage.note(kind, "retry with key");
            world.note(format_args!("#{number} once more"));
            number
        };
        self.send(number);
    }

    /// Sends another request under a key that is taken.
    fn impersonate(&self) {
        let number = {
            let mut world = self.world.lock();
            let taken = world.asks.iter().enumerate().filter(|(_, ask)| ask.holds_key());
            let taken: Vec<_> = taken.filter(|(_, ask)| ask.kind != "fork").map(|(number, _)| number).collect();
            if taken.is_empty() {
                return;
            }
            let original = *world.random.one_of(&taken);
            let (kind, key) = (world.asks[original].kind, world.asks[original].key.clone());
            let session = world.asks[original].session;
            world.coverage.note(kind, "other request under key");
            let composed = match world.asks[original].command {
                Command::Create(_) => compose::create(&mut world).0,
                _ => match compose::command(&mut world, session) {
                    Some(composed) if !composed.markers.is_empty() => composed,
                    _ => return,
                },
            };
            let number = note(&mut world, session, composed);
            world.asks[number].key = key;
            world.asks[number].is_impostor = true;
            number
        };
        self.send(number);
    }

    /// Another tenant tries its luck.
    fn intrude(&self) {
        let number = {
            let mut world = self.world.lock();
            let Some(session) = pick(&mut world) else { return };
            let Some(composed) = compose::command(&mut world, session) else { return };
            let number = note(&mut world, session, Composed { kind: "intrude", ..composed });
            world.asks[number].key = None;
            world.asks[number].caller = Caller { tenant: Tenant("other".into()), principal: Principal("thief".into()) };
            number
        };
        self.send(number);
    }
}

fn patience(world: &mut World) -> Option<Duration> {
    let impatience = if world.is_faulty { world.plan.impatience } else { 0 };
    world.random.percent(impatience).then(|| Duration::from_millis(world.random.below(60)))
}

/// A session that exists, also one that is gone.
pub(super) fn pick(world: &mut World) -> Option<SessionId> {
    let agents = world.sessions.iter().filter(|(_, shadow)| shadow.state.kind != Kind::Registry);
    let (gone, there): (Vec<_>, Vec<_>) = agents.partition(|(_, shadow)| shadow.state.deleted);
    let choices = if there.is_empty() || !gone.is_empty() && world.random.percent(3) { gone } else { there };
    let choices: Vec<_> = choices.into_iter().map(|(session, _)| *session).collect();
    (!choices.is_empty()).then(|| *world.random.one_of(&choices))
}

/// Keeps a command under a number.
fn note(world: &mut World, session: SessionId, composed: Composed) -> usize {
    let Composed { kind, command, markers } = composed;
    let key = world.random.percent(KEYED).then(|| format!("key-{}", world.next_number()));
    let number = world.asks.len();
    if let Some(shadow) = world.sessions.get(&session) {
        world.coverage.note(effect(&shadow.state), kind);
    }
    world.note(format_args!("#{number} {kind} {} key {key:?} {markers:?}", short(session)));
    let (caller, is_impostor, is_ready) = (World::caller(), false, kind != "fork");
    world.asks.push(Ask {
        kind,
        session,
        caller,
        command,
        markers,
        key,
        is_ready,
        is_impostor,
        attempts: 0,
        answers: Vec::new(),
    });
    number
}

fn lost(world: &Shared, number: usize) {
    world.lock().answer(number, Reply::Unsure("the client did not wait".to_owned()));
}

async fn wait<T>(patience: Option<Duration>, answer: impl Future<Output = T>) -> Option<T> {
    match patience {
        Some(patience) => tokio::time::timeout(patience, answer).await.ok(),
        None => Some(answer.await),
    }
}

/// A fork whose first input brings the results that the inherited context lacks.
fn answered(mut create: Create) -> Create {
    let calls = create.created.unanswered.clone();
    if let Some(input) = &mut create.input {
        compose::answer_all(input, &calls);
    }
    create
}
