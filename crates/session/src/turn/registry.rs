//! Saved agents, in a tenant's registry journal.

use mainstay_vocabulary::{AgentId, ItemId};

use super::draft::Draft;
use crate::{
    command::Refusal,
    event::{Event, Kind},
    registry::{AgentDefinition, MAX_AGENTS},
};

pub(super) fn save(
    draft: &mut Draft<'_>,
    agent: Option<AgentId>,
    definition: Box<AgentDefinition>,
) -> Result<(), Refusal> {
    check_kind(draft)?;
    let agents = &draft.state.registry.agents;
    let agent = match agent {
        Some(agent) if !agents.contains_key(&agent) => return Err(Refusal::AgentNotFound),
        Some(agent) => agent,
        None if agents.len() >= MAX_AGENTS => return Err(Refusal::TooMany("saved agents")),
        None => ItemId { session: draft.state.session, sequence: draft.state.sequence.next(), ordinal: 0 },
    };
    draft.push(Event::AgentSaved { agent, definition });
    Ok(())
}

pub(super) fn delete(draft: &mut Draft<'_>, agent: AgentId) -> Result<(), Refusal> {
    check_kind(draft)?;
    if !draft.state.registry.agents.contains_key(&agent) {
        return Err(Refusal::AgentNotFound);
    }
    draft.push(Event::AgentDeleted { agent });
    Ok(())
}

fn check_kind(draft: &Draft<'_>) -> Result<(), Refusal> {
    if draft.state.kind == Kind::Registry { Ok(()) } else { Err(Refusal::NotFound) }
}
