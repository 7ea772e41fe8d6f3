//! Deliveries of automations. A delivery is intended in the automation's journal first; the session that it begins has
//! an id that is derived from that place, and an input that it gives has it as its key: made again after a crash, it
//! finds what it made before.

use std::{sync::Arc, time::Duration};

use mainstay_session::{
    Command, Event, Refusal, State,
    automation::{InvocationOutcome, NewSession, Pending, Target},
    command::{Accept, Create},
    event::{Created, Delivery, Input, Kind, TurnOptions},
};
use mainstay_store::seam::{Direction, IndexChange, IndexQuery, Shards};
use mainstay_vocabulary::{Content, Item, Object, Role, Sequence, SessionId, Tenant, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    driver::Driver,
    engine::{Caller, Engine, Idempotent},
    error::Error,
    fault::Point,
};

/// Index rows of invocations: by the automation and the place.
const INVOCATIONS: &str = "invocation";
/// Most invocations in one answer.
const MAX_LISTED: usize = 101;
/// First wait before a delivery that could not be made is tried again; doubles.
const RETRY: Duration = Duration::from_millis(500);
/// Longest such wait.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// One delivery of an automation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The sequence of its `InvocationBegun`.
    pub sequence: Sequence,
    /// When it began.
    pub begun_at: Timestamp,
    /// Its occurrence; `None` where somebody asked for it.
    pub scheduled_at: Option<Timestamp>,
    /// The sequence of the `AutomationSaved` in force.
    pub saved: Sequence,
    /// Whether nothing was delivered, because an earlier delivery was under way.
    pub skipped: bool,
    /// What came of it; `None` while it is under way, and where it was skipped.
    pub outcome: Option<InvocationOutcome>,
}

fn prefix(automation: SessionId) -> Vec<u8> {
    format!("{automation}:").into_bytes()
}

fn key(automation: SessionId, sequence: Sequence) -> Vec<u8> {
    [prefix(automation), sequence.0.to_be_bytes().to_vec()].concat()
}

/// The rows of the invocations that a batch begins or ends.
pub(crate) fn index(before: &State, after: &State, events: &[Arc<Event>]) -> Vec<IndexChange> {
    let mut rows = Vec::new();
    let Some(automation) = after.automation.as_deref().filter(|_| !after.deleted) else { return rows };
    let mut sequence = before.sequence;
    for event in events {
        sequence = sequence.next();
        let invocation = match &**event {
            Event::InvocationBegun(begun) => Invocation {
                sequence,
                begun_at: after.active_at,
                scheduled_at: begun.scheduled_at,
                saved: automation.saved,
                skipped: begun.skipped,
                outcome: None,
            },
            Event::InvocationEnded { invocation, outcome } => {
                let pending = before.automation.iter().flat_map(|known| &known.pending);
                let Some(pending) = pending.into_iter().find(|pending| pending.invocation == *invocation) else {
                    continue;
                };
                let Pending { invocation, begun_at, scheduled_at, saved } = *pending;
                let outcome = Some(outcome.clone());
                Invocation { sequence: invocation, begun_at, scheduled_at, saved, skipped: false, outcome }
            }
            _ => continue,
        };
        let value = serde_json::to_vec(&invocation).ok();
        rows.push(IndexChange { kind: INVOCATIONS, key: key(after.session, invocation.sequence), value });
    }
    rows
}

impl Engine {
    /// Invocations of an automation, by when they began; `after` is left out.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt`; `Unavailable`.
    pub async fn invocations(
        &self,
        caller: &Caller,
        automation: SessionId,
        (after, direction): (Option<Sequence>, Direction),
        limit: usize,
    ) -> Result<Vec<Invocation>, Error> {
        self.state(caller, automation).await?;
        let query = IndexQuery {
            shards: Shards::One(automation.shard()),
            tenant: caller.tenant.clone(),
            kind: INVOCATIONS,
            prefix: prefix(automation),
            after: after.map(|sequence| key(automation, sequence)),
            direction,
            limit: limit.min(MAX_LISTED),
        };
        let rows = self.inner.journal.store.list(query).await?;
        let read = |value: &[u8]| {
            serde_json::from_slice(value).map_err(|error| Error::Corrupt(format!("an invocation's row: {error}")))
        };
        rows.iter().map(|row| read(&row.value)).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// As `invocations`; `NotFound` also where there is no such invocation.
    pub async fn invocation(
        &self,
        caller: &Caller,
        automation: SessionId,
        sequence: Sequence,
    ) -> Result<Invocation, Error> {
        let before = Some(Sequence(sequence.0.checked_sub(1).ok_or(Error::NotFound)?));
        let found = self.invocations(caller, automation, (before, Direction::Ascending), 1).await?;
        found.into_iter().find(|invocation| invocation.sequence == sequence).ok_or(Error::NotFound)
    }
}

impl Driver {
    /// Makes a delivery that is intended, or puts it off.
    pub(crate) async fn deliver(&mut self, invocation: Sequence) {
        let Some(tenant) = self.tenant.clone() else { return };
        let engine = Engine { inner: Arc::clone(&self.inner) };
        let delivering = Delivering { engine: &engine, tenant, state: &self.state, invocation };
        match delivering.make().await {
            Ok(outcome) => {
                self.deliver_in = RETRY;
                let end = Command::EndInvocation { invocation, outcome };
                self.own(end, (Point::OutcomeDecided, Point::OutcomeCommitted)).await;
            }
            Err(error) => {
                tracing::warn!(automation = %self.session, %error, "a delivery is put off");
                let wait = self.deliver_in.max(RETRY);
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.deliver_at = self.inner.clock.now().plus_ms(wait_ms);
                self.deliver_in = (wait * 2).min(MAX_RETRY);
            }
        }
    }
}

/// A delivery being made.
struct Delivering<'a> {
    engine: &'a Engine,
    tenant: Tenant,
    state: &'a State,
    invocation: Sequence,
}

impl Delivering<'_> {
    /// Makes it. An error is one that goes away.
    async fn make(&self) -> Result<InvocationOutcome, Error> {
        let Some(automation) = &self.state.automation else { return Err(Error::NotFound) };
        let definition = &automation.definition;
        let caller = Caller { tenant: self.tenant.clone(), principal: definition.principal.clone() };
        match &definition.target {
            Target::NewSession(wanted) => self.begin(&caller, wanted).await,
            Target::Session { session, instructions } => self.tell(&caller, *session, instructions).await,
        }
    }

    async fn begin(&self, caller: &Caller, wanted: &NewSession) -> Result<InvocationOutcome, Error> {
        let (spec, agent) = match (wanted.agent, &wanted.spec) {
            (Some(id), _) => match self.engine.saved_agent(caller, id, None).await {
                Ok(version) if version.archived_at.is_some() => {
                    return Ok(failed("agent_archived", "The agent is archived.", false));
                }
                Ok(version) => {
                    let spec = (self.engine.inner.outbox.spec_of)(&version, self.engine.default_limits());
                    (Arc::new(spec), Some(version.reference()))
                }
                Err(Error::Refused(Refusal::AgentNotFound)) => {
                    return Ok(failed("agent_not_found", "There is no such agent.", false));
                }
                Err(error) => return permanent(error),
            },
            (None, Some(spec)) => (Arc::clone(spec), None),
            (None, None) => return Ok(failed("invalid_target", "The target names no agent.", true)),
        };
        let created = Created {
            kind: Kind::Agent,
            spec,
            parent: None,
            metadata: wanted.metadata.clone(),
            agent,
            echo: Object::new(),
            unanswered: Vec::new(),
        };
        let input = Input { items: wanted.items.clone(), delivery: Delivery::Steer, options: TurnOptions::default() };
        let create = Command::Create(Box::new(Create { created, items: Vec::new(), input: Some(input) }));
        let session = self.session();
        match self.engine.submit(caller, session, create, None).await {
            // Begun before the crash; a client may have deleted it since.
            Ok(_) | Err(Error::NotFound | Error::Refused(Refusal::Exists)) => Ok(InvocationOutcome::Delivered(session)),
            Err(error) => permanent(error),
        }
    }

    /// The session that this delivery begins, whoever makes it and however often.
    fn session(&self) -> SessionId {
        let place = [&self.state.session.as_bytes()[..], &self.invocation.0.to_be_bytes()[..]];
        let mut rest = [0; 16];
        rest.copy_from_slice(&self.engine.inner.journal.keyring.digest(&self.tenant, "invocation", &place)[..16]);
        SessionId::new(self.state.session.shard(), rest)
    }

    async fn tell(&self, caller: &Caller, session: SessionId, text: &str) -> Result<InvocationOutcome, Error> {
        let gone = || failed("target_session_failed", "The session does not take inputs any more.", true);
        match self.engine.state(caller, session).await {
            Ok(state) if state.kind == Kind::Agent => {}
            Ok(_) | Err(Error::NotFound) => return Ok(gone()),
            Err(error) => return permanent(error),
        }
        let content = vec![Content::Text(text.to_owned())];
        let item = Arc::new(Item::Message { role: Role::User, content, phase: None });
        let input = Input { items: vec![item], delivery: Delivery::Queue, options: TurnOptions::default() };
        let accept = Command::Accept(Box::new(Accept { input, spec: None, head: None, answers: Vec::new() }));
        let place = format!("{}.{}", self.state.session, self.invocation.0);
        let target = session.to_string();
        let idempotent = Idempotent { operation: "automation", target, key: place, request: text.as_bytes().to_vec() };
        match self.engine.submit(caller, session, accept, Some(idempotent)).await {
            Ok(_) => Ok(InvocationOutcome::Delivered(session)),
            Err(Error::NotFound | Error::Refused(Refusal::Archived)) => Ok(gone()),
            // Inputs wait there: later they will not.
            Err(Error::Refused(Refusal::TooMany(what))) => Err(Error::Overloaded(what)),
            Err(error) => permanent(error),
        }
    }
}

fn failed(code: &str, message: &str, pauses: bool) -> InvocationOutcome {
    InvocationOutcome::Failed { code: code.to_owned(), message: message.to_owned(), pauses }
}

/// An error that stays is an outcome; one that goes away is tried again.
fn permanent(error: Error) -> Result<InvocationOutcome, Error> {
    match error {
        Error::Unavailable(_) | Error::Overloaded(_) | Error::Full => Err(error),
        other => {
            tracing::warn!(error = %other, "a delivery failed");
            Ok(failed("delivery_failed", "The delivery was refused.", false))
        }
    }
}
