//! What the edge may ask of the runtime: send commands, read, follow. Wires its parts together and owns the map of
//! sessions in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mainstay_providers::peer::Peers;
use mainstay_seal::{Entropy, Keyring};
use mainstay_session::{Command, State, event::Kind, spec::Limits};
use mainstay_store::{Store, seam::Idempotency};
use mainstay_vocabulary::{Principal, Sequence, SessionId, Shard, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use crate::{
    clock::Clock,
    driver::{Message, drive},
    error::Error,
    fault::Faults,
    follow::Follow,
    gateway::book::Gateway,
    hands::{Hands, Judge},
    hub::Hub,
    journal::Journal,
    lease::Leases,
    membership::{self, Directory},
    peer::Post,
    recovery,
    relay::Relays,
    route::Deployments,
    task::{Stage, TaskKind, Tasks},
    webhook::{self, Outbox, Outlets},
};

/// Commands that wait for one session.
const INBOX: usize = 256;
/// How long an idempotency key is kept, milliseconds.
const KEY_KEPT_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// How long a drain waits for inferences under way; with `REST`, well within 10 s.
const DRAIN: Duration = Duration::from_secs(4);
/// How long it then waits for drivers to leave.
const REST: Duration = Duration::from_secs(2);
/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// Whose data.
    pub tenant: Tenant,
    /// Who acts.
    pub principal: Principal,
}

/// A client's idempotency key with what it covers.
#[derive(Clone, Debug)]
pub struct Idempotent {
    /// The operation, a short constant.
    pub operation: &'static str,
    /// What it is applied to; empty for a create.
    pub target: String,
    /// The client's key.
    pub key: String,
    /// The request's bytes: another request under the same key is a conflict.
    pub request: Vec<u8>,
}

/// A command that is durable.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The session.
    pub session: SessionId,
    /// First event of its batch.
    pub first: Sequence,
    /// Last event of the session.
    pub sequence: Sequence,
    /// When it was decided.
    pub at: Timestamp,
    /// Whether it had been accepted before, under the same idempotency key.
    pub replayed: bool,
    /// The session after it.
    pub state: Arc<State>,
}

/// A model that clients may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// When this process began to serve it.
    pub created_at: Timestamp,
    /// The provider of its first deployment.
    pub owned_by: String,
}

/// API keys by SHA-256 of their text.
#[derive(Clone, Debug, Default)]
pub struct Keys(HashMap<[u8; 32], Caller>);

impl Keys {
    /// Adds a key.
    pub fn add(&mut self, key: &str, caller: Caller) {
        self.0.insert(hash(key), caller);
    }

    fn find(&self, key: &str) -> Option<Caller> {
        self.0.get(&hash(key)).cloned()
    }
}

fn hash(key: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref());
    hash
}

/// All that an engine is made of.
pub struct Parts {
    /// Where journals are kept.
    pub store: Arc<dyn Store>,
    /// Their keys.
    pub keyring: Arc<Keyring>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Tasks.
    pub tasks: Tasks,
    /// Who serves which model.
    pub deployments: Deployments,
    /// Who may ask.
    pub keys: Keys,
    /// Bounds of a turn where an agent sets none.
    pub limits: Limits,
    /// Where tools are found.
    pub hands: Hands,
    /// Says whether calls may be made.
    pub judge: Arc<dyn Judge>,
    /// Where events of sessions are sent, and what the wires know of them.
    pub outlets: Outlets,
    /// How other nodes on the same store are reached, and this one by them; `None` where the store is this process's.
    pub cluster: Option<Cluster>,
    /// What a test build breaks.
    pub faults: Faults,
}

/// This node among others.
pub struct Cluster {
    /// Where others reach it: scheme, host and port.
    pub address: String,
    /// How it reaches them.
    pub peers: Arc<dyn Peers>,
}

/// Drives all sessions of this process.
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) journal: Journal,
    pub(crate) leases: Leases,
    pub(crate) hub: Hub,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) deployments: Deployments,
    pub(crate) hands: Hands,
    pub(crate) judge: Arc<dyn Judge>,
    pub(crate) faults: Faults,
    pub(crate) gateway: Gateway,
    pub(crate) outbox: Outbox,
    pub(crate) directory: Directory,
    pub(crate) relays: Relays,
    /// Speaks to other nodes, where there may be any.
    pub(crate) post: Option<Post>,
    pub(crate) address: String,
    /// Wakes recovery: shards were taken.
    pub(crate) recovery: Notify,
    keys: Keys,
    limits: Limits,
    started_at: Timestamp,
    sessions: Mutex<HashMap<SessionId, mpsc::Sender<Message>>>,
}

impl Engine {
    /// Takes its shards and begins to recover what earlier incarnations left open.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be written to.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, Error> {
        let journal = Journal { store: parts.store, keyring: parts.keyring, entropy: parts.entropy };
        let mut incarnation = [0; 16];
        journal.entropy.fill(&mut incarnation);
        let mut first_number = [0; 4];
        journal.entropy.fill(&mut first_number);
        let leases = Leases::new(Arc::clone(&journal.store), Arc::clone(&parts.clock), incarnation);
        let (address, post) = match parts.cluster {
            Some(Cluster { address, peers }) => {
                let key = journal.keyring.node_key();
                (address, Some(Post::new(peers, &key, Arc::clone(&parts.clock))))
            }
            None => (String::new(), None),
        };
        let inner = Arc::new(Inner {
            journal,
            leases,
            hub: Hub::default(),
            started_at: parts.clock.now(),
            clock: parts.clock,
            tasks: parts.tasks,
            deployments: parts.deployments,
            hands: parts.hands,
            judge: parts.judge,
            faults: parts.faults,
            gateway: Gateway::new(first_number),
            outbox: Outbox::new(parts.outlets)?,
            directory: Directory::default(),
            relays: Relays::default(),
            post,
            address,
            recovery: Notify::new(),
            keys: parts.keys,
            limits: parts.limits,
            sessions: Mutex::default(),
        });
        membership::start(&inner).await?;
        recovery::start(&inner)?;
        webhook::start(&inner)?;
        Ok(Arc::new(Self { inner }))
    }

    /// Finds who an API key belongs to.
    pub fn authenticate(&self, key: &str) -> Option<Caller> {
        self.inner.keys.find(key)
    }

    /// An id for a new session: in the shard of `near` where that is given; else in one that this node drives, or, under
    /// a key, in the one that the key's scope names. It is derived from that scope, so that a retry finds it.
    pub fn session_id(&self, caller: &Caller, idempotent: Option<&Idempotent>, near: Option<SessionId>) -> SessionId {
        let mut rest = [0; 16];
        let shard = match idempotent {
            Some(idempotent) => {
                let scope = self.inner.scope(caller, idempotent);
                rest.copy_from_slice(&scope[..16]);
                self.inner.home(&scope)
            }
            None => {
                self.inner.journal.entropy.fill(&mut rest);
                self.inner.own_shard(&rest)
            }
        };
        SessionId::new(near.map_or(shard, |near| near.shard()), rest)
    }

    /// Sends a command and waits until it is durable or refused.
    ///
    /// # Errors
    /// See `Error`; after any error but `Unavailable` nothing has changed. After `Unavailable` a retry with the same
    /// idempotency key is safe.
    pub async fn submit(
        &self,
        caller: &Caller,
        session: SessionId,
        command: Command,
        idempotent: Option<Idempotent>,
    ) -> Result<Accepted, Error> {
        let inner = &self.inner;
        if !inner.tasks.is_serving() {
            return Err(Error::Unavailable("the server is stopping".to_owned()));
        }
        let idempotency = idempotent.map(|idempotent| inner.idempotency(caller, &idempotent));
        let shard = session.shard();
        if let Some(known) = &idempotency
            && let Some(accepted) = self.remembered(caller, shard, known).await?
        {
            return Ok(accepted);
        }
        let answer = inner.place(caller, session, command, idempotency.as_ref()).await?;
        // Another request with the key was first, maybe with another session.
        if let (true, Some(known)) = (answer.replayed, &idempotency)
            && let Some(accepted) = self.remembered(caller, shard, known).await?
        {
            return Ok(accepted);
        }
        Ok(answer)
    }

    /// What an earlier request with the same key began; `near` as given to `session_id`, or the session that it is sent
    /// to. Asked first, so that a repeated request finds its result although what it named may be gone by now.
    ///
    /// # Errors
    /// `IdempotencyMismatch`; `NotFound` if the session is gone; `Unavailable`.
    pub async fn replayed(
        &self,
        caller: &Caller,
        idempotent: Option<&Idempotent>,
        near: Option<SessionId>,
    ) -> Result<Option<Accepted>, Error> {
        let Some(idempotent) = idempotent else { return Ok(None) };
        let idempotency = self.inner.idempotency(caller, idempotent);
        let shard = near.map_or_else(|| self.inner.home(&idempotency.scope), |near| near.shard());
        self.remembered(caller, shard, &idempotency).await
    }

    async fn remembered(
        &self,
        caller: &Caller,
        shard: Shard,
        idempotency: &Idempotency,
    ) -> Result<Option<Accepted>, Error> {
        let known = self.inner.journal.store.remembered(shard, idempotency.scope).await?;
        let Some(known) = known.filter(|_| !self.inner.faults.has(crate::fault::Bug::KeyForgotten)) else {
            return Ok(None);
        };
        if known.request != idempotency.request {
            return Err(Error::IdempotencyMismatch);
        }
        let state = self.state(caller, known.session).await?;
        let (session, first) = (known.session, known.sequence);
        Ok(Some(Accepted { session, first, sequence: state.sequence, at: state.active_at, replayed: true, state }))
    }

    /// The same as `submit`, following from before the command's own events.
    ///
    /// # Errors
    /// As `submit`.
    pub async fn submit_and_follow(
        &self,
        caller: &Caller,
        session: SessionId,
        command: Command,
        idempotent: Option<Idempotent>,
    ) -> Result<(Accepted, Follow), Error> {
        let live = self.inner.listen_surely(session).await;
        let accepted = self.submit(caller, session, command, idempotent).await?;
        let follow = if accepted.replayed {
            let before = Sequence(accepted.first.0.saturating_sub(1));
            Follow::after(Arc::clone(&self.inner), caller, accepted.session, before)
        } else {
            Follow::live(Arc::clone(&self.inner), caller, &accepted, live)
        };
        Ok((accepted, follow))
    }

    /// The tenant's registry: its journal and its state. Made where it is missing.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn registry(&self, caller: &Caller) -> Result<(SessionId, Arc<State>), Error> {
        let session = self.registry_id(&caller.tenant);
        match self.state(caller, session).await {
            Ok(state) => return Ok((session, state)),
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        let create = Command::begin(Kind::Registry);
        match self.submit(caller, session, create, None).await {
            Ok(accepted) => Ok((session, accepted.state)),
            // Another request made it at the same time.
            Err(Error::Refused(mainstay_session::Refusal::Exists)) => Ok((session, self.state(caller, session).await?)),
            Err(error) => Err(error),
        }
    }

    /// The tenant's registry, which may not exist yet.
    pub fn registry_id(&self, tenant: &Tenant) -> SessionId {
        let digest = self.inner.journal.keyring.digest(tenant, "registry", &[]);
        let mut rest = [0; 16];
        rest.copy_from_slice(&digest[..16]);
        SessionId::new(self.inner.home(&digest), rest)
    }

    /// Models that clients may ask for.
    pub fn models(&self) -> Vec<Model> {
        let created_at = self.inner.started_at;
        let model =
            |(name, owner): (&str, &str)| Model { name: name.to_owned(), created_at, owned_by: owner.to_owned() };
        self.inner.deployments.models().map(model).collect()
    }

    /// Bounds of a turn where an agent sets none.
    pub fn default_limits(&self) -> Limits {
        self.inner.limits
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The process's tasks.
    pub fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    /// Stops taking input, waits for what is under way to come to a commit, closes the store. What is not finished
    /// goes on with the next start.
    pub async fn drain(&self) {
        let tasks = &self.inner.tasks;
        // What other nodes can go on with is handed over before intake stops.
        membership::hand_over(&self.inner, DRAIN).await;
        tasks.advance(Stage::Draining);
        let idle = async {
            while tasks.running(TaskKind::Inference) > 0
                || tasks.running(TaskKind::Tool) > 0
                || self.inner.gateway.waiting() > 0
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(DRAIN, idle).await;
        tasks.advance(Stage::Stopped);
        let sessions = async {
            while tasks.running(TaskKind::Session) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(REST, sessions).await;
        membership::give_back_all(&self.inner).await;
        if let Err(error) = self.inner.journal.store.close().await {
            tracing::warn!(%error, "the store did not close cleanly");
        }
    }
}

impl Inner {
    /// Whether commits may still be tried.
    pub(crate) fn is_running(&self) -> bool {
        *self.tasks.stage().borrow() != Stage::Stopped
    }

    /// Another incarnation owns the shard: nothing of it may be sent out or written any more.
    pub(crate) fn lose(&self, shard: Shard) {
        if self.leases.is_sole() {
            tracing::error!("the lease on the shard is lost to another process; stopping");
            return self.tasks.advance(Stage::Stopped);
        }
        if self.leases.forget(shard).is_some() {
            tracing::warn!(shard = shard.0, "a shard is lost to another node, or its lease ran out");
            self.hub.reset_shard(shard);
        }
    }

    /// Hands a message to a session's driver; starts one where none runs.
    pub(crate) fn send(self: &Arc<Self>, session: SessionId, message: Message) -> Result<(), Error> {
        self.leases.epoch(session.shard())?;
        let mut sessions = self.sessions();
        let mut message = message;
        if let Some(sender) = sessions.get(&session) {
            match sender.try_send(message) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => {
                    return Err(Error::Overloaded("commands wait for the session".into()));
                }
                // Its driver died; another takes its place.
                Err(mpsc::error::TrySendError::Closed(back)) => message = back,
            }
        }
        let (sender, inbox) = mpsc::channel(INBOX);
        // The channel is new and empty: it takes the one message.
        let _ = sender.try_send(message);
        let driver = drive(Arc::clone(self), session, inbox);
        self.tasks.spawn(TaskKind::Session, driver).map_err(|_| Error::Overloaded("sessions are active".into()))?;
        sessions.insert(session, sender);
        Ok(())
    }

    /// Whether any session of a shard is in memory.
    pub(crate) fn drives(&self, shard: Shard) -> bool {
        self.sessions().keys().any(|session| session.shard() == shard)
    }

    /// The driver of a session, where one runs. One that died is none: recovery starts another.
    pub(crate) fn driver(&self, session: SessionId) -> Option<mpsc::Sender<Message>> {
        self.sessions().get(&session).filter(|driver| !driver.is_closed()).cloned()
    }

    /// Takes a session out of memory unless a message waits for it.
    pub(crate) fn retire(&self, session: SessionId, inbox: &mpsc::Receiver<Message>) -> bool {
        let mut sessions = self.sessions();
        if inbox.is_empty() {
            sessions.remove(&session);
        }
        inbox.is_empty()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, mpsc::Sender<Message>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scope(&self, caller: &Caller, idempotent: &Idempotent) -> [u8; 32] {
        let parts = [
            caller.principal.0.as_bytes(),
            idempotent.operation.as_bytes(),
            idempotent.target.as_bytes(),
            idempotent.key.as_bytes(),
        ];
        self.journal.keyring.digest(&caller.tenant, "idempotency", &parts)
    }

    fn idempotency(&self, caller: &Caller, idempotent: &Idempotent) -> Idempotency {
        Idempotency {
            scope: self.scope(caller, idempotent),
            request: self.journal.keyring.digest(&caller.tenant, "request", &[&idempotent.request]),
            expires: self.clock.now().plus_ms(KEY_KEPT_MS),
        }
    }
}
