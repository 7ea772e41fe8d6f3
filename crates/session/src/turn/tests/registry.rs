//! Saved agents, in a tenant's registry journal.

use std::sync::Arc;

use mainstay_vocabulary::{ItemId, Object, Sequence, Timestamp};

use super::script::*;
use crate::{
    Command, Refusal,
    command::Create,
    event::{Created, Kind},
    registry::AgentDefinition,
    spec::{CallMode, Interruption},
};

fn definition(name: &str) -> Box<AgentDefinition> {
    let spec = Arc::new(spec(CallMode::Wait, Interruption::Restart));
    Box::new(AgentDefinition { name: Some(name.to_owned()), spec, metadata: Object::new() })
}

fn registry() -> Script {
    let created = Created { kind: Kind::Registry, ..created(spec(CallMode::Wait, Interruption::Restart)) };
    let mut script = Script::unborn();
    script.give(Command::Create(Box::new(Create { created, items: Vec::new(), input: None })));
    script
}

fn save(agent: Option<ItemId>, name: &str) -> Command {
    Command::SaveAgent { agent, definition: definition(name) }
}

#[test]
fn agents_are_made_changed_and_removed() {
    let mut script = registry();
    script.give(save(None, "a"));
    script.at = Timestamp(2_000);
    script.give(save(None, "b"));
    let ids: Vec<ItemId> = script.state.registry.agents.keys().copied().collect();
    assert_eq!(ids.iter().map(|id| id.sequence).collect::<Vec<_>>(), [Sequence(2), Sequence(3)]);
    script.at = Timestamp(3_000);
    script.give(save(Some(ids[0]), "c"));
    let changed = &script.state.registry.agents[&ids[0]];
    assert_eq!(changed.definition.name.as_deref(), Some("c"));
    assert_eq!((changed.version, changed.created_at, changed.updated_at), (Sequence(4), Timestamp(1_000), script.at));
    script.give(Command::DeleteAgent(ids[0]));
    assert_eq!(script.refusal(Command::DeleteAgent(ids[0])), Refusal::AgentNotFound);
    assert_eq!(script.refusal(save(Some(ids[0]), "d")), Refusal::AgentNotFound);
    assert_eq!(script.state.registry.agents.keys().copied().collect::<Vec<_>>(), ids[1..]);
}

#[test]
fn only_a_registry_holds_agents() {
    let script = Script::new(spec(CallMode::Wait, Interruption::Restart));
    let agent = ItemId { session: session(), sequence: Sequence(1), ordinal: 0 };
    assert_eq!(script.refusal(save(None, "a")), Refusal::NotFound);
    assert_eq!(script.refusal(Command::DeleteAgent(agent)), Refusal::NotFound);
}
