//! What the runtime sees of a place with tools: one trait, a listing, a call as a stream of steps, and what a failure
//! says about the effect. Nothing here knows a protocol.

use std::{fmt, pin::Pin, time::Duration};

use futures_util::Stream;
use mainstay_vocabulary::{Object, item::Content};
use serde_json::Value;

/// What a question that does not stream yields.
pub type Reply<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a call yields; see [`Toolbox::call`].
pub type CallStream = Pin<Box<dyn Stream<Item = Step> + Send>>;

/// A place whose tools the runtime may call. Cheap to share.
pub trait Toolbox: Send + Sync {
    /// Its tools now. Connects where needed.
    fn list(&self) -> Reply<Result<Listing, Failure>>;

    /// Starts a call. Nothing is sent before the stream is first polled; dropping it cancels. After
    /// [`Step::Ended`], which comes exactly once unless the stream is dropped, the stream ends.
    fn call(&self, call: Call) -> CallStream;
}

/// The tools of a place, and what it says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// In the order in which they were told.
    pub tools: Vec<ListedTool>,
    /// The server's name and version, as it tells them.
    pub server: Option<String>,
    /// The version of the protocol that is spoken.
    pub protocol: Option<String>,
}

/// One tool, as its place describes it. None of it can be trusted more than the place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedTool {
    /// What a call names.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// For the model.
    pub description: Option<String>,
    /// JSON Schema of the arguments.
    pub parameters: Object,
    /// JSON Schema of [`Returned::structured`].
    pub output_schema: Option<Object>,
    /// What it says of its effects.
    pub annotations: Annotations,
    /// All else that was told.
    pub rest: Object,
}

/// Hints about a tool's effects; `None` where nothing was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Changes nothing.
    pub read_only: Option<bool>,
    /// May destroy; means something only where it is not read only.
    pub destructive: Option<bool>,
    /// Twice with the same arguments is as once.
    pub idempotent: Option<bool>,
    /// Reaches things outside of its own domain.
    pub open_world: Option<bool>,
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The tool's name.
    pub tool: String,
    /// As its schema has them.
    pub arguments: Object,
    /// The same each time that the same effect is tried; sent along.
    pub idempotency_key: String,
    /// From the first poll to the end.
    pub timeout: Duration,
    /// Sent along where the protocol has a place for it (MCP: `_meta`).
    pub meta: Object,
}

/// What a call yields, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// How far it is.
    Progress {
        /// Grows.
        done: f64,
        /// What `done` will be at the end, where that is known.
        total: Option<f64>,
        /// For people.
        message: Option<String>,
    },
    /// Text to show as it comes; the result repeats what counts.
    Output(String),
    /// The end.
    Ended(Result<Returned, Failure>),
}

/// What a call brought back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Returned {
    /// For the model.
    pub content: Vec<Content>,
    /// For programs.
    pub structured: Option<Value>,
    /// The tool ran and says that it failed.
    pub is_error: bool,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it says about the effect.
    pub kind: FailureKind,
    /// For the operator and the model. Holds no credential.
    pub message: String,
}

/// What a failure says about the effect: this decides whether a call may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Surely no effect: refused address, connection failed, unknown tool or bad arguments before anything was sent.
    NotSent,
    /// The place answered that it did nothing: unknown tool, invalid parameters, 401, 403, 404.
    Rejected,
    /// Sent, and no complete answer came: broken stream, timeout, 5xx after the body left, process died.
    Unknown,
    /// Whoever called gave it up before anything was sent, or the place confirmed that it stopped.
    Cancelled,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
