//! The OpenAI Agents API (`OpenAI-Beta: agents=v1`). Requests become commands in `command`; the journal becomes events
//! in `project`, pages in `page` and objects in `types`. All pure. Start with `project::View`.

pub mod automation;
pub mod command;
pub mod config;
pub mod frame;
pub mod input;
pub mod item;
pub mod page;
pub mod project;
pub mod served;
#[cfg(test)]
pub(crate) mod tests;
pub mod tool;
pub mod trace;
pub mod types;

pub use frame::{Frame, Place};
pub use page::Turns;
pub use project::View;

use mainstay_session::State;
use mainstay_vocabulary::{AgentId, Sequence, SessionId, TurnId};

/// The text of a session's id.
pub fn session_id(session: SessionId) -> String {
    format!("sess_{session}")
}

/// The text of a turn's id.
pub fn turn_id(session: SessionId, turn: Sequence) -> String {
    format!("turn_{}", TurnId { session, sequence: turn })
}

/// The text of an agent's id. An agent that was given inline has one that is derived from its session and that
/// retrieves nothing.
pub fn agent_id(state: &State) -> String {
    let inline = AgentId { session: state.session, sequence: Sequence(1), ordinal: 0 };
    format!("agent_{}", state.agent.as_ref().map_or(inline, |named| named.agent))
}
