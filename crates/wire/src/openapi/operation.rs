//! The table of operations. To serve another one, add its row here; a test compares the rows with what is served.

use serde_json::{Value, json};

use super::{
    BASES, NATIVE_BASE,
    schema::{flag, list, text},
};

/// One method of one path.
#[derive(Debug)]
pub struct Operation {
    /// The HTTP method, small letters.
    pub method: &'static str,
    /// The path, relative to the wires' bases unless it is open.
    pub path: &'static str,
    /// What generated clients call it.
    pub id: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Whether it is asked for at the root, without a key.
    pub is_open: bool,
    /// Whether it is of the native wire.
    pub is_native: bool,
    pub(super) tag: &'static str,
    /// Components of the parameters besides those of the path.
    pub(super) parameters: &'static [&'static str],
    /// Schema of the request's body.
    pub(super) body: Option<&'static str>,
    pub(super) answer: Answer,
}

/// What comes back where nothing is wrong; names are those of schemas.
#[derive(Debug)]
pub(super) enum Answer {
    Json(&'static str),
    Events(&'static str),
    /// Events where the request asks for a stream.
    JsonOrEvents(&'static str, &'static str),
    Text,
    Accepted,
}

impl Operation {
    /// Names in braces, in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    const fn new(method: &'static str, path: &'static str, (id, summary): Named, answer: Answer) -> Self {
        Self { method, path, id, summary, is_open: false, is_native: false, tag: "", parameters: &[], body: None, answer }
    }

    const fn of(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    const fn takes(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }

    const fn with(mut self, parameters: &'static [&'static str]) -> Self {
        self.parameters = parameters;
        self
    }

    const fn native(mut self) -> Self {
        self.tag = NATIVE;
        self.is_native = true;
        self
    }

    /// Where its path begins.
    pub const fn bases(&self) -> &'static [&'static str] {
        if self.is_open {
            &[""]
        } else if self.is_native {
            &[NATIVE_BASE]
        } else {
            &BASES
        }
    }

    const fn open(mut self) -> Self {
        self.is_open = true;
        self
    }
}

/// An operation's id and summary.
type Named = (&'static str, &'static str);

const fn get(path: &'static str, named: Named, answer: Answer) -> Operation {
    Operation::new("get", path, named, answer)
}

const fn post(path: &'static str, named: Named, answer: Answer) -> Operation {
    Operation::new("post", path, named, answer)
}

const fn delete(path: &'static str, named: Named, answer: Answer) -> Operation {
    Operation::new("delete", path, named, answer)
}

const AGENTS: &str = "Agents";
const RESPONSES: &str = "Responses";
const CONVERSATIONS: &str = "Conversations";
const MODELS: &str = "Models";
const NATIVE: &str = "Native";
const HEALTH: &str = "Health";

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
    query("order", "By creation.", || json!({ "type": "string", "enum": ["asc", "desc"], "default": "desc" })),
    query("agent_id", "Only sessions of this agent.", text),
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

const PAGE: &[&str] = &["after", "limit", "order"];
const ITEM_PAGE: &[&str] = &["after", "limit", "order", "include"];
const KEYED: &[&str] = &["IdempotencyKey"];

/// Every operation that is served.
pub const OPERATIONS: &[Operation] = &[
    post("/agents", ("createAgent", "Saves an agent."), Answer::Json("Agent"))
        .of(AGENTS)
        .takes("AgentBody")
        .with(KEYED),
    get("/agents", ("listAgents", "Lists the saved agents."), Answer::Json("AgentList")).of(AGENTS).with(PAGE),
    get("/agents/{agent_id}", ("getAgent", "A saved agent."), Answer::Json("Agent")).of(AGENTS),
    post("/agents/{agent_id}", ("updateAgent", "Saves the agent's next version."), Answer::Json("Agent"))
        .of(AGENTS)
        .takes("AgentBody")
        .with(KEYED),
    delete("/agents/{agent_id}", ("deleteAgent", "Deletes a saved agent."), Answer::Json("AgentDeleted")).of(AGENTS),
    post(
        "/agents/sessions",
        ("createSession", "Begins a session; with an input also its first turn."),
        Answer::JsonOrEvents("Session", "SessionEvent"),
    )
    .of(AGENTS)
    .takes("SessionBody")
    .with(KEYED),
    get("/agents/sessions", ("listSessions", "Lists sessions."), Answer::Json("SessionList"))
        .of(AGENTS)
        .with(&["after", "limit", "order", "agent_id", "metadata"]),
    get("/agents/sessions/{session_id}", ("getSession", "A session as it stands."), Answer::Json("Session")).of(AGENTS),
    post("/agents/sessions/{session_id}", ("updateSession", "Replaces the metadata."), Answer::Json("Session"))
        .of(AGENTS)
        .takes("SessionUpdate")
        .with(KEYED),
    delete("/agents/sessions/{session_id}", ("deleteSession", "Deletes a session."), Answer::Json("SessionDeleted"))
        .of(AGENTS),
    post(
        "/agents/sessions/{session_id}/events",
        ("sendEvents", "Sends messages, results of function calls, or a cancel."),
        Answer::Accepted,
    )
    .of(AGENTS)
    .takes("InputEvents")
    .with(KEYED),
    get(
        "/agents/sessions/{session_id}/events",
        ("followEvents", "Follows the session from now on, or from right after an event, at any age."),
        Answer::Events("SessionEvent"),
    )
    .of(AGENTS)
    .with(&["LastEventId", "after", "include_obfuscation"]),
    get("/agents/sessions/{session_id}/items", ("listItems", "Items of the session."), Answer::Json("SessionItemList"))
        .of(AGENTS)
        .with(PAGE),
    get("/agents/sessions/{session_id}/turns", ("listTurns", "Turns of the session."), Answer::Json("TurnList"))
        .of(AGENTS)
        .with(PAGE),
    get("/agents/sessions/{session_id}/turns/{turn_id}", ("getTurn", "A turn as it stands."), Answer::Json("Turn"))
        .of(AGENTS),
    get(
        "/agents/sessions/{session_id}/turns/{turn_id}/items",
        ("listTurnItems", "Items of the turn."),
        Answer::Json("SessionItemList"),
    )
    .of(AGENTS)
    .with(PAGE),
    get("/agents/sessions/{session_id}/subagents", ("listSubagents", "Always empty yet."), Answer::Json("EmptyList"))
        .of(AGENTS)
        .with(PAGE),
    get("/agents/sessions/{session_id}/traces", ("listTraces", "Always empty yet."), Answer::Json("EmptyList"))
        .of(AGENTS)
        .with(PAGE),
    get("/agents/sessions/{session_id}/artifacts", ("listArtifacts", "Always empty yet."), Answer::Json("EmptyList"))
        .of(AGENTS)
        .with(PAGE),
    post(
        "/responses",
        ("createResponse", "Makes a response: whole, as events, or in the background."),
        Answer::JsonOrEvents("Response", "ResponseEvent"),
    )
    .of(RESPONSES)
    .takes("ResponseBody")
    .with(KEYED),
    get(
        "/responses/{response_id}",
        ("getResponse", "A response as it stands, or its events from any place."),
        Answer::JsonOrEvents("Response", "ResponseEvent"),
    )
    .of(RESPONSES)
    .with(&["stream", "starting_after", "include", "include_obfuscation"]),
    delete("/responses/{response_id}", ("deleteResponse", "Deletes a response."), Answer::Json("ResponseDeleted"))
        .of(RESPONSES),
    post(
        "/responses/{response_id}/cancel",
        ("cancelResponse", "Cancels a background response; one that is over comes back unchanged."),
        Answer::Json("Response"),
    )
    .of(RESPONSES),
    get(
        "/responses/{response_id}/input_items",
        ("listInputItems", "What the response was asked."),
        Answer::Json("ItemList"),
    )
    .of(RESPONSES)
    .with(ITEM_PAGE),
    post("/conversations", ("createConversation", "Begins a conversation."), Answer::Json("Conversation"))
        .of(CONVERSATIONS)
        .takes("ConversationBody")
        .with(KEYED),
    get("/conversations/{conversation_id}", ("getConversation", "A conversation."), Answer::Json("Conversation"))
        .of(CONVERSATIONS),
    post(
        "/conversations/{conversation_id}",
        ("updateConversation", "Replaces the metadata."),
        Answer::Json("Conversation"),
    )
    .of(CONVERSATIONS)
    .takes("ConversationUpdate")
    .with(KEYED),
    delete(
        "/conversations/{conversation_id}",
        ("deleteConversation", "Deletes a conversation."),
        Answer::Json("ConversationDeleted"),
    )
    .of(CONVERSATIONS),
    get(
        "/conversations/{conversation_id}/items",
        ("listConversationItems", "Items of the conversation."),
        Answer::Json("ItemList"),
    )
    .of(CONVERSATIONS)
    .with(ITEM_PAGE),
    post("/conversations/{conversation_id}/items", ("addConversationItems", "Adds items."), Answer::Json("ItemList"))
        .of(CONVERSATIONS)
        .takes("ItemsBody")
        .with(&["IdempotencyKey", "include"]),
    get("/conversations/{conversation_id}/items/{item_id}", ("getConversationItem", "An item."), Answer::Json("Item"))
        .of(CONVERSATIONS)
        .with(&["include"]),
    delete(
        "/conversations/{conversation_id}/items/{item_id}",
        ("deleteConversationItem", "Takes an item out of the conversation."),
        Answer::Json("Conversation"),
    )
    .of(CONVERSATIONS),
    get("/models", ("listModels", "Names that may be asked for."), Answer::Json("ModelList")).of(MODELS),
    get("/models/{model}", ("getModel", "A model."), Answer::Json("Model")).of(MODELS),
    get("/sessions", ("listSessionsInShort", "Sessions with their first words and cost."), Answer::Json("SessionInShortList"))
        .native()
        .with(PAGE),
    get("/sessions/{session_id}", ("getSessionInShort", "A session in short."), Answer::Json("SessionInShort")).native(),
    get(
        "/sessions/{session_id}/journal",
        ("readJournal", "Events of the session's journal: what was decided, each attempt and its receipt."),
        Answer::Json("JournalPage"),
    )
    .native()
    .with(&["after_sequence", "limit"]),
    post(
        "/sessions/{session_id}/fork",
        ("forkSession", "Begins a session that inherits everything up to the end of a turn."),
        Answer::Json("SessionInShort"),
    )
    .native()
    .takes("ForkBody")
    .with(KEYED),
    get("/healthz", ("isAlive", "Answers as soon as the server serves."), Answer::Text).of(HEALTH).open(),
    get("/readyz", ("isReady", "503 while the server stops."), Answer::Text).of(HEALTH).open(),
];
