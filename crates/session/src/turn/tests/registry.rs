//! Saved agents, in a tenant's registry journal.

use std::sync::Arc;

use mainstay_vocabulary::{ItemId, Object, Sequence, Timestamp};

use super::script::*;
use crate::{
    Command, Refusal,
    command::{Create, SaveAgent},
    event::{Created, Kind},
    registry::{Agent, AgentDefinition, MAX_AGENTS},
    spec::{CallMode, Interruption},
};

fn definition(name: &str) -> Box<AgentDefinition> {
    let spec = Arc::new(spec(CallMode::Wait, Interruption::Restart));
    Box::new(AgentDefinition { name: Some(name.to_owned()), description: None, spec, metadata: Object::new() })
}

fn registry() -> Script {
    let created = Created { kind: Kind::Registry, ..created(spec(CallMode::Wait, Interruption::Restart)) };
    let mut script = Script::unborn();
    script.give(Command::Create(Box::new(Create { created, items: Vec::new(), input: None })));
    script
}

fn save(agent: Option<ItemId>, expected: Option<u32>) -> Command {
    Command::SaveAgent(SaveAgent { agent, expected, definition: definition("a") })
}

#[test]
fn agents_are_made_changed_archived_and_removed() {
    let mut script = registry();
    script.give(save(None, None));
    script.at = Timestamp(2_000);
    script.give(save(None, None));
    let ids: Vec<ItemId> = script.state.registry.agents.keys().copied().collect();
    assert_eq!(ids.iter().map(|id| id.sequence).collect::<Vec<_>>(), [Sequence(2), Sequence(3)]);
    script.at = Timestamp(3_000);
    script.give(save(Some(ids[0]), Some(1)));
    let (created_at, updated_at) = (Timestamp(1_000), Timestamp(3_000));
    let changed = Agent { number: 2, saved: Sequence(4), created_at, updated_at, archived_at: None };
    assert_eq!(script.state.registry.agents[&ids[0]], changed);
    script.at = Timestamp(4_000);
    script.give(Command::ArchiveAgent(ids[0]));
    let archived = Agent { updated_at: script.at, archived_at: Some(script.at), ..changed };
    assert_eq!(script.state.registry.agents[&ids[0]], archived);
    assert_eq!(script.refusal(save(Some(ids[0]), None)), Refusal::Archived);
    assert!(script.decide(Command::ArchiveAgent(ids[0])).unwrap().events.is_empty());
    script.give(Command::DeleteAgent(ids[0]));
    assert_eq!(script.refusal(Command::DeleteAgent(ids[0])), Refusal::AgentNotFound);
    assert_eq!(script.refusal(Command::ArchiveAgent(ids[0])), Refusal::AgentNotFound);
    assert_eq!(script.refusal(save(Some(ids[0]), None)), Refusal::AgentNotFound);
    assert_eq!(script.state.registry.agents.keys().copied().collect::<Vec<_>>(), ids[1..]);
}

#[test]
fn a_change_made_from_an_old_version_is_refused() {
    let mut script = registry();
    script.give(save(None, None));
    let id = *script.state.registry.agents.keys().next().unwrap();
    script.give(save(Some(id), Some(1)));
    assert_eq!(script.refusal(save(Some(id), Some(1))), Refusal::AgentChanged);
    assert_eq!(script.refusal(save(Some(id), Some(3))), Refusal::AgentChanged);
    script.give(save(Some(id), Some(2)));
    assert_eq!(script.state.registry.agents[&id].number, 3);
}

#[test]
fn the_index_of_a_full_registry_is_small() {
    let mut script = registry();
    for _ in 0..64 {
        script.give(save(None, None));
    }
    let bytes = serde_json::to_vec(&script.state.registry).unwrap().len();
    assert!(bytes / 64 * MAX_AGENTS < 4 << 20, "a snapshot of {MAX_AGENTS} agents takes {}", bytes / 64 * MAX_AGENTS);
}

#[test]
fn a_full_registry_takes_no_more_agents() {
    let mut script = registry();
    script.give(save(None, None));
    let (first, known) = script.state.registry.agents.iter().next().map(|(id, agent)| (*id, *agent)).unwrap();
    let others = (1..MAX_AGENTS as u32).map(|ordinal| (ItemId { ordinal, ..first }, known));
    script.state.registry.agents.extend(others);
    assert_eq!(script.refusal(save(None, None)), Refusal::TooMany("saved agents".into()));
}

#[test]
fn only_a_registry_holds_agents() {
    let script = Script::new(spec(CallMode::Wait, Interruption::Restart));
    let agent = ItemId { session: session(), sequence: Sequence(1), ordinal: 0 };
    assert_eq!(script.refusal(save(None, None)), Refusal::NotFound);
    assert_eq!(script.refusal(Command::DeleteAgent(agent)), Refusal::NotFound);
    assert_eq!(script.refusal(Command::ArchiveAgent(agent)), Refusal::NotFound);
}
