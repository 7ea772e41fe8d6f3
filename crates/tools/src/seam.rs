//! What the runtime sees of a place that has tools: list them, call one. Nothing here knows a protocol.

use std::{fmt, pin::Pin, time::Duration};

use futures_util::Stream;
use mainstay_vocabulary::{Content, Object, tool::ToolHints};
use serde_json::Value;

/// What a question brings.
pub type Reply<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a call brings; see [`Toolbox::call`].
pub type CallStream = Pin<Box<dyn Stream<Item = Step> + Send>>;

/// A place whose tools the runtime may call. Cheap to share.
pub trait Toolbox: Send + Sync {
    /// Its tools now. Connects where needed.
    fn list(&self) -> Reply<Result<Listing, Failure>>;

    /// Starts a call. Nothing is sent before the stream is first polled; dropping it cancels the call where the place
    /// can be told. The last step is `Ended`, and it is always there.
    fn call(&self, call: Call) -> CallStream;
}

/// A credential. Never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a credential.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What a place offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its tools.
    pub tools: Vec<ListedTool>,
    /// Its name and version, as it told them.
    pub server: Option<String>,
}

/// A tool of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTool {
    /// Its name there.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Object,
    /// What the place says of it.
    pub hints: ToolHints,
    /// Digest of name, description and schema, hex: another one is another tool.
    pub digest: String,
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The tool's name there.
    pub tool: String,
    /// Its arguments.
    pub arguments: Object,
    /// The same for every attempt of the same call.
    pub idempotency_key: String,
    /// How long it may take, all in all.
    pub timeout: Duration,
    /// What else the place is told: `_meta` of MCP.
    pub meta: Object,
}

/// Something of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It goes on.
    Progress {
        /// How far it has come.
        done: f64,
        /// How far it has to go.
        total: Option<f64>,
        /// What it is doing.
        message: Option<String>,
    },
    /// Text as it comes.
    Output(String),
    /// The end; nothing follows.
    Ended(Result<Returned, Failure>),
}

/// What a call brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Returned {
    /// For the model.
    pub content: Vec<Content>,
    /// The same as data, where the tool gave it.
    pub structured: Option<Value>,
    /// Whether the tool says that it failed.
    pub is_error: bool,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What that says of the effect.
    pub kind: FailureKind,
    /// One sentence, safe to show.
    pub message: String,
}

impl Failure {
    /// One of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What a failure says of the effect: decides whether the call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Nothing was sent.
    NotSent,
    /// The place says that it did nothing: no such tool, wrong arguments, not allowed.
    Rejected,
    /// It was sent, and no whole answer came.
    Unknown,
}
