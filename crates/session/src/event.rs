//! What is journaled: facts, past tense, readable for ever. A field may be added with a default; one may never
//! change its meaning. Must not hold any wire's or provider's types.

use std::sync::Arc;

use mainstay_vocabulary::{
    AgentId, CallId, Epoch, Item, ItemId, Object, PicoUsd, Sequence, SessionId, Timestamp, TurnId, Usage,
    inference::{Failure, Stop},
    item::ItemKind,
    place::Place,
    usage::Booking,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    automation::{AutomationDefinition, InvocationOutcome, PauseReason},
    effect::{ApprovalAnswered, ApprovalAsked, CallIntended, CallLost, CallResolved, Listed, ServedCall},
    registry::AgentDefinition,
    spec::Spec,
};

pub use self::gateway::{Booked, Outgoing, Settled};
pub use crate::compaction::{Base, Digest, Purpose, Replaced, Task};

pub(crate) mod absent;
mod at_rest;
mod gateway;
#[cfg(test)]
mod tests;

/// A fact in a session's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The session began. Always sequence 1.
    SessionCreated(Box<Created>),
    /// From here on inferences are made with another spec. Starts a context epoch.
    SpecChanged(Arc<Spec>),
    /// The client's key-value pairs were replaced.
    MetadataChanged(Object),
    /// An input is accepted; what happens to it is journaled later.
    InputAccepted(Input),
    /// A turn began. Its id is this place.
    TurnStarted(TurnStarted),
    /// Accepted inputs became part of the context, in this order.
    InputIncorporated {
        /// Sequences of their `InputAccepted`.
        inputs: Vec<Sequence>,
    },
    /// An inference is about to be made; only this event's commit sends it.
    InferenceIntended(Intended),
    /// An item is whole. Comes in one batch with its inference's `InferenceEnded`.
    ItemCompleted(Written),
    /// An item was cut off; what was shown of it stays.
    ItemInterrupted(Written),
    /// An inference came to an end and is booked, once.
    InferenceEnded(Box<InferenceEnded>),
    /// A call waits for the client's result, or to be run here. Of a client's call this is the intent: handing it out
    /// comes after.
    CallOpened(CallOpened),
    /// A function call has its fate. The item of its result has this place and ordinal 0.
    CallClosed {
        /// The call.
        call_id: CallId,
        /// Its fate.
        outcome: CallOutcome,
    },
    /// The turn is over.
    TurnEnded(Box<TurnEnded>),
    /// Something came back for an effect whose turn had been cancelled.
    OutcomeAfterCancel(LateOutcome),
    /// Items were put into the context by the client, without a turn.
    ItemsAdded(Vec<Arc<Item>>),
    /// An item is no longer shown or rendered. Starts a context epoch.
    ItemHidden {
        /// Which.
        item: ItemId,
    },
    /// A turn's object (a Response) is no longer shown; the context keeps its items.
    TurnHidden {
        /// Which: the sequence of its `TurnStarted`.
        turn: Sequence,
    },
    /// A new incarnation took the session over while effects were open.
    Recovered {
        /// Its epoch.
        epoch: Epoch,
    },
    /// The session is gone for its clients.
    SessionDeleted,
    /// A saved agent was made or changed (registry journals only).
    AgentSaved {
        /// Which; for a new one this very place with ordinal 0.
        agent: AgentId,
        /// What it is from now on.
        definition: Box<AgentDefinition>,
    },
    /// A saved agent was removed (registry journals only).
    AgentDeleted {
        /// Which.
        agent: AgentId,
    },
    /// A saved agent takes no new sessions and no new versions; those it has stay (registry journals only).
    AgentArchived {
        /// Which.
        agent: AgentId,
    },
    /// The wire's parameters for the session as a whole were replaced.
    EchoChanged(Object),
    /// The session takes no input any more; all of it stays readable.
    SessionArchived,
    /// Content that was never at rest (`Retention::ReceiptOnly`); keeps the place of what happened.
    Withheld,
    /// A client asked for a compaction while a turn ran: it comes before the turn's next inference.
    CompactionAsked,
    /// The context of later inferences begins anew: with a digest of what was there, or without its oldest items. The
    /// raw journal stays. Starts a context epoch.
    ContextReplaced(Box<Replaced>),
    /// A compaction was due, and there was nothing that a digest could replace.
    CompactionSkipped,
    /// Inferences that belong to no session were intended or came to their end (gateway journals only).
    GatewayBooked(Booked),
    /// What a stored file is to be (files' journals only).
    FileBegun(FileHead),
    /// A piece of a stored file's content (files' journals only).
    FilePart(FilePart),
    /// A stored file is whole (files' journals only).
    FileCompleted {
        /// The sequences of its pieces, in the order of its content.
        parts: Vec<Sequence>,
    },
    /// An automation was made or changed (automations' journals only).
    AutomationSaved(Box<AutomationSaved>),
    /// An automation's schedule is suspended (automations' journals only).
    AutomationPaused {
        /// Why, where nobody asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<PauseReason>,
    },
    /// An automation's schedule goes on (automations' journals only).
    AutomationResumed {
        /// When it fires next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_at: Option<Timestamp>,
    },
    /// An automation fires: the intent of its delivery (automations' journals only).
    InvocationBegun(InvocationBegun),
    /// A delivery came to its end (automations' journals only).
    InvocationEnded {
        /// The sequence of its `InvocationBegun`.
        invocation: Sequence,
        /// What came of it.
        outcome: InvocationOutcome,
    },
    /// Webhooks were delivered or given up (webhooks' journals only).
    WebhooksSettled(Vec<SettledWebhook>),
    /// What a toolset offers is pinned, or it could not be listed. Starts a context epoch.
    ToolsListed(Box<Listed>),
    /// A call that the runtime runs is about to be made; only this event's commit sends it.
    CallIntended(CallIntended),
    /// A call's attempt came to an end without an outcome.
    CallLost(CallLost),
    /// People are asked whether a call may run.
    ApprovalAsked(Box<ApprovalAsked>),
    /// A person answered.
    ApprovalAnswered(ApprovalAnswered),
    /// A call whose outcome nobody knew has one.
    CallResolved(Box<CallResolved>),
}

/// An automation from here on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutomationSaved {
    /// What it is.
    pub definition: AutomationDefinition,
    /// When it fires next, as reckoned then: zones' rules change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// An automation fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvocationBegun {
    /// Its occurrence; `None` where somebody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Timestamp>,
    /// When the automation fires next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Whether nothing is delivered, because an earlier delivery is under way.
    #[serde(default, skip_serializing_if = "absent::is_false")]
    pub skipped: bool,
}

/// What became of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledWebhook {
    /// Its id.
    pub id: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// Attempts of the process that settled it.
    pub attempts: u32,
    /// The last answer's status; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Whether it was delivered; otherwise it was given up.
    pub delivered: bool,
    /// Where it waited, hex: what takes it out of the outbox.
    pub place: String,
}

/// What a stored file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHead {
    /// Its name, as the client gave it.
    pub name: String,
    /// What the client keeps it for (`user_data`, `assistants`, `vision`…).
    pub purpose: String,
    /// `application/pdf`, `text/plain`…, where somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its size, bytes, where it was announced: it must come out so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<u64>,
    /// When it is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it is erased if it is not whole by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_by: Option<Timestamp>,
}

/// A piece of a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// The content, base64.
    pub content: Arc<str>,
    /// Its size, bytes.
    pub bytes: u64,
}

/// How a session began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// What it is for.
    pub kind: Kind,
    /// What it runs with at first.
    pub spec: Arc<Spec>,
    /// Where it forked off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Fork>,
    /// The client's key-value pairs.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub metadata: Object,
    /// The saved agent and its version, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentRef>,
    /// Parameters of the wire for the session as a whole, kept for echo.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub echo: Object,
    /// Calls of the inherited context that have no result: the first input must bring them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<CallId>,
}

/// What a session is for; decides which lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A session of an agent.
    Agent,
    /// Made by a Response without a conversation.
    Response,
    /// A conversation.
    Conversation,
    /// A tenant's registry: saved agents.
    Registry,
    /// A tenant's inferences that belong to no session.
    Gateway,
    /// A stored file, or an upload that becomes one.
    File,
    /// An automation.
    Automation,
    /// What became of a tenant's webhooks.
    Webhook,
}

/// A saved agent at a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRef {
    /// Which.
    pub agent: AgentId,
    /// The sequence of the `AgentSaved` that the session took over.
    pub version: Sequence,
    /// Its name then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The version's number, from 1; 0 in journals of before versions had numbers.
    #[serde(default, skip_serializing_if = "absent::is_zero")]
    pub number: u32,
    /// What it said it does then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Where a session forked off: everything of `session` up to and with `sequence` is inherited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The parent.
    pub session: SessionId,
    /// The last inherited place.
    pub sequence: Sequence,
    /// How many forks lie above, this one included.
    pub depth: u16,
    /// About how many tokens the inherited context has.
    #[serde(default, skip_serializing_if = "absent::is_nothing")]
    pub tokens: u64,
}

/// An accepted input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Its items; item ids are (this place, index).
    pub items: Vec<Arc<Item>>,
    /// What to do with it while a turn runs.
    pub delivery: Delivery,
    /// What a turn that it starts keeps of the request.
    #[serde(default, skip_serializing_if = "TurnOptions::is_default")]
    pub options: TurnOptions,
}

/// What to do with an input while a turn runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Into the running turn at its next step.
    Steer,
    /// A turn of its own afterwards.
    Queue,
    /// Cancels the running turn and starts another.
    Interrupt,
    /// Refused while a turn runs.
    Reject,
}

/// What a turn keeps of the request that started it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnOptions {
    /// What the turn is for.
    #[serde(skip_serializing_if = "Task::is_answer")]
    pub task: Task,
    /// The turn that the client named as the one before (`previous_response_id`); may be of a parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<TurnId>,
    /// Parameters of the wire for this turn, kept for echo (metadata, user, background…).
    #[serde(skip_serializing_if = "Object::is_empty")]
    pub echo: Object,
}

impl TurnOptions {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A turn began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnStarted {
    /// The input that started it. Its options hold for the turn.
    pub input: Sequence,
    /// Where the spec in force was set (`SessionCreated` or `SpecChanged`).
    pub spec_at: Sequence,
    /// When it must be over, unless it waits for the client.
    pub deadline: Timestamp,
    /// The version of the wires' projectors that shows it, for ever: an upgrade must not change a stream.
    #[serde(default = "first_projector", skip_serializing_if = "is_first_projector")]
    pub projector: u32,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Task::is_answer")]
    pub task: Task,
    /// Calls that have no result although its input is taken: only a compaction goes on without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<CallId>,
}

/// The projectors' version now. 1: a Response's `service_tier` was always `default`. 2: it is what the provider reported.
pub const PROJECTOR: u32 = 2;

const fn first_projector() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
const fn is_first_projector(version: &u32) -> bool {
    *version == 1
}

/// An inference is about to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intended {
    /// The lease that it is made under.
    pub epoch: Epoch,
    /// 1 for the first attempt of this step.
    pub attempt: u32,
    /// Where it goes.
    pub route: Route,
    /// The context that is rendered: all events up to here.
    pub context: Sequence,
    /// Keyed digest of the rendered prompt, hex; the prompt itself is never stored.
    pub prompt: String,
    /// The item that the first text continues, after an interruption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<ItemId>,
    /// What it is made for.
    #[serde(default, skip_serializing_if = "Purpose::is_answer")]
    pub purpose: Purpose,
}

/// Where an inference goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The deployment's name.
    pub deployment: String,
    /// The provider's name.
    pub provider: String,
    /// The provider's name for the model.
    pub upstream_model: String,
    /// Where it runs.
    #[serde(default)]
    pub place: Place,
    /// The clamped limit that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Whether the provider can continue an item from a prefix.
    #[serde(default)]
    pub continues_prefix: bool,
}

/// An item that a model wrote, with the boundaries of its deltas, so that its stream replays exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The item's id: (its inference's intent, index); a continued item keeps its first id.
    pub id: ItemId,
    /// What it was started as.
    pub kind: ItemKind,
    /// The item.
    pub item: Arc<Item>,
    /// Its deltas.
    pub marks: Marks,
    /// Bytes of its text that an earlier `ItemInterrupted` of the same id already holds the deltas of.
    #[serde(default, skip_serializing_if = "absent::is_zero")]
    pub resumed_at: u32,
    /// Only for `ItemInterrupted`: whether the same item goes on in a later attempt.
    #[serde(default, skip_serializing_if = "absent::is_false")]
    pub continues: bool,
}

/// Where an item's deltas stood in the stream. Ordinals are per session and only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Ordinal of the delta that started it; `None` where the item was resumed.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// Byte length of each text delta.
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    pub lengths: Vec<u32>,
    /// Ordinal of the first text delta, then (index of the delta, its ordinal) wherever one does not follow the one
    /// before it directly.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub ordinals: Vec<(u32, u64)>,
    /// Ordinal of the delta that ended it; `None` where it was cut off.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// (ordinal, sequence): from this ordinal on, deltas came after that event and before the next.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<(u64, Sequence)>,
    /// Log probabilities of the text delta that follows each of these ordinals.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<(u64, Value)>,
}

/// An inference came to an end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InferenceEnded {
    /// The sequence of its intent.
    pub intent: Sequence,
    /// How it went.
    pub outcome: InferenceOutcome,
    /// What is known of it.
    pub receipt: Receipt,
    /// Whether its items are part of the context.
    pub kept: bool,
    /// When the next attempt may begin, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

/// How an inference went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InferenceOutcome {
    /// It reached its end.
    Finished(Stop),
    /// It failed.
    Failed(Failure),
    /// This process or a predecessor was stopped while it ran.
    Interrupted,
    /// Its turn was cancelled or ran out of time.
    Cancelled,
}

/// What is known of one inference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Tokens.
    pub usage: Usage,
    /// Who counted them.
    pub booking: Booking,
    /// Cost at the deployment's price; `None` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<PicoUsd>,
    /// Model name as reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What else the provider said.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub reported: Object,
}

/// A call waits for its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallOpened {
    /// The call.
    pub call_id: CallId,
    /// The item that asked for it.
    pub item: ItemId,
    /// The function.
    pub name: String,
    /// JSON text.
    pub arguments: String,
    /// How the runtime runs it; `None` where the client does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Box<ServedCall>>,
}

/// The fate of a function call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The client ran it; the item is its `ToolResult`.
    Returned(Arc<Item>),
    /// Its turn was cancelled; nobody knows here whether the client ran it. The model is told so.
    Cancelled,
    /// It was refused before it was handed out; the model is told why.
    Refused(String),
    /// It failed without an effect; the model is told how.
    Failed(String),
    /// People said no, or their time was up; the model is told why.
    Denied(String),
    /// Nobody knows whether it had an effect; the model is told so.
    Unknown(String),
}

/// The turn is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnEnded {
    /// The sequence of its `TurnStarted`.
    pub turn: Sequence,
    /// How.
    pub status: TurnStatus,
    /// All its tokens.
    pub usage: Usage,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStatus {
    /// The agent yielded.
    Completed,
    /// It stopped early; what there is stays.
    Incomplete(Shortfall),
    /// It failed.
    Failed(TurnError),
    /// It was cancelled.
    Cancelled,
}

/// Why a turn is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortfall {
    /// The limit on output tokens.
    MaxOutputTokens,
    /// The provider's filter.
    ContentFilter,
    /// The model's stream was cut off after something was shown.
    Interrupted,
}

/// Why a turn failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnError {
    /// The class.
    pub code: ErrorCode,
    /// One sentence, safe to show.
    pub message: String,
}

/// Classes of failed turns, named as the Agents API names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The prompt does not fit.
    ContextLengthExceeded,
    /// 429 upstream, and attempts ran out.
    RateLimitExceeded,
    /// The upstream answers 5xx, and attempts ran out.
    ServerOverloaded,
    /// The upstream cannot be reached.
    ConnectionFailed,
    /// The upstream misbehaves.
    ServerError,
    /// The upstream refuses the key.
    AuthenticationError,
    /// The upstream refuses the request.
    InvalidRequest,
    /// No deployment serves the model.
    ResourceNotFound,
    /// The turn ran out of time.
    RequestTimeout,
    /// A limit on steps, or the account upstream has no money left.
    UsageLimitExceeded,
    /// The tools of a toolset that the turn needs could not be listed.
    ToolsUnavailable,
    /// A fault here.
    InternalError,
}

/// Something that came back after its turn had been cancelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LateOutcome {
    /// What an inference really cost; replaces the estimate booked when it was cancelled.
    Inference {
        /// The sequence of its intent.
        intent: Sequence,
        /// What is known of it.
        receipt: Receipt,
    },
    /// A client's result.
    Call(Arc<Item>),
}
