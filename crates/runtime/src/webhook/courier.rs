//! Posts what waits for one endpoint, and takes it out of the outbox once it is taken or given up.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use mainstay_providers::post::{Letter, Post};
use mainstay_session::{
    Command,
    event::{Kind, SettledWebhook},
};
use mainstay_store::seam::{Direction, IndexQuery, IndexRow, Shards};
use mainstay_vocabulary::{Principal, SessionId, Shard, Timestamp};
use tokio::sync::Notify;

use super::{Endpoint, OUTBOX, Waiting, happened_at};
use crate::{
    engine::{Caller, Inner},
    error::Error,
    task::Stage,
};

/// What waits is looked at so far from the oldest on: an endpoint that refuses this many holds up what came later.
const WINDOW: usize = 256;
/// Requests to one endpoint at once.
const IN_FLIGHT: usize = 8;
/// First wait before something is posted again; doubles.
const RETRY_MS: u64 = 1_000;
/// Longest such wait.
const MAX_RETRY_MS: u64 = 3_600_000;
/// How long it is tried: three days after it happened it is given up.
const GIVE_UP_MS: u64 = 72 * 3_600_000;
/// Longest time between two looks at the outbox.
const LOOK: Duration = Duration::from_secs(30);
/// Wait before the outbox is looked at again after the store failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Who acts.
const WEBHOOK: &str = "webhook";

/// What was tried in vain.
#[derive(Clone, Copy)]
struct Tried {
    attempts: u32,
    again_at: Timestamp,
    status: Option<u16>,
}

struct Courier {
    inner: Arc<Inner>,
    post: Arc<dyn Post>,
    endpoint: Arc<Endpoint>,
    /// By the row's key; only of rows within the window.
    tried: HashMap<Vec<u8>, Tried>,
}

/// Posts until the process stops. What is under way then is posted again by the next start, under the same id.
pub(super) async fn run(inner: Arc<Inner>, post: Arc<dyn Post>, endpoint: Arc<Endpoint>, wake: Arc<Notify>) {
    let mut stage = inner.tasks.stage();
    let mut courier = Courier { inner, post, endpoint, tried: HashMap::new() };
    while *stage.borrow_and_update() == Stage::Serving {
        let round = async {
            match courier.round().await {
                Ok(wait) => {
                    let _ = tokio::time::timeout(wait, wake.notified()).await;
                }
                Err(error) => {
                    tracing::warn!(%error, endpoint = courier.endpoint.name, "webhooks wait");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        tokio::select! {
            biased;
            _ = stage.changed() => {}
            () = round => {}
        }
    }
}

impl Courier {
    /// Posts what is due once; tells how long nothing more is.
    async fn round(&mut self) -> Result<Duration, Error> {
        let rows = self.rows().await?;
        self.tried.retain(|key, _| rows.iter().any(|row| row.key == *key));
        let now = self.inner.clock.now();
        let is_full = rows.len() == WINDOW;
        let due = |row: &IndexRow| self.tried.get(&row.key).is_none_or(|tried| tried.again_at <= now);
        let due: Vec<IndexRow> = rows.into_iter().filter(due).collect();
        let posted = stream::iter(due).map(|row| self.post(row)).buffer_unordered(IN_FLIGHT).collect::<Vec<_>>().await;
        // A row is taken out by a journal of its own shard.
        let mut settled = BTreeMap::<Shard, Vec<SettledWebhook>>::new();
        for (row, status) in posted {
            let shard = row.session.shard();
            if let Some(webhook) = self.judge(row, status) {
                settled.entry(shard).or_default().push(webhook);
            }
        }
        let has_settled = !settled.is_empty();
        for (shard, settled) in settled {
            self.settle(self.journal(shard), settled).await?;
        }
        if is_full && has_settled {
            return Ok(Duration::ZERO);
        }
        let now = self.inner.clock.now();
        let next = self.tried.values().map(|tried| tried.again_at.0.saturating_sub(now.0)).min();
        Ok(next.map_or(LOOK, |wait| Duration::from_millis(wait).min(LOOK)))
    }

    async fn rows(&self) -> Result<Vec<IndexRow>, Error> {
        let query = IndexQuery {
            shards: Shards::Some(self.inner.leases.serving()),
            tenant: self.endpoint.tenant.clone(),
            kind: OUTBOX,
            prefix: self.endpoint.prefix(),
            after: None,
            direction: Direction::Ascending,
            limit: WINDOW,
        };
        Ok(self.inner.journal.store.list(query).await?)
    }

    async fn post(&self, row: IndexRow) -> (IndexRow, Option<u16>) {
        let Ok(waiting) = serde_json::from_slice::<Waiting>(&row.value) else { return (row, None) };
        let headers = self.endpoint.secret.headers(&waiting.id, self.inner.clock.now(), &waiting.body);
        let answer = self.post.post(Letter { url: self.endpoint.url.clone(), headers, body: waiting.body }).await;
        if let Err(error) = &answer {
            tracing::debug!(endpoint = self.endpoint.name, id = waiting.id, error, "a webhook was not taken");
        }
        (row, answer.ok())
    }

    /// Whether a webhook is settled; otherwise it is tried again later.
    fn judge(&mut self, row: IndexRow, status: Option<u16>) -> Option<SettledWebhook> {
        let now = self.inner.clock.now();
        let before = self.tried.remove(&row.key);
        let attempts = before.map_or(0, |tried| tried.attempts).saturating_add(1);
        let delivered = status.is_some_and(|status| (200..300).contains(&status));
        if !delivered && now < happened_at(&row.key).plus_ms(GIVE_UP_MS) {
            let wait = RETRY_MS.saturating_mul(1 << (attempts - 1).min(22)).min(MAX_RETRY_MS);
            self.tried.insert(row.key, Tried { attempts, again_at: now.plus_ms(wait), status });
            return None;
        }
        let id = serde_json::from_slice::<Waiting>(&row.value).map(|waiting| waiting.id).unwrap_or_default();
        let status = status.or_else(|| before.and_then(|tried| tried.status));
        let (endpoint, place) = (self.endpoint.name.clone(), data_encoding::HEXLOWER.encode(&row.key));
        Some(SettledWebhook { id, endpoint, attempts, status, delivered, place })
    }

    /// Notes what became of webhooks and takes them out of the outbox, in one batch.
    async fn settle(&self, journal: SessionId, settled: Vec<SettledWebhook>) -> Result<(), Error> {
        match self.submit(journal, Command::SettleWebhooks(settled.clone())).await {
            Err(Error::NotFound) => {
                let create = Command::begin(Kind::Webhook);
                self.submit(journal, Command::All(vec![create, Command::SettleWebhooks(settled)])).await
            }
            other => other,
        }
    }

    fn journal(&self, shard: Shard) -> SessionId {
        let (tenant, name) = (&self.endpoint.tenant, self.endpoint.name.as_bytes());
        let mut rest = [0; 16];
        rest.copy_from_slice(&self.inner.journal.keyring.digest(tenant, WEBHOOK, &[name])[..16]);
        SessionId::new(shard, rest)
    }

    async fn submit(&self, journal: SessionId, command: Command) -> Result<(), Error> {
        let caller = Caller { tenant: self.endpoint.tenant.clone(), principal: Principal(Arc::from(WEBHOOK)) };
        self.inner.command(&caller, journal, command, None).await.map(drop)
    }
}
