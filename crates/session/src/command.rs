//! What may be asked of a session, and what it answers.

use std::sync::Arc;

use mainstay_vocabulary::{
    AgentId, CallId, Epoch, Item, ItemId, Object, Sequence, SessionId, Timestamp, TurnId,
    inference::{Failure, Finished},
};

use crate::{
    assembly::Assembly,
    event::{Created, Event, Input, Receipt, Route, TurnError},
    registry::AgentDefinition,
    spec::Spec,
    state::State,
};

/// Asks a session to change; may be refused.
#[derive(Clone, Debug, PartialEq)]
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
    },
    /// Make or change a saved agent (registry only).
    SaveAgent {
        /// `None` makes one.
        agent: Option<AgentId>,
        /// What it is from now on.
        definition: Box<AgentDefinition>,
    },
    /// Remove a saved agent (registry only).
    DeleteAgent(AgentId),
}

/// Begins a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Create {
    /// How it begins.
    pub created: Created,
    /// Items that stand in its context from the start.
    pub items: Vec<Arc<Item>>,
    /// Its first input.
    pub input: Option<Input>,
}

/// An input and the conditions under which it is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Accept {
    /// The input.
    pub input: Input,
    /// The spec from now on, where the client gave one.
    pub spec: Option<Arc<Spec>>,
    /// Only if this turn is the last one and nothing came after it; else `Refusal::NotHead`.
    pub head: Option<TurnId>,
}

/// Where the wanted inference goes, and what it is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Begin {
    /// The lease.
    pub epoch: Epoch,
    /// Where.
    pub route: Route,
    /// Keyed digest of the rendered prompt, hex.
    pub prompt: String,
}

/// How an inference came to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordInference {
    /// The sequence of its intent.
    pub intent: Sequence,
    /// How it went.
    pub result: Result<Finished, Failure>,
    /// What is known of it.
    pub receipt: Receipt,
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Nothing runs that could be cancelled.
    NothingToCancel,
    /// The call is not open: unknown, or answered before.
    CallNotOpen(CallId),
    /// The call belongs to another turn.
    CallOfAnotherTurn(CallId),
    /// Calls of the last turn lack a result.
    CallsUnanswered(Vec<CallId>),
    /// A bound of the session is reached; says which.
    TooMany(&'static str),
    /// The input is not acceptable; says why.
    Invalid(String),
    /// The runtime asked for what is not wanted (any more); it should look again.
    Stale,
}
