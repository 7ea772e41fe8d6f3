//! What may be asked of a session, and what it answers. Nodes hand commands and refusals to each other as JSON, maybe of
//! another version: like events, they gain fields and variants, and none changes its meaning.

use std::{borrow::Cow, sync::Arc};

use mainstay_vocabulary::{
    AgentId, CallId, Epoch, Item, ItemId, Object, Principal, Sequence, SessionId, Timestamp, TurnId,
    inference::{Failure, Finished},
};
use serde::{Deserialize, Serialize};

use crate::{
    assembly::Assembly,
    automation::{AutomationDefinition, InvocationOutcome},
    compaction::Stays,
    effect::{Answer, Offer, Resolution, Ruling},
    event::{Booked, Created, Event, FileHead, FilePart, Input, Kind, Receipt, Route, SettledWebhook, TurnError},
    registry::AgentDefinition,
    spec::Spec,
    state::State,
};

/// Asks a session to change; may be refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Begin the session, maybe with its first items and input.
    Create(Box<Create>),
    /// Take an input.
    Accept(Box<Accept>),
    /// Replace the client's key-value pairs.
    ChangeMetadata(Object),
    /// Take a client's result for an open call. `turn` is checked where given.
    ReturnCall {
        /// The turn that asked, as the client says.
        turn: Option<TurnId>,
        /// The result: an `Item::ToolResult`.
        result: Arc<Item>,
    },
    /// Cancel a turn; `None` means the one that runs.
    Cancel {
        /// Which.
        turn: Option<TurnId>,
    },
    /// Several commands as one: all are accepted, or none.
    All(Vec<Command>),
    /// Put items into the context without a turn.
    AddItems(Vec<Arc<Item>>),
    /// Hide an item.
    HideItem(ItemId),
    /// Hide a turn's object.
    HideTurn(TurnId),
    /// Hide the session; cancels what runs.
    Delete,
    /// Take waiting inputs into the running turn. From the runtime only.
    Incorporate,
    /// Commit the intent of the wanted inference. From the runtime only.
    Begin(Box<Begin>),
    /// An inference came to its end. From the runtime only.
    RecordInference(Box<RecordInference>),
    /// Nothing can serve the wanted inference. From the runtime only.
    GiveUp(TurnError),
    /// The turn's deadline may have passed. From the runtime only.
    CheckDeadline,
    /// A new incarnation takes over; must come before anything else it asks. From the runtime only.
    Recover {
        /// Its epoch.
        epoch: Epoch,
        /// The intents of calls that are under way in this very incarnation.
        #[serde(default)]
        running: Vec<Sequence>,
    },
    /// Make or change a saved agent (registry only).
    SaveAgent(SaveAgent),
    /// Remove a saved agent (registry only).
    DeleteAgent(AgentId),
    /// Let a saved agent take no new sessions and versions (registry only).
    ArchiveAgent(AgentId),
    /// Run with another spec from now on; only while idle.
    ChangeSpec(Arc<Spec>),
    /// Replace the wire's parameters for the session as a whole.
    ChangeEcho(Object),
    /// Take no input any more; only while idle.
    Archive,
    /// Compact the context: at once where nothing runs, else before the running turn's next inference.
    Compact,
    /// Commit the intent of the wanted digest. From the runtime only.
    BeginCompaction(Box<Begin>),
    /// A digest's inference came to its end. From the runtime only.
    RecordCompaction(Box<RecordCompaction>),
    /// There is nothing that the wanted digest could replace. From the runtime only.
    SkipCompaction,
    /// Drop the oldest items of a context that does not fit; `None`: none can go. From the runtime only.
    Truncate(Option<Box<Stays>>),
    /// Note inferences that belong to no session (gateway journals only). From the runtime only.
    Book(Booked),
    /// Say what a file is to be (files only, once).
    BeginFile(FileHead),
    /// Add a piece of a file's content (files only).
    AddFilePart(FilePart),
    /// Make the file whole: of these pieces, or of all in the order in which they came (files only).
    CompleteFile(Option<Vec<Sequence>>),
    /// Say what an automation is from now on (automations only).
    SaveAutomation(Box<AutomationDefinition>),
    /// Suspend an automation's schedule (automations only).
    PauseAutomation,
    /// Go on with an automation's schedule (automations only).
    ResumeAutomation,
    /// Let an automation deliver now (automations only).
    InvokeAutomation,
    /// A delivery came to its end. From the runtime only.
    EndInvocation {
        /// The sequence of its `InvocationBegun`.
        invocation: Sequence,
        /// What came of it.
        outcome: InvocationOutcome,
    },
    /// A toolset was listed, or could not be. From the runtime only.
    RecordListing {
        /// Its label.
        toolset: String,
        /// What it offers, or why nobody knows.
        result: Result<Listing, String>,
    },
    /// Make the wanted call, or ask people first, as the policy answers. From the runtime only.
    BeginCall(Box<BeginCall>),
    /// A call came to its end. From the runtime only.
    RecordCall(Box<RecordCall>),
    /// Answer whether a call may run, or may run again.
    Respond(Respond),
    /// Say what became of a call whose outcome nobody knew.
    ResolveCall(Box<ResolveCall>),
    /// Note what became of webhooks (webhooks' journals only). From the runtime only.
    SettleWebhooks(Vec<SettledWebhook>),
}

impl Command {
    /// Begins a journal of a kind that is no conversation: it has no model, items or input.
    pub fn begin(kind: Kind) -> Self {
        let created = Created {
            kind,
            spec: Arc::new(Spec::plain("")),
            parent: None,
            metadata: Object::new(),
            agent: None,
            echo: Object::new(),
            unanswered: Vec::new(),
        };
        Self::Create(Box::new(Create { created, items: Vec::new(), input: None }))
    }

    /// Whether an archived session takes it: its end, and the several that are checked one by one. What the runtime
    /// asks of it changes nothing, because nothing runs.
    pub(crate) const fn is_taken_when_archived(&self) -> bool {
        matches!(
            self,
            Self::Create(_) | Self::Archive | Self::Delete | Self::All(_) | Self::CheckDeadline | Self::Recover { .. }
        )
    }
}

/// A version of a saved agent to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SaveAgent {
    /// `None` makes one.
    pub agent: Option<AgentId>,
    /// Only if this is the number of its latest version; else `Refusal::AgentChanged`.
    pub expected: Option<u32>,
    /// What it is from now on.
    pub definition: Box<AgentDefinition>,
}

/// Begins a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Create {
    /// How it begins.
    pub created: Created,
    /// Items that stand in its context from the start.
    pub items: Vec<Arc<Item>>,
    /// Its first input.
    pub input: Option<Input>,
}

/// An input and the conditions under which it is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accept {
    /// The input.
    pub input: Input,
    /// The spec from now on, where the client gave one.
    pub spec: Option<Arc<Spec>>,
    /// Only if this turn is the last one and nothing came after it; else `Refusal::NotHead`.
    pub head: Option<TurnId>,
    /// People's answers that it brings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Respond>,
}

/// Where the wanted inference goes, and what it is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// The lease.
    pub epoch: Epoch,
    /// Where.
    pub route: Route,
    /// Keyed digest of the rendered prompt, hex.
    pub prompt: String,
}

/// How an inference came to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordInference {
    /// The sequence of its intent.
    pub intent: Sequence,
    /// How it went.
    pub result: Result<Finished, Failure>,
    /// What is known of it.
    pub receipt: Receipt,
}

/// What a toolset offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// Its tools.
    pub offers: Vec<Offer>,
    /// Name and version, as its source told them.
    pub server: Option<String>,
}

/// The wanted call with the policy's answer to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeginCall {
    /// The sequence of its `CallOpened`.
    pub call: Sequence,
    /// The lease.
    pub epoch: Epoch,
    /// The policy's answer.
    pub ruling: Ruling,
}

/// How a call came to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordCall {
    /// The sequence of its `CallOpened`.
    pub call: Sequence,
    /// The sequence of its `CallIntended`.
    pub intent: Sequence,
    /// Its `ToolResult`, or why there is none.
    pub result: Result<Arc<Item>, CallFailed>,
}

/// Why a call has no result; decides whether it may be made again. Each says why, safe to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallFailed {
    /// It surely had no effect: nothing was sent.
    NotSent(String),
    /// Its receiver said that it did nothing.
    Rejected(String),
    /// It was sent, and nobody knows more.
    Lost(String),
}

/// A person's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Respond {
    /// The session that asked, as the client says; `None` where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The sequence of the `ApprovalAsked`, or of the `CallLost` that left an outcome unknown.
    pub approval: Sequence,
    /// What.
    pub answer: Answer,
    /// Why.
    pub reason: Option<String>,
}

/// What became of a call whose outcome nobody knew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolveCall {
    /// The sequence of its `CallOpened`.
    pub call: Sequence,
    /// What.
    pub resolution: Resolution,
    /// Why.
    pub reason: Option<String>,
}

/// How the inference of a digest came to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordCompaction {
    /// The inference.
    pub record: RecordInference,
    /// What stays word for word beside the digest.
    pub stays: Stays,
}

/// A command with all that deciding needs.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// What is asked.
    pub command: Command,
    /// Now, by the runtime's clock.
    pub at: Timestamp,
    /// The session (also where it does not exist yet).
    pub session: SessionId,
    /// What the open inference has shown so far; empty if none is open.
    pub shown: &'a Assembly,
    /// What an open inference is booked as if this command ends it.
    pub estimate: &'a Receipt,
    /// Who asks.
    pub actor: &'a Principal,
    /// The lease of now.
    pub epoch: Epoch,
    /// The policies' answers of now to the calls that people answer by this command.
    pub rulings: &'a [(Sequence, Ruling)],
}

/// What was decided: all of it is committed as one batch, or none.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Facts, in order. Empty where the command changes nothing.
    pub events: Vec<Event>,
    /// The turn's durable deadline: set, cleared or left alone.
    pub deadline: Option<Option<Timestamp>>,
    /// The session after the events.
    pub after: State,
}

/// Why a command is refused; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No such session, or it was deleted.
    NotFound,
    /// The session exists already.
    Exists,
    /// A turn runs and the input does not want to wait.
    Busy,
    /// The named turn is not the idle head: fork.
    NotHead,
    /// No such turn here.
    TurnNotFound,
    /// No such item here.
    ItemNotFound,
    /// No such agent here.
    AgentNotFound,
    /// The agent's latest version is another than the one that the change was made from.
    AgentChanged,
    /// The session or agent is archived: it takes no change any more.
    Archived,
    /// Nothing runs that could be cancelled.
    NothingToCancel,
    /// The call is not open: unknown, or answered before.
    CallNotOpen(CallId),
    /// The call belongs to another turn.
    CallOfAnotherTurn(CallId),
    /// Nobody is asked under this name, or it was answered before.
    ApprovalNotOpen(Sequence),
    /// Only these may answer.
    NotApprover(Vec<String>),
    /// No call here has an unknown outcome under this name.
    NotUnknown(Sequence),
    /// Calls of the last turn lack a result.
    CallsUnanswered(Vec<CallId>),
    /// A bound of the session is reached; says which.
    TooMany(Cow<'static, str>),
    /// The input is not acceptable; says why.
    Invalid(String),
    /// Nothing was kept of what was said in the session, and it has left memory.
    NotKept,
    /// The runtime asked for what is not wanted (any more); it should look again.
    Stale,
}
