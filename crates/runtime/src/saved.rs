//! Saved agents and their versions. The registry's state knows each agent's latest version; older ones are found by an
//! index row per version, which names the `AgentSaved` that holds the definition.

use std::sync::Arc;

use mainstay_session::{
    Event, Refusal, State,
    registry::{Agent, Version},
};
use mainstay_store::seam::{Direction, IndexChange, IndexQuery, IndexRow, Shards};
use mainstay_vocabulary::{AgentId, Sequence};

use crate::{
    engine::{Caller, Engine},
    error::Error,
};

/// Index rows of versions: by agent id and number, each with the sequence of its `AgentSaved`.
const VERSIONS: &str = "agent_version";

/// Most versions in one answer, each of them read from the journal: a page of a hundred, and one that tells whether more
/// follow.
const MAX_LISTED: usize = 101;

/// The rows of the versions that a batch makes.
pub(crate) fn index(before: &State, events: &[Arc<Event>]) -> Vec<IndexChange> {
    let mut made = Vec::<AgentId>::new();
    let mut rows = Vec::new();
    let mut sequence = before.sequence;
    for event in events {
        sequence = sequence.next();
        let Event::AgentSaved { agent, .. } = &**event else { continue };
        made.push(*agent);
        let earlier = before.registry.agents.get(agent).map_or(0, |known| known.number);
        let new = u32::try_from(made.iter().filter(|other| *other == agent).count()).unwrap_or(u32::MAX);
        let key = key(*agent, earlier.saturating_add(new));
        rows.push(IndexChange { kind: VERSIONS, key, value: Some(sequence.0.to_be_bytes().to_vec()) });
    }
    rows
}

fn key(agent: AgentId, number: u32) -> Vec<u8> {
    [prefix(agent), number.to_be_bytes().to_vec()].concat()
}

/// Ends with a byte that no id's text has, so that no agent's rows are found under another's id.
fn prefix(agent: AgentId) -> Vec<u8> {
    format!("{agent}:").into_bytes()
}

/// The number and the place that a row tells.
fn read_row(row: &IndexRow) -> Option<(u32, Sequence)> {
    let number = u32::from_be_bytes(*row.key.last_chunk()?);
    Some((number, Sequence(u64::from_be_bytes(row.value.as_slice().try_into().ok()?))))
}

impl Engine {
    /// A saved agent at one of its versions; `None` names the latest.
    ///
    /// # Errors
    /// `Refused(AgentNotFound)` also for a version that was never made; `Corrupt`; `Unavailable`.
    pub async fn saved_agent(&self, caller: &Caller, agent: AgentId, number: Option<u32>) -> Result<Version, Error> {
        let known = self.known(caller, agent).await?;
        match number {
            Some(number) if number != known.number => {
                let query = VersionQuery { agent, after: number.checked_add(1), limit: 1 };
                let rows = self.version_rows(caller, query).await?;
                let found = rows.first().copied().filter(|(found, _)| *found == number);
                self.version(caller, (agent, &known), found.ok_or_else(unknown)?).await
            }
            _ => self.version(caller, (agent, &known), (known.number, known.saved)).await,
        }
    }

    /// Versions of a saved agent, the latest first; only those before `before`.
    ///
    /// # Errors
    /// As `saved_agent`.
    pub async fn agent_versions(
        &self,
        caller: &Caller,
        agent: AgentId,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<Version>, Error> {
        let known = self.known(caller, agent).await?;
        let mut versions = Vec::new();
        for row in self.version_rows(caller, VersionQuery { agent, after: before, limit }).await? {
            versions.push(self.version(caller, (agent, &known), row).await?);
        }
        Ok(versions)
    }

    async fn known(&self, caller: &Caller, agent: AgentId) -> Result<Agent, Error> {
        let (session, registry) = self.registry(caller).await?;
        let known = registry.registry.agents.get(&agent).copied();
        known.filter(|_| agent.session == session).ok_or_else(unknown)
    }

    async fn version_rows(&self, caller: &Caller, wanted: VersionQuery) -> Result<Vec<(u32, Sequence)>, Error> {
        let query = IndexQuery {
            shards: Shards::One(wanted.agent.session.shard()),
            tenant: caller.tenant.clone(),
            kind: VERSIONS,
            prefix: prefix(wanted.agent),
            after: wanted.after.map(|number| key(wanted.agent, number)),
            direction: Direction::Descending,
            limit: wanted.limit.min(MAX_LISTED),
        };
        let rows = self.inner.journal.store.list(query).await?;
        let read =
            |row: &IndexRow| read_row(row).ok_or_else(|| Error::Corrupt("a version's row is damaged".to_owned()));
        rows.iter().map(read).collect()
    }

    async fn version(
        &self,
        caller: &Caller,
        (agent, known): (AgentId, &Agent),
        (number, saved): (u32, Sequence),
    ) -> Result<Version, Error> {
        let before = Sequence(saved.0.saturating_sub(1));
        let read = self.inner.journal.read(&caller.tenant, agent.session, before, 1).await?;
        let found = read.first().and_then(|recorded| match &*recorded.event {
            Event::AgentSaved { agent: of, definition } if *of == agent => Some((recorded.at, definition)),
            _ => None,
        });
        let (saved_at, definition) =
            found.ok_or_else(|| Error::Corrupt(format!("agent {agent} has no version at {}", saved.0)))?;
        let Agent { created_at, archived_at, .. } = *known;
        let definition = (**definition).clone();
        Ok(Version { agent, number, saved, definition, created_at, saved_at, archived_at })
    }
}

/// Which versions' rows are wanted: those before `after`, the latest first.
#[derive(Clone, Copy, Debug)]
struct VersionQuery {
    agent: AgentId,
    after: Option<u32>,
    limit: usize,
}

fn unknown() -> Error {
    Error::Refused(Refusal::AgentNotFound)
}
