//! Where the tools are that sessions call, and who says whether they may. Must not know a protocol or a policy's
//! language: both come in from outside.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_session::effect::Ruling;
use mainstay_tools::{Failure, FailureKind, Toolbox, seam::Secret};
use mainstay_vocabulary::{
    Object, Principal, SessionId, Tenant, Timestamp,
    tool::{EffectClass, ToolHints, ToolSource, Toolset},
};

pub use mainstay_session::effect::{Terms, Verdict};

/// What the address of a server begins with that the operator configured; its name follows.
pub const CONFIGURED: &str = "mainstay:";

/// Where tools are found.
#[derive(Clone, Default)]
pub struct Hands {
    /// Servers that the operator configured, by name.
    pub configured: BTreeMap<String, Configured>,
    /// Tools of the runtime itself, by the label of their toolset.
    pub builtin: BTreeMap<String, Arc<dyn Toolbox>>,
    /// Reaches servers by their address; `None`: none but those that the operator configured.
    pub dial: Option<Arc<dyn Dial>>,
}

/// A server that the operator configured.
#[derive(Clone)]
pub struct Configured {
    /// Its tools.
    pub toolbox: Arc<dyn Toolbox>,
    /// What a call of a tool does when it is sent twice, where the operator said so.
    pub classes: BTreeMap<String, EffectClass>,
}

/// Reaches servers by their address.
pub trait Dial: Send + Sync {
    /// The server at an address; sends nothing yet.
    ///
    /// # Errors
    /// `NotSent`: it may not be reached, or the address is none.
    fn dial(&self, target: Target) -> Result<Arc<dyn Toolbox>, Failure>;
}

/// A server that a client named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whose session asks.
    pub tenant: Tenant,
    /// Its address.
    pub url: String,
    /// Headers that are no secrets.
    pub headers: BTreeMap<String, String>,
    /// What signs in.
    pub secret: Option<Secret>,
}

impl Hands {
    /// The tools of a toolset.
    ///
    /// # Errors
    /// `NotSent`: there are none, or they may not be reached.
    pub(crate) fn open(&self, tenant: &Tenant, toolset: &Toolset) -> Result<Arc<dyn Toolbox>, Failure> {
        let missing = |what: String| Failure::new(FailureKind::NotSent, what);
        match &toolset.source {
            ToolSource::Builtin => {
                let found = self.builtin.get(&toolset.label).cloned();
                found.ok_or_else(|| missing(format!("this server has no built-in tools {:?}", toolset.label)))
            }
            ToolSource::Mcp { server, headers, secret: _ } => {
                if let Some(name) = server.strip_prefix(CONFIGURED) {
                    let found = self.configured.get(name).map(|configured| Arc::clone(&configured.toolbox));
                    return found.ok_or_else(|| missing(format!("the operator configured no MCP server {name:?}")));
                }
                let Some(dial) = &self.dial else {
                    return Err(missing("this server reaches configured MCP servers only".to_owned()));
                };
                let target =
                    Target { tenant: tenant.clone(), url: server.clone(), headers: headers.clone(), secret: None };
                dial.dial(target)
            }
        }
    }

    /// What the operator says of a tool.
    pub(crate) fn class(&self, toolset: &Toolset, tool: &str) -> Option<EffectClass> {
        let ToolSource::Mcp { server, .. } = &toolset.source else { return None };
        self.configured.get(server.strip_prefix(CONFIGURED)?)?.classes.get(tool).copied()
    }
}

/// A call that wants to be made, as policies see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Whose session.
    pub tenant: Tenant,
    /// Who asks: the runtime, or the person who answers.
    pub principal: Principal,
    /// The session.
    pub session: SessionId,
    /// The saved agent's name, where it has one.
    pub agent: Option<String>,
    /// Now, by the runtime's clock.
    pub at: Timestamp,
    /// The toolset's label.
    pub toolset: String,
    /// Whether it is an MCP server's.
    pub is_mcp: bool,
    /// The tool's name there.
    pub tool: String,
    /// The arguments.
    pub arguments: Object,
    /// What the call does when it is sent twice.
    pub class: EffectClass,
    /// What its source says of it.
    pub hints: ToolHints,
    /// Whether the client wants to be asked; `None` where it did not say.
    pub approval: Option<bool>,
    /// Keyed digest of the exact call, hex.
    pub digest: String,
}

/// Says whether a call may be made.
pub trait Judge: Send + Sync {
    /// The answer, with the version of what it was made by.
    fn judge(&self, question: &Question) -> Ruling;
}

/// The rules that hold where nobody set others: what its source marks as read-only or harmless may run, what the client
/// wants to approve is asked, and so is whatever may destroy something.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardJudge;

impl Judge for StandardJudge {
    fn judge(&self, question: &Question) -> Ruling {
        let hints = question.hints;
        let is_harmless = hints.read_only == Some(true) || hints.destructive == Some(false) || !question.is_mcp;
        let (verdict, reason) = match question.approval {
            Some(true) => (Verdict::Ask, Some("The client asked to approve this call.")),
            Some(false) => (Verdict::Allow, None),
            None if is_harmless => (Verdict::Allow, None),
            None => (Verdict::Ask, Some("The tool may destroy something.")),
        };
        Ruling {
            verdict,
            version: "standard-1".to_owned(),
            digest: question.digest.clone(),
            policies: vec!["standard".to_owned()],
            reasons: reason.map(str::to_owned).into_iter().collect(),
            terms: Terms::default(),
        }
    }
}
