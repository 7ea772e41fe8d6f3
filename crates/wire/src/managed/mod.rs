//! Claude Managed Agents (`anthropic-beta: managed-agents-2026-04-01`). Requests become commands in `command`, the
//! journal becomes events in `project` and objects in `types`. The journal is the one of the Agents API: a session of
//! either wire is a session of the other. All pure. Start with `project::View`.

pub mod block;
pub mod command;
pub mod config;
pub mod error;
mod event;
pub mod frame;
pub mod project;
#[cfg(test)]
mod tests;
pub mod time;
pub mod types;

pub use frame::{Frame, Place, Seen};
pub use project::View;

use mainstay_session::State;
use mainstay_vocabulary::{AgentId, ItemId, Sequence, SessionId};

/// The one environment that there is: nothing runs on the server, the client executes the agent's tools.
pub const ENVIRONMENT: &str = "env_none";

/// The text of a session's id.
pub fn session_id(session: SessionId) -> String {
    format!("sesn_{session}")
}

/// The text of the id of a session's only thread.
pub fn thread_id(session: SessionId) -> String {
    format!("sthr_{session}")
}

/// The text of an agent's id. An agent that another wire was given inline has one that is derived from its session and
/// that retrieves nothing.
pub fn agent_id(state: &State) -> String {
    let inline = AgentId { session: state.session, sequence: Sequence(1), ordinal: 0 };
    format!("agent_{}", state.agent.as_ref().map_or(inline, |named| named.agent))
}

/// The text of the id of an event that shows an item.
pub fn item_event_id(item: ItemId) -> String {
    format!("sevt_{item}")
}
