//! Bodies that a client of Anthropic's APIs sends: Messages, and Managed Agents. What is taken is encoded for every
//! upstream, and an agent that either vendor's client saved is shown by both wires.

use std::sync::Arc;

use mainstay_session::{
    Command, Spec, State,
    registry::{AgentDefinition, Version},
    spec::Limits,
};
use mainstay_vocabulary::{AgentId, Object, Sequence, Timestamp, inference::Request};
use mainstay_wire::{
    agents,
    managed::{
        self,
        command::{self, CreateSession, Events},
    },
    messages::{self, Purpose},
};
use serde_json::Value;

use crate::{
    encoded,
    openai::{accepted, object, same, session},
    random::Random,
};

/// Feeds every parser.
pub fn check(bytes: &[u8]) {
    let Some(body) = object(bytes) else { return };
    let mut random = Random::of(bytes);
    for purpose in [Purpose::Answer, Purpose::Count] {
        if let Ok(call) = same(|| messages::read(body.clone(), purpose)) {
            encoded::check(&Request { upstream_model: call.model, ..call.request }, &mut random);
        }
    }
    let created = same(|| command::create_agent(body.clone()));
    let version = version(created.ok());
    let _ = same(|| command::named_version(&body));
    let _ = same(|| command::update_agent(&version, body.clone()));
    if let Ok(session) = same(|| CreateSession::read(body.clone()))
        && let Ok(command) = session.command(&version, Limits::default())
    {
        accepted(&command);
    }
    let state = State::unborn(session());
    let _ = same(|| command::update_session(&state, body.clone()));
    if let Ok(events) = same(|| Events::read(session(), body.clone())) {
        [true, false].into_iter().filter_map(|is_idle| events.command(is_idle)).for_each(|command| accepted(&command));
    }
    for id in body.values().filter_map(Value::as_str) {
        let _ = same(|| command::read_agent_id(id));
        if let Some(time) = same(|| managed::time::read(id)) {
            assert_eq!(managed::time::read(&managed::time::write(time)), Some(time), "a time that is read otherwise");
        }
    }
}

/// The agent that a command saves, or a plain one, as its first version; both wires can show it.
pub(crate) fn version(command: Option<Command>) -> Version {
    let definition = match command {
        Some(Command::SaveAgent(save)) => *save.definition,
        _ => {
            let spec = Arc::new(Spec::plain("m-1"));
            AgentDefinition { name: None, description: None, spec, metadata: Object::new() }
        }
    };
    let agent = AgentId { session: session(), sequence: Sequence(2), ordinal: 0 };
    let at = Timestamp(1_790_000_000_000);
    let (number, saved) = (1, Sequence(2));
    let version = Version { agent, number, saved, definition, created_at: at, saved_at: at, archived_at: None };
    assert!(agents::types::agent(&version).is_object(), "an agent that is no object");
    assert!(managed::types::agent(&version).is_object(), "an agent that is no object");
    version
}
