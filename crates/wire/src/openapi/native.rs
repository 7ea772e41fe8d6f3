//! Schemas of the native wire.

use serde_json::{Value, json};

use super::schema::{any_object, choice, constant, count, flag, list, nullable, object, page, reference, text};

/// All of them.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let fork = object([("turn_id?", nullable(text())), ("metadata?", nullable(reference("Metadata")))]);
    let journal =
        object([("object", constant("list")), ("data", list(reference("JournalEvent"))), ("has_more", flag())]);
    vec![
        ("SessionInShort", session()),
        ("SessionInShortList", page("SessionInShort")),
        ("JournalEvent", event()),
        ("JournalPage", journal),
        ("ForkBody", fork),
        ("Question", question()),
        ("QuestionList", questions()),
        ("ApprovalBody", approval()),
        ("EffectBody", effect()),
    ]
}

fn question() -> Value {
    object([
        ("id", text()),
        ("object", constant("mainstay.question")),
        ("kind", choice(&["approval", "unknown"])),
        ("session_id", text()),
        ("agent_id", text()),
        ("agent_name", nullable(text())),
        ("turn_id", nullable(text())),
        ("call_id", text()),
        ("toolset", text()),
        ("tool", text()),
        ("class", choice(&["read_only", "idempotent", "once"])),
        ("arguments", json!({})),
        ("idempotency_key", text()),
        ("attempts", count()),
        ("message", text()),
        ("is_left", flag()),
    ])
}

fn questions() -> Value {
    object([
        ("object", constant("list")),
        ("data", list(reference("Question"))),
        ("has_more", flag()),
        ("last_session_id", nullable(text())),
    ])
}

fn approval() -> Value {
    object([
        ("decision", choice(&["approve", "deny", "delegate"])),
        ("arguments?", nullable(any_object())),
        ("to?", nullable(list(text()))),
        ("reason?", nullable(text())),
    ])
}

fn effect() -> Value {
    object([
        ("decision", choice(&["happened", "did_not_happen", "again", "abandon"])),
        ("output?", nullable(text())),
        ("reason?", nullable(text())),
    ])
}

/// Milliseconds since 1970.
fn milliseconds() -> Value {
    json!({ "type": "integer", "description": "Milliseconds since 1970." })
}

fn session() -> Value {
    let parent = object([("session_id", text()), ("sequence", count()), ("depth", count())]);
    let cost = json!({ "type": "integer", "description": "10^-12 USD." });
    let cursor = json!({ "type": "string", "description": "An event id: follow the session's events from after it." });
    object([
        ("id", text()),
        ("object", constant("mainstay.session")),
        ("kind", choice(&["agent", "response", "conversation", "registry"])),
        ("status", choice(&["idle", "in_progress", "requires_action"])),
        ("model", text()),
        ("agent_id", text()),
        ("agent_name", nullable(text())),
        ("created_at_ms", milliseconds()),
        ("last_active_at_ms", milliseconds()),
        ("first_words", nullable(text())),
        ("turns", count()),
        ("has_more_turns", flag()),
        ("events", count()),
        ("usage", reference("Usage")),
        ("cost_pico_usd", cost),
        ("parent", nullable(parent)),
        ("last_turn_id", nullable(text())),
        ("current_turn_id", nullable(text())),
        ("metadata", reference("Metadata")),
        ("cursor", cursor),
    ])
}

fn event() -> Value {
    object([
        ("sequence", count()),
        ("at_ms", milliseconds()),
        ("type", text()),
        ("turn_id?", text()),
        ("item?", any_object()),
        ("items?", list(any_object())),
        ("receipt?", any_object()),
    ])
}
