//! The table of operations. To serve another one, add its row here; a test compares the rows with what is served.

use super::BASES;

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
    /// Whether its path is whole: the native wire has sessions and Anthropic's has agents, too.
    pub is_whole: bool,
    pub(super) tag: &'static str,
    /// Components of the parameters besides those of the path.
    pub(super) parameters: &'static [&'static str],
    /// Schema of the request's body.
    pub(super) body: Option<&'static str>,
    /// Whether the body is a form instead of JSON.
    pub(super) is_form: bool,
    pub(super) answer: Answer,
    /// The component that shows its errors.
    pub(super) errors: &'static str,
}

/// What comes back where nothing is wrong; names are those of schemas.
#[derive(Debug)]
pub(super) enum Answer {
    Json(&'static str),
    Events(&'static str),
    /// Events where the request asks for a stream.
    JsonOrEvents(&'static str, &'static str),
    Text,
    /// A file's content.
    Content,
    Accepted,
}

impl Operation {
    /// Names in braces, in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    const fn new(method: &'static str, path: &'static str, (id, summary): Named, answer: Answer) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            is_open: false,
            is_whole: false,
            tag: "",
            parameters: &[],
            body: None,
            is_form: false,
            answer,
            errors: "Error",
        }
    }

    pub(super) const fn of(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    pub(super) const fn managed(mut self) -> Self {
        self.tag = MANAGED;
        self.is_whole = true;
        self.in_anthropic_shape()
    }

    const fn in_anthropic_shape(mut self) -> Self {
        self.errors = "AnthropicError";
        self
    }

    const fn takes_form(mut self, body: &'static str) -> Self {
        self.is_form = true;
        self.takes(body)
    }

    pub(super) const fn takes(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) const fn with(mut self, parameters: &'static [&'static str]) -> Self {
        self.parameters = parameters;
        self
    }

    const fn native(mut self) -> Self {
        self.tag = NATIVE;
        self.is_whole = true;
        self
    }

    /// Where its path begins.
    pub const fn bases(&self) -> &'static [&'static str] {
        if self.is_open || self.is_whole { &[""] } else { &BASES }
    }

    const fn open(mut self) -> Self {
        self.is_open = true;
        self
    }
}

/// An operation's id and summary.
pub(super) type Named = (&'static str, &'static str);

pub(super) const fn get(path: &'static str, named: Named, answer: Answer) -> Operation {
    Operation::new("get", path, named, answer)
}

pub(super) const fn post(path: &'static str, named: Named, answer: Answer) -> Operation {
    Operation::new("post", path, named, answer)
}

pub(super) const fn delete(path: &'static str, named: Named, answer: Answer) -> Operation {
    Operation::new("delete", path, named, answer)
}

pub(super) const AGENTS: &str = "Agents";
const RESPONSES: &str = "Responses";
const CONVERSATIONS: &str = "Conversations";
const MODELS: &str = "Models";
const GATEWAY: &str = "Gateway";
const FILES: &str = "Files";
const NATIVE: &str = "Native";
const HEALTH: &str = "Health";
const MANAGED: &str = "Claude Managed Agents";

pub(super) const PAGE: &[&str] = &["after", "limit", "order"];
const ITEM_PAGE: &[&str] = &["after", "limit", "order", "include"];
pub(super) const KEYED: &[&str] = &["IdempotencyKey"];

/// Every operation that is served.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().chain(super::automations::OPERATIONS).chain(super::managed::OPERATIONS)
}

const OPERATIONS: &[Operation] = &[
    post("/agents", ("createAgent", "Saves an agent."), Answer::Json("Agent"))
        .of(AGENTS)
        .takes("AgentBody")
        .with(KEYED),
    get("/agents", ("listAgents", "Lists the saved agents."), Answer::Json("AgentList")).of(AGENTS).with(PAGE),
    get("/agents/{agent_id}", ("getAgent", "A saved agent."), Answer::Json("Agent")).of(AGENTS),
    post("/agents/{agent_id}", ("updateAgent", "Saves the agent's next version."), Answer::Json("Agent"))
        .of(AGENTS)
        .takes("AgentUpdate")
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
    post(
        "/agents/sessions/{session_id}",
        ("updateSession", "Replaces the metadata, and what later turns run with."),
        Answer::Json("Session"),
    )
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
    get("/agents/sessions/{session_id}/traces", ("listTraces", "The turns as OTLP traces."), Answer::Json("TraceList"))
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
    post(
        "/responses/compact",
        ("compactResponse", "A digest of a conversation, to be sent as the next input."),
        Answer::Json("CompactedResponse"),
    )
    .of(RESPONSES)
    .takes("CompactBody"),
    post(
        "/responses/input_tokens",
        ("countInputTokens", "How many tokens a request's prompt has; nothing is made."),
        Answer::Json("InputTokens"),
    )
    .of(RESPONSES)
    .takes("InputTokensBody"),
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
    get("/files", ("listFiles", "Stored files."), Answer::Json("FileList"))
        .of(FILES)
        .with(&["after", "limit", "order", "purpose"]),
    post("/files", ("createFile", "Stores a file."), Answer::Json("File")).of(FILES).takes_form("FileForm"),
    get("/files/{file_id}", ("getFile", "A stored file."), Answer::Json("File")).of(FILES),
    delete("/files/{file_id}", ("deleteFile", "Erases a file."), Answer::Json("FileDeleted")).of(FILES),
    get("/files/{file_id}/content", ("getFileContent", "A file's content."), Answer::Content).of(FILES),
    post("/uploads", ("createUpload", "Begins a file that comes in parts."), Answer::Json("Upload"))
        .of(FILES)
        .takes("UploadBody"),
    post("/uploads/{upload_id}/parts", ("addUploadPart", "Adds a part."), Answer::Json("UploadPart"))
        .of(FILES)
        .takes_form("PartForm"),
    post("/uploads/{upload_id}/complete", ("completeUpload", "Makes the file of its parts."), Answer::Json("Upload"))
        .of(FILES)
        .takes("CompletionBody"),
    post("/uploads/{upload_id}/cancel", ("cancelUpload", "Erases what came."), Answer::Json("Upload")).of(FILES),
    post(
        "/chat/completions",
        ("createChatCompletion", "Makes one inference, in the form of OpenAI's Chat Completions."),
        Answer::JsonOrEvents("ChatCompletion", "ChatCompletionChunk"),
    )
    .of(GATEWAY)
    .takes("ChatBody"),
    post(
        "/messages",
        ("createMessage", "Makes one inference, in the form of Anthropic's Messages."),
        Answer::JsonOrEvents("Message", "MessageEvent"),
    )
    .of(GATEWAY)
    .takes("MessagesBody")
    .in_anthropic_shape(),
    post("/messages/count_tokens", ("countMessageTokens", "Counts a prompt's tokens."), Answer::Json("TokenCount"))
        .of(GATEWAY)
        .takes("CountBody")
        .in_anthropic_shape(),
    post("/embeddings", ("createEmbedding", "Embeds texts."), Answer::Json("EmbeddingList"))
        .of(GATEWAY)
        .takes("EmbeddingsBody"),
    get("/models", ("listModels", "Names that may be asked for."), Answer::Json("ModelList")).of(MODELS),
    get("/models/{model}", ("getModel", "A model."), Answer::Json("Model")).of(MODELS),
    get(
        "/mainstay/v1/sessions",
        ("listSessionsInShort", "Sessions with their first words and cost."),
        Answer::Json("SessionInShortList"),
    )
    .native()
    .with(PAGE),
    get(
        "/mainstay/v1/sessions/{session_id}",
        ("getSessionInShort", "A session in short."),
        Answer::Json("SessionInShort"),
    )
    .native(),
    get(
        "/mainstay/v1/sessions/{session_id}/journal",
        ("readJournal", "Events of the session's journal: what was decided, each attempt and its receipt."),
        Answer::Json("JournalPage"),
    )
    .native()
    .with(&["after_sequence", "EventLimit"]),
    post(
        "/mainstay/v1/sessions/{session_id}/fork",
        ("forkSession", "Begins a session that inherits everything up to the end of a turn."),
        Answer::Json("SessionInShort"),
    )
    .native()
    .takes("ForkBody")
    .with(KEYED),
    post(
        "/mainstay/v1/sessions/{session_id}/compact",
        ("compactSession", "Replaces the context by a digest of it: now, or before the running turn's next inference."),
        Answer::Json("SessionInShort"),
    )
    .native()
    .with(KEYED),
    get(
        "/mainstay/v1/approvals",
        ("listApprovals", "Calls that wait for people's approval, of all sessions."),
        Answer::Json("QuestionList"),
    )
    .native()
    .with(PAGE),
    post(
        "/mainstay/v1/approvals/{question_id}",
        ("answerApproval", "Approves, denies or hands on a call that waits."),
        Answer::Json("QuestionList"),
    )
    .native()
    .takes("ApprovalBody")
    .with(KEYED),
    get(
        "/mainstay/v1/effects",
        ("listUnknownEffects", "Calls whose outcome nobody knows, of all sessions."),
        Answer::Json("QuestionList"),
    )
    .native()
    .with(PAGE),
    post(
        "/mainstay/v1/effects/{question_id}",
        ("resolveEffect", "Says what became of a call whose outcome nobody knew."),
        Answer::Json("QuestionList"),
    )
    .native()
    .takes("EffectBody")
    .with(KEYED),
    get("/healthz", ("isAlive", "Answers as soon as the server serves."), Answer::Text).of(HEALTH).open(),
    get("/readyz", ("isReady", "503 while the server stops."), Answer::Text).of(HEALTH).open(),
];
