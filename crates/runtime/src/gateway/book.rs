//! Where intents and ends of a tenant's stateless inferences gather: one task per tenant hands whatever has gathered
//! to the journal as one command, and the next gather while it commits.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mainstay_session::{
    Command,
    event::{Booked, Kind, Outgoing, Settled},
};
use mainstay_store::seam::{Direction, IndexQuery, Lease, Shards};
use mainstay_vocabulary::{Principal, SessionId, Tenant};
use tokio::sync::{mpsc, oneshot};

use crate::{
    commit::list_of,
    engine::{Accepted, Caller, Inner},
    error::Error,
    task::{Exhausted, Stage, TaskKind},
};

/// Most entries of one event: with routes and receipts it stays far below the bound of an event.
const MAX_GATHERED: usize = 256;
/// Events after which another journal is begun: its reader pages through few.
const MAX_EVENTS: u64 = 50_000;
/// How long a tenant's task waits for more before it ends.
const LINGER: Duration = Duration::from_secs(30);
/// First wait before ends that could not be committed are tried again; doubles.
const RETRY: Duration = Duration::from_millis(20);
/// Longest such wait.
const MAX_RETRY: Duration = Duration::from_secs(2);
/// Who acts.
const GATEWAY: &str = "gateway";

/// What gathers.
pub(crate) enum Entry {
    /// An intent; the answer comes once it is on disk: the lease that it stands under.
    Intended(Box<Outgoing>, oneshot::Sender<Result<Lease, Error>>),
    /// An end.
    Settled(Settled),
}

/// The books of all tenants. Their queues need no bound of their own: every entry belongs to an inference, and those
/// are bounded.
#[derive(Default)]
pub(crate) struct Gateway {
    books: Mutex<HashMap<Tenant, mpsc::UnboundedSender<Entry>>>,
    number: AtomicU64,
    waiting: AtomicUsize,
}

impl Gateway {
    /// Numbers of this process's inferences begin where no other process's do.
    pub(crate) fn new(entropy: [u8; 4]) -> Self {
        let first = u64::from(u32::from_le_bytes(entropy)) << 31;
        Self { number: AtomicU64::new(first), ..Self::default() }
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// Entries that are not on disk yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Waits until the intent is on disk. Its epoch is filled in.
pub(crate) async fn intend(inner: &Arc<Inner>, tenant: &Tenant, outgoing: Outgoing) -> Result<Lease, Error> {
    let (reply, answer) = oneshot::channel();
    send(inner, tenant, Entry::Intended(Box::new(outgoing), reply))?;
    answer.await.unwrap_or_else(|_| Err(Error::Unavailable("the gateway's journal ended".to_owned())))
}

/// Hands over an end; it will be on disk before the process stops in an orderly way.
pub(crate) fn settle(inner: &Arc<Inner>, tenant: &Tenant, settled: Settled) {
    if let Err(error) = send(inner, tenant, Entry::Settled(settled)) {
        tracing::warn!(%error, "an inference's end is booked by the next start, by its estimate");
    }
}

fn send(inner: &Arc<Inner>, tenant: &Tenant, entry: Entry) -> Result<(), Error> {
    let mut books = inner.gateway.books.lock().unwrap_or_else(PoisonError::into_inner);
    inner.gateway.waiting.fetch_add(1, Ordering::Relaxed);
    let entry = match books.get(tenant) {
        Some(book) => match book.send(entry) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::SendError(back)) => back,
        },
        None => entry,
    };
    let (sender, entries) = mpsc::unbounded_channel();
    let book = Book { inner: Arc::clone(inner), tenant: tenant.clone(), entries, journal: None, open: HashMap::new() };
    if let Err(Exhausted) = inner.tasks.spawn(TaskKind::Gateway, book.run()) {
        inner.gateway.waiting.fetch_sub(1, Ordering::Relaxed);
        return Err(Error::Overloaded("tenants use the gateway".into()));
    }
    // Its receiver is in the task that was just spawned.
    let _ = sender.send(entry);
    books.insert(tenant.clone(), sender);
    Ok(())
}

/// One tenant's task.
struct Book {
    inner: Arc<Inner>,
    tenant: Tenant,
    entries: mpsc::UnboundedReceiver<Entry>,
    /// The journal of now.
    journal: Option<SessionId>,
    /// Inferences under way and the journal that holds their intent.
    open: HashMap<u64, SessionId>,
}

impl Book {
    async fn run(mut self) {
        let mut gathered = Vec::new();
        loop {
            let received = tokio::time::timeout(LINGER, self.entries.recv_many(&mut gathered, MAX_GATHERED)).await;
            match received {
                Ok(0) => return,
                Ok(count) => {
                    self.take(std::mem::take(&mut gathered)).await;
                    self.inner.gateway.waiting.fetch_sub(count, Ordering::Relaxed);
                }
                Err(_) if self.retire() => return,
                Err(_) => {}
            }
        }
    }

    /// Leaves, unless an inference is under way or an entry came.
    fn retire(&self) -> bool {
        let mut books = self.inner.gateway.books.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = self.open.is_empty() && self.entries.is_empty();
        if rests {
            books.remove(&self.tenant);
        }
        rests
    }

    async fn take(&mut self, entries: Vec<Entry>) {
        let mut intended = Vec::new();
        let mut replies = Vec::new();
        // By the journal that holds the intent.
        let mut settled: HashMap<SessionId, Vec<Settled>> = HashMap::new();
        for entry in entries {
            match entry {
                Entry::Intended(outgoing, reply) => {
                    intended.push(*outgoing);
                    replies.push(reply);
                }
                Entry::Settled(end) => {
                    if let Some(journal) = self.open.remove(&end.number) {
                        settled.entry(journal).or_default().push(end);
                    }
                }
            }
        }
        if !intended.is_empty() {
            let result = self.intend(intended, &mut settled).await;
            for reply in replies {
                let _ = reply.send(result.clone());
            }
        }
        for (journal, settled) in settled {
            self.settle(journal, settled).await;
        }
    }

    /// Commits intents, with the ends that belong into the same journal.
    async fn intend(
        &mut self,
        intended: Vec<Outgoing>,
        settled: &mut HashMap<SessionId, Vec<Settled>>,
    ) -> Result<Lease, Error> {
        let journal = self.journal().await?;
        let lease = self.inner.leases.current(journal.shard()).ok_or(Error::Elsewhere)?;
        let numbers: Vec<u64> = intended.iter().map(|outgoing| outgoing.number).collect();
        let under = |outgoing: Outgoing| Arc::new(Outgoing { epoch: lease.epoch, ..outgoing });
        let intended = intended.into_iter().map(under).collect();
        let ends = settled.get(&journal).cloned().unwrap_or_default();
        let accepted = self.submit(journal, Command::Book(Booked { intended, settled: ends })).await?;
        settled.remove(&journal);
        self.open.extend(numbers.into_iter().map(|number| (number, journal)));
        if accepted.sequence.0 >= MAX_EVENTS {
            self.journal = None;
        }
        Ok(lease)
    }

    /// Commits ends; tries until they are on disk: the money is spent. New intents wait meanwhile.
    async fn settle(&self, journal: SessionId, settled: Vec<Settled>) {
        let booked = Booked { intended: Vec::new(), settled };
        let mut wait = RETRY;
        let mut stage = self.inner.tasks.stage();
        // Maybe at another node by now, which then has booked them by their estimates, and drops these.
        let caller = self.caller();
        let book = || self.inner.place(&caller, journal, Command::Book(booked.clone()), None);
        while let Err(error) = book().await {
            tracing::warn!(%error, "ends of inferences wait to be booked");
            if *stage.borrow_and_update() == Stage::Stopped {
                return;
            }
            tokio::select! {
                biased;
                _ = stage.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(MAX_RETRY);
        }
    }

    /// The journal of now: the tenant's last one, or another where that is long enough.
    async fn journal(&mut self) -> Result<SessionId, Error> {
        if let Some(journal) = self.journal
            && self.inner.leases.is_serving(journal.shard())
        {
            return Ok(journal);
        }
        let journal = match self.last().await? {
            Some(journal) => journal,
            None => self.begin().await?,
        };
        self.journal = Some(journal);
        Ok(journal)
    }

    async fn last(&self) -> Result<Option<SessionId>, Error> {
        let query = IndexQuery {
            shards: Shards::Some(self.inner.leases.serving()),
            tenant: self.tenant.clone(),
            kind: list_of(Kind::Gateway),
            prefix: Vec::new(),
            after: None,
            direction: Direction::Descending,
            limit: 1,
        };
        let rows = self.inner.journal.store.list(query).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let view = self.inner.view(&self.caller(), row.session).await?;
        Ok((view.state.sequence.0 < MAX_EVENTS).then_some(row.session))
    }

    async fn begin(&self) -> Result<SessionId, Error> {
        let mut rest = [0; 16];
        self.inner.journal.entropy.fill(&mut rest);
        let journal = SessionId::new(self.inner.own_shard(&rest), rest);
        let create = Command::begin(Kind::Gateway);
        self.submit(journal, create).await?;
        Ok(journal)
    }

    async fn submit(&self, journal: SessionId, command: Command) -> Result<Accepted, Error> {
        self.inner.command(&self.caller(), journal, command, None).await
    }

    fn caller(&self) -> Caller {
        Caller { tenant: self.tenant.clone(), principal: Principal(Arc::from(GATEWAY)) }
    }
}
