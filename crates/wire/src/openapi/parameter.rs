//! Parameters that operations share: all are optional.

use serde_json::{Value, json};

use super::schema::{flag, list, text};

/// A parameter that several operations have: all are optional.
pub(super) struct Parameter {
    pub(super) component: &'static str,
    pub(super) name: &'static str,
    pub(super) place: &'static str,
    pub(super) description: &'static str,
    pub(super) schema: fn() -> Value,
}

const fn query(name: &'static str, description: &'static str, schema: fn() -> Value) -> Parameter {
    Parameter { component: name, name, place: "query", description, schema }
}

const fn header(
    component: &'static str,
    name: &'static str,
    description: &'static str,
    schema: fn() -> Value,
) -> Parameter {
    Parameter { component, name, place: "header", description, schema }
}

/// The parameters that `Operation::parameters` names.
pub(super) const PARAMETERS: &[Parameter] = &[
    header(
        "IdempotencyKey",
        "Idempotency-Key",
        "A repeated request with the same key is taken once.",
        || json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
    ),
    header("LastEventId", "Last-Event-ID", "The id of the last event that the client has; beats `after`.", text),
    query("after", "The id of the element or event before the first one wanted.", text),
    query(
        "limit",
        "Most elements of the page.",
        || json!({ "type": "integer", "minimum": 1, "maximum": 100, "default": 20 }),
    ),
    Parameter {
        component: "EventLimit",
        name: "limit",
        place: "query",
        description: "Most events of the page.",
        schema: || json!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 100 }),
    },
    query("order", "By creation.", || json!({ "type": "string", "enum": ["asc", "desc"], "default": "desc" })),
    query("purpose", "Only files that are kept for this.", text),
    query("agent_id", "Only sessions of this agent.", text),
    query("session_id", "Only automations that give inputs to this session.", text),
    query("page", "The cursor of the page, from `next_page` of the page before.", text),
    query(
        "version",
        "Which version; the latest where absent.",
        || json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
    ),
    query(
        "agent_version",
        "With `agent_id`: only sessions of this version.",
        || json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
    ),
    query("include_archived", "Whether archived ones are listed.", flag),
    query(
        "created_at",
        "Only those made within bounds, as `created_at[gt]`, `[gte]`, `[lt]` or `[lte]` with an RFC 3339 time.",
        || json!({ "type": "object", "additionalProperties": text() }),
    ),
    query("statuses", "Only those that stand like this.", || {
        list(json!({ "type": "string", "enum": ["rescheduling", "running", "idle", "terminated"] }))
    }),
    query("types", "Only events of these types.", || list(super::managed::event_type())),
    query("event_deltas", "What to preview while it is written.", || {
        list(json!({ "type": "string", "enum": ["agent.message", "agent.thinking"] }))
    }),
    Parameter {
        component: "ManagedEventLimit",
        name: "limit",
        place: "query",
        description: "Most events of the page.",
        schema: || json!({ "type": "integer", "minimum": 1, "maximum": 1_000, "default": 100 }),
    },
    Parameter {
        component: "ManagedEventOrder",
        name: "order",
        place: "query",
        description: "By place in the journal.",
        schema: || json!({ "type": "string", "enum": ["asc", "desc"], "default": "asc" }),
    },
    query("include", "What else to show of an item; `reasoning.encrypted_content` is the one that matters.", || {
        list(text())
    }),
    query("include_obfuscation", "Whether events carry padding.", flag),
    query("stream", "Whether to answer with events.", flag),
    query(
        "starting_after",
        "With `stream=true`: the `sequence_number` of the last event that the client has.",
        || json!({ "type": "integer", "minimum": 0 }),
    ),
    query(
        "after_sequence",
        "The sequence of the event before the first one wanted.",
        || json!({ "type": "integer", "minimum": 0, "default": 0 }),
    ),
    query(
        "metadata",
        "Only sessions with these pairs, as `metadata[key]=value`.",
        || json!({ "type": "object", "additionalProperties": text() }),
    ),
];
