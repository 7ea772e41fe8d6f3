//! Saved agents, in a tenant's registry journal.

use mainstay_vocabulary::{AgentId, ItemId};

use super::draft::Draft;
use crate::{
    command::{Refusal, SaveAgent},
    event::{Event, Kind},
    registry::{Agent, MAX_AGENTS},
};

pub(super) fn save(draft: &mut Draft<'_>, save: SaveAgent) -> Result<(), Refusal> {
    check_kind(draft)?;
    let agent = match save.agent {
        Some(agent) => {
            let known = find(draft, agent)?;
            if known.archived_at.is_some() {
                return Err(Refusal::Archived);
            }
            if save.expected.is_some_and(|expected| expected != known.number) {
                return Err(Refusal::AgentChanged);
            }
            agent
        }
        None if draft.state.registry.agents.len() >= MAX_AGENTS => return Err(Refusal::TooMany("saved agents".into())),
        None => ItemId { session: draft.state.session, sequence: draft.state.sequence.next(), ordinal: 0 },
    };
    draft.push(Event::AgentSaved { agent, definition: save.definition });
    Ok(())
}

/// An agent that is archived already stays as it is.
pub(super) fn archive(draft: &mut Draft<'_>, agent: AgentId) -> Result<(), Refusal> {
    check_kind(draft)?;
    if find(draft, agent)?.archived_at.is_none() {
        draft.push(Event::AgentArchived { agent });
    }
    Ok(())
}

pub(super) fn delete(draft: &mut Draft<'_>, agent: AgentId) -> Result<(), Refusal> {
    check_kind(draft)?;
    find(draft, agent)?;
    draft.push(Event::AgentDeleted { agent });
    Ok(())
}

fn find(draft: &Draft<'_>, agent: AgentId) -> Result<Agent, Refusal> {
    draft.state.registry.agents.get(&agent).copied().ok_or(Refusal::AgentNotFound)
}

fn check_kind(draft: &Draft<'_>) -> Result<(), Refusal> {
    if draft.state.kind == Kind::Registry { Ok(()) } else { Err(Refusal::NotFound) }
}
