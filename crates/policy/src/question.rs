//! What is asked of a policy: who acts, what they are about to do, and what the journal knows so far.
//! Plain values; nothing here knows Cedar. Start with `Question`.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_vocabulary::{Timestamp, place::Place};

/// One act, before it is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Whose data is touched.
    pub tenant: String,
    /// Who acts: the caller that the session belongs to.
    pub principal: String,
    /// Roles of the principal.
    pub roles: Vec<String>,
    /// The saved agent that the session runs; `None` where it has none.
    pub agent: Option<String>,
    /// The session's id.
    pub session: String,
    /// When, as the journal says (`at` of the step's envelope). There is no clock here.
    pub at: Timestamp,
    /// What is about to be done.
    pub act: Act,
    /// What the journal knows.
    pub history: History,
}

impl Question {
    /// Whether this very act was approved.
    pub(crate) fn approved(&self) -> bool {
        let digest = self.act.digest();
        !digest.is_empty() && self.history.approved.contains(digest)
    }

    /// Calls of all tools in the window.
    pub(crate) fn calls_total(&self) -> u64 {
        self.history.calls.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// What may be asked about.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// A tool is called.
    CallTool(ToolCall),
    /// A connection is opened.
    Connect(Egress),
    /// A model is called.
    Infer(Inference),
}

impl Act {
    /// The digest that an approval of this very act is bound to; empty where it cannot be approved.
    pub fn digest(&self) -> &str {
        match self {
            Self::CallTool(call) => &call.digest,
            Self::Connect(egress) => &egress.digest,
            Self::Infer(inference) => &inference.digest,
        }
    }
}

/// Who runs a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runner {
    /// The client that speaks to us.
    Client,
    /// An MCP server.
    Mcp,
    /// This runtime, in the sandbox or by itself.
    BuiltIn,
    /// A plain HTTP endpoint.
    Http,
}

impl Runner {
    /// The word that policies use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Mcp => "mcp",
            Self::BuiltIn => "built_in",
            Self::Http => "http",
        }
    }
}

/// What a second execution of a call would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectClass {
    /// Nothing: it only reads.
    ReadOnly,
    /// The same as one: it carries a key.
    Idempotent,
    /// A second effect.
    Once,
}

impl EffectClass {
    /// The word that policies use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Idempotent => "idempotent",
            Self::Once => "once",
        }
    }
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// Who runs it.
    pub runner: Runner,
    /// The MCP server's label; `None` for other runners.
    pub server: Option<String>,
    /// The tool's name as its runner knows it.
    pub tool: String,
    /// The arguments, as the tool will get them.
    pub arguments: serde_json::Value,
    /// What a second execution would do.
    pub class: EffectClass,
    /// MCP's `destructiveHint`, where the server gave one.
    pub destructive: Option<bool>,
    /// MCP's `openWorldHint`, where the server gave one.
    pub open_world: Option<bool>,
    /// `require_approval` of the tool's declaration on a wire: `Some(true)` for `always` (adds an `Ask`), `Some(false)`
    /// for `never` (lifts an `Ask` of the standard policy, never an operator's).
    pub approval_asked: Option<bool>,
    /// Digest of the exact call, which an approval is bound to; empty: it cannot be approved.
    pub digest: String,
}

impl ToolCall {
    /// The tool's name in policies and in `History::calls`: `mcp:<server>/<tool>`, else `<runner>:<tool>`. `%` and `/` in a
    /// server's label are written `%25` and `%2F`, so that two tools never share a name.
    pub fn id(&self) -> String {
        match (self.runner, &self.server) {
            (Runner::Mcp, Some(server)) => format!("mcp:{}/{}", escaped(server), self.tool),
            (Runner::Mcp, None) => format!("mcp:/{}", self.tool),
            (runner, _) => format!("{}:{}", runner.as_str(), self.tool),
        }
    }
}

fn escaped(label: &str) -> String {
    label.replace('%', "%25").replace('/', "%2F")
}

/// What kind of address a name resolved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressClass {
    /// Reachable from anywhere.
    Public,
    /// A private network.
    Private,
    /// This machine.
    Loopback,
    /// This link only.
    LinkLocal,
    /// A cloud's metadata service.
    Metadata,
    /// Anything else that is not public: multicast, reserved, unspecified.
    Reserved,
}

impl AddressClass {
    /// The word that policies use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link_local",
            Self::Metadata => "metadata",
            Self::Reserved => "reserved",
        }
    }
}

/// A connection to the outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// The name that was asked for, or a literal address. Compared without case and without a final dot.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What the name resolved to.
    pub address: AddressClass,
    /// What for, e.g. `fetch`, `mcp`, `http_tool`, `sandbox`.
    pub purpose: String,
    /// Digest that an approval is bound to; empty: it cannot be approved.
    pub digest: String,
}

/// A call of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// What is served.
    pub model: String,
    /// Where it is served, by the name in the configuration.
    pub deployment: String,
    /// Who serves it.
    pub provider: String,
    /// Where that is, and how well it is known.
    pub place: Place,
    /// Days that the provider keeps what it is sent: 0 for none, `None` where nobody said.
    pub retention_days: Option<u32>,
    /// Digest that an approval is bound to; empty: it cannot be approved.
    pub digest: String,
}

/// What the journal knows at this point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Labels of what the session has read so far.
    pub labels: BTreeSet<String>,
    /// Digests of acts that were approved in full under this version of the policies and are not spent yet.
    pub approved: BTreeSet<String>,
    /// Calls in the window, by `ToolCall::id`.
    pub calls: BTreeMap<String, u64>,
    /// Money spent in the window, in millionths of a US dollar.
    pub spend_micro_usd: u64,
}
