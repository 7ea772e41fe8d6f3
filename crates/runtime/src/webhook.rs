//! Webhooks: what others are told of sessions. What is to be told is committed with what happened, as rows of an outbox;
//! a task for each endpoint posts it, again and again under one id, until it is taken or three days have passed.
//! Knows no event's name: the wires say what is told (`Outlets::announce`).

mod courier;
mod sign;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use mainstay_providers::post::Post;
use mainstay_session::{
    Event, Spec, State,
    event::{Kind, TurnOptions},
    registry::Version,
    spec::{Limits, Retention},
};
use mainstay_store::seam::IndexChange;
use mainstay_vocabulary::{Sequence, SessionId, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{driver::Driver, engine::Inner, error::Error, task::TaskKind};
pub use sign::{Secret, SecretError};

/// Most endpoints: each has a task.
pub const MAX_ENDPOINTS: usize = 64;
/// Rows of what is to be told, by endpoint, time and place.
pub(crate) const OUTBOX: &str = "webhook";

/// What a batch did to a session, for those who tell of it.
pub struct Told<'a> {
    /// The session before it.
    pub before: &'a State,
    /// And after.
    pub after: &'a State,
    /// What happened.
    pub events: &'a [Arc<Event>],
    /// What the turn that ran before kept of its request, where it has ended now.
    pub options: Option<TurnOptions>,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Unique; derived from the journal's place.
    pub id: String,
    /// The event's type, as endpoints ask for it.
    pub kind: &'static str,
    /// JSON that holds the id and no content.
    pub body: String,
}

/// What is to be told of a batch.
pub type Announce = fn(&Told<'_>) -> Vec<Announcement>;
/// What a session of a saved agent runs with.
pub type SpecOf = fn(&Version, Limits) -> Spec;

/// Where events are sent, and what only the wires know: whoever wires the parts together brings both.
#[derive(Clone)]
pub struct Outlets {
    /// What is to be told.
    pub announce: Announce,
    /// What sessions of saved agents run with.
    pub spec_of: SpecOf,
    /// Whom, and who posts it; nobody without.
    pub webhooks: Option<Webhooks>,
}

impl Default for Outlets {
    fn default() -> Self {
        let spec_of = |version: &Version, limits| Spec { limits, ..(*version.definition.spec).clone() };
        Self { announce: |_| Vec::new(), spec_of, webhooks: None }
    }
}

/// Whom to tell.
#[derive(Clone)]
pub struct Webhooks {
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Who posts.
    pub post: Arc<dyn Post>,
}

/// Where events of a tenant's sessions are sent.
#[derive(Clone)]
pub struct Endpoint {
    /// Unique. What waits is kept under it: an endpoint of another name begins anew.
    pub name: String,
    /// Where to.
    pub url: String,
    /// Signs what is sent.
    pub secret: Secret,
    /// Types that it wants.
    pub events: Vec<String>,
    /// Whose sessions.
    pub tenant: Tenant,
}

impl Endpoint {
    /// What the keys of its rows begin with.
    fn prefix(&self) -> Vec<u8> {
        ring::digest::digest(&ring::digest::SHA256, self.name.as_bytes()).as_ref()[..8].to_vec()
    }
}

/// What waits in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    id: String,
    body: String,
}

/// A row's key: the endpoint, when it happened, where, and which of that place.
fn key(endpoint: &Endpoint, (session, sequence): (SessionId, Sequence), (at, number): (Timestamp, u16)) -> Vec<u8> {
    let mut key = endpoint.prefix();
    key.extend(at.0.to_be_bytes());
    key.extend(session.as_bytes());
    key.extend(sequence.0.to_be_bytes());
    key.extend(number.to_be_bytes());
    key
}

/// When what waits under a key happened.
fn happened_at(key: &[u8]) -> Timestamp {
    let at = key.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
    Timestamp(at.unwrap_or_default())
}

/// The outbox of this process.
pub(crate) struct Outbox {
    announce: Announce,
    pub(crate) spec_of: SpecOf,
    post: Option<Arc<dyn Post>>,
    by_tenant: HashMap<Tenant, Vec<Arc<Endpoint>>>,
    wakes: Vec<(Arc<Endpoint>, Arc<Notify>)>,
}

impl Outbox {
    pub(crate) fn new(outlets: Outlets) -> Result<Self, Error> {
        let Outlets { announce, spec_of, webhooks } = outlets;
        let (endpoints, post) = webhooks.map_or((Vec::new(), None), |known| (known.endpoints, Some(known.post)));
        if endpoints.len() > MAX_ENDPOINTS {
            return Err(Error::Overloaded("webhook endpoints".into()));
        }
        let mut by_tenant = HashMap::<Tenant, Vec<Arc<Endpoint>>>::new();
        let mut wakes = Vec::new();
        for endpoint in endpoints.into_iter().map(Arc::new) {
            by_tenant.entry(endpoint.tenant.clone()).or_default().push(Arc::clone(&endpoint));
            wakes.push((endpoint, Arc::default()));
        }
        Ok(Self { announce, spec_of, post, by_tenant, wakes })
    }

    /// Something was put in.
    pub(crate) fn wake(&self) {
        self.wakes.iter().for_each(|(_, wake)| wake.notify_one());
    }
}

/// Begins to post what waits.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), Error> {
    let Some(post) = &inner.outbox.post else { return Ok(()) };
    for (endpoint, wake) in &inner.outbox.wakes {
        let posts = courier::run(Arc::clone(inner), Arc::clone(post), Arc::clone(endpoint), Arc::clone(wake));
        inner.tasks.spawn(TaskKind::Webhook, posts).map_err(|_| Error::Overloaded("webhook endpoints".into()))?;
    }
    Ok(())
}

/// The rows that settled webhooks leave.
pub(crate) fn taken_out(events: &[Arc<Event>]) -> Vec<IndexChange> {
    let settled = events.iter().filter_map(|event| match &**event {
        Event::WebhooksSettled(settled) => Some(settled),
        _ => None,
    });
    let keys = settled.flatten().filter_map(|settled| data_encoding::HEXLOWER.decode(settled.place.as_bytes()).ok());
    keys.map(|key| IndexChange { kind: OUTBOX, key, value: None }).collect()
}

impl Driver {
    /// What a batch puts into the outbox.
    pub(crate) async fn outgoing(&self, events: &[Arc<Event>], after: &State) -> Result<Vec<IndexChange>, Error> {
        let outbox = &self.inner.outbox;
        let endpoints = self.tenant.as_ref().and_then(|tenant| outbox.by_tenant.get(tenant));
        let is_told = matches!(after.kind, Kind::Agent | Kind::Response | Kind::Conversation);
        let Some(endpoints) = endpoints.filter(|_| is_told && after.spec.retention == Retention::Keep) else {
            return Ok(Vec::new());
        };
        let options = self.options_of_ended(events).await?;
        let told = Told { before: &self.state, after, events, options };
        let place = (self.session, self.state.sequence.next());
        let mut rows = Vec::new();
        for (number, Announcement { id, kind, body }) in (0..).zip((outbox.announce)(&told)) {
            let wanting = endpoints.iter().filter(|endpoint| endpoint.events.iter().any(|wanted| wanted == kind));
            let waiting = Waiting { id, body };
            for endpoint in wanting {
                let value = serde_json::to_vec(&waiting).map_err(|error| Error::Corrupt(error.to_string()))?;
                let key = key(endpoint, place, (after.active_at, number));
                rows.push(IndexChange { kind: OUTBOX, key, value: Some(value) });
            }
        }
        Ok(rows)
    }

    /// The options of the turn that ran, where it has ended now. They stand in the journal with its input.
    async fn options_of_ended(&self, events: &[Arc<Event>]) -> Result<Option<TurnOptions>, Error> {
        let ends = events.iter().any(|event| matches!(**event, Event::TurnEnded(_)));
        let (Some(turn), Some(tenant)) = (self.state.turn.as_ref().filter(|_| ends), &self.tenant) else {
            return Ok(None);
        };
        let before = Sequence(turn.input.0.saturating_sub(1));
        let read = self.inner.journal.read(tenant, self.session, before, 1).await?;
        Ok(read.first().and_then(|recorded| match &*recorded.event {
            Event::InputAccepted(input) => Some(input.options.clone()),
            _ => None,
        }))
    }
}
