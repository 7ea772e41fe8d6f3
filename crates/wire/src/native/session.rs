//! A session in short: how it stands, how it began, what it has cost, and from where to follow it.

use mainstay_session::{
    Event, State,
    event::Kind,
    feed::{Cursor, Recorded},
    state::Phase,
};
use mainstay_vocabulary::{Content, Item, Role};
use serde_json::{Value, json};

use crate::agents::{Place, agent_id, session_id, turn_id, types};

/// Most characters of the first words.
const FIRST_WORDS: usize = 120;

/// What the beginning of a journal tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    turns: u64,
    first_words: Option<String>,
    /// The last event that was read.
    last: u64,
}

impl Opening {
    /// Reads the first events of a journal.
    pub fn read(events: &[Recorded]) -> Self {
        let turns = events.iter().filter(|recorded| matches!(*recorded.event, Event::TurnStarted(_))).count();
        Self {
            turns: turns as u64,
            first_words: events.iter().find_map(|recorded| words_of(&recorded.event)),
            last: events.last().map_or(0, |recorded| recorded.sequence.0),
        }
    }
}

/// What a person said first, on one line.
fn words_of(event: &Event) -> Option<String> {
    let Event::InputAccepted(input) = event else { return None };
    let said = input.items.iter().find_map(|item| match &**item {
        Item::Message { role: Role::User, content, .. } => content.iter().find_map(|part| match part {
            Content::Text(text) => Some(text),
            _ => None,
        }),
        _ => None,
    })?;
    let line: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(line.chars().take(FIRST_WORDS).collect())
}

/// A session in short.
pub fn session(state: &State, opening: &Opening) -> Value {
    let cursor = Place {
        session: state.session,
        cursor: Cursor { sequence: state.sequence, ordinal: 0 },
        // After all that this place shows.
        part: u32::MAX,
    };
    json!({
        "id": session_id(state.session),
        "object": "mainstay.session",
        "kind": kind(state.kind),
        "status": status(state),
        "model": state.spec.model,
        "agent_id": agent_id(state),
        "agent_name": state.agent.as_ref().and_then(|agent| agent.name.as_deref()),
        "created_at_ms": state.created_at.0,
        "last_active_at_ms": state.active_at.0,
        "first_words": opening.first_words,
        "turns": opening.turns,
        "has_more_turns": opening.last < state.sequence.0,
        "events": state.sequence.0,
        "usage": types::usage(&state.usage),
        "cost_pico_usd": state.cost.0,
        "parent": state.parent.map(|parent| parent_of(&parent)),
        "last_turn_id": state.last_turn.as_ref().map(|turn| turn_id(state.session, turn.id)),
        "current_turn_id": state.turn.as_ref().map(|turn| turn_id(state.session, turn.id)),
        "metadata": state.metadata,
        "cursor": cursor.to_string(),
    })
}

/// Where a session forked off.
pub(super) fn parent_of(parent: &mainstay_session::event::Fork) -> Value {
    json!({ "session_id": session_id(parent.session), "sequence": parent.sequence.0, "depth": parent.depth })
}

/// What a session is for.
pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Agent => "agent",
        Kind::Response => "response",
        Kind::Conversation => "conversation",
        Kind::Registry => "registry",
        Kind::Gateway => "gateway",
        Kind::File => "file",
        Kind::Automation => "automation",
        Kind::Webhook => "webhook",
    }
}

fn status(state: &State) -> &'static str {
    match state.phase() {
        Phase::WaitingForClient => "requires_action",
        Phase::Inferring | Phase::Acting => "in_progress",
        Phase::Idle => "idle",
    }
}

/// A page of sessions.
pub fn page(data: Vec<Value>, has_more: bool) -> Value {
    types::page(data, has_more)
}
