//! What people are asked across sessions: whether a call may run, and what became of one whose outcome nobody knows.

use std::sync::Arc;

use mainstay_session::{
    Command, State,
    command::{ResolveCall, Respond},
    effect::{Answer, Effect, Resolution, Stage},
};
use mainstay_vocabulary::{Item, Object, Sequence, SessionId, item::ToolOutput};
use serde_json::{Value, json};

use crate::{
    agents::{agent_id, served, session_id, turn_id},
    fields::{Fields, Invalid},
};

pub use crate::responses::served::read_request_id;

/// Most principals that one answer hands a question on to.
const MAX_DELEGATES: usize = 64;
/// Longest output that a person gives for a call, bytes.
const MAX_OUTPUT: usize = 1 << 20;

/// Which questions are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Calls that wait for an approval.
    Approval,
    /// Calls whose outcome nobody knows.
    Unknown,
}

/// What a session asks people, oldest first.
pub fn list(state: &State, kind: Kind) -> Vec<Value> {
    let is_wanted = |effect: &Effect| match effect.stage {
        Stage::Asked(_) => kind == Kind::Approval,
        Stage::Unknown { .. } => kind == Kind::Unknown,
        Stage::Wanted { .. } | Stage::Running { .. } => false,
    };
    let found = state.effects.iter().filter(|(_, effect)| is_wanted(effect));
    found.filter_map(|(call, effect)| question(state, *call, effect)).collect()
}

/// One question; `None` where nothing is asked of the call.
pub fn question(state: &State, call: Sequence, effect: &Effect) -> Option<Value> {
    let approval = effect.approval()?;
    let turn = state.turn.as_ref().filter(|turn| turn.id < call).map(|turn| turn_id(state.session, turn.id));
    let mut json = json!({
        "id": served::request_id(state, approval),
        "object": "mainstay.question",
        "session_id": session_id(state.session),
        "agent_id": agent_id(state),
        "agent_name": state.agent.as_ref().and_then(|agent| agent.name.as_deref()),
        "turn_id": turn,
        "call_id": effect.call_id().0,
        "toolset": effect.served.by.toolset,
        "tool": effect.served.by.tool,
        "class": effect.served.class,
        "arguments": served_arguments(effect),
        "idempotency_key": format!("{}-{}", state.session, call.0),
        "attempts": effect.attempts,
        "message": served::message(effect),
    });
    let more = match &effect.stage {
        Stage::Asked(asked) => json!({
            "kind": "approval", "asked_at_ms": asked.asked_at.0, "expires_at_ms": asked.expires_at.map(|at| at.0),
            "policy": asked.ruling.version, "policies": asked.ruling.policies, "reasons": asked.ruling.reasons,
            "quorum": asked.ruling.terms.quorum(), "agreed": asked.agreed,
            "approvers": asked.ruling.terms.roles(), "needs": asked.ruling.terms.needs, "delegates": asked.delegates,
            "may_edit": asked.ruling.terms.may_edit, "digest": asked.ruling.digest, "is_left": false,
        }),
        Stage::Unknown { why, .. } => json!({ "kind": "unknown", "why": why, "is_left": effect.is_left }),
        Stage::Wanted { .. } | Stage::Running { .. } => return None,
    };
    if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
        json.extend(more);
    }
    Some(json)
}

fn served_arguments(effect: &Effect) -> Value {
    crate::agents::item::arguments_of(effect.arguments())
}

/// An answer, read from the body of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    decision: String,
    arguments: Option<Object>,
    to: Vec<String>,
    output: Option<String>,
    reason: Option<String>,
}

/// What may be said to a call that waits.
const TO_APPROVAL: [&str; 3] = ["approve", "deny", "delegate"];
/// What may be said of a call whose outcome nobody knows.
const TO_UNKNOWN: [&str; 4] = ["happened", "did_not_happen", "again", "abandon"];

impl Decision {
    /// Reads the body.
    ///
    /// # Errors
    /// The field that is wrong or not known.
    pub fn read(body: Object, kind: Kind) -> Result<Self, Invalid> {
        let mut fields = Fields::root(body);
        let words: &[&str] = match kind {
            Kind::Approval => &TO_APPROVAL,
            Kind::Unknown => &TO_UNKNOWN,
        };
        let decision = fields.choice("decision", words)?.ok_or_else(|| Invalid::missing("decision"))?;
        let to = fields.list("to", MAX_DELEGATES)?.unwrap_or_default();
        let name = |(index, value): (usize, Value)| match value {
            Value::String(name) => Ok(name),
            _ => Err(Invalid::kind(format!("to[{index}]"), "a string")),
        };
        let read = Self {
            arguments: fields.object("arguments")?,
            to: to.into_iter().enumerate().map(name).collect::<Result<_, _>>()?,
            output: fields.text("output")?,
            reason: fields.text("reason")?,
            decision,
        };
        if read.output.as_ref().is_some_and(|output| output.len() > MAX_OUTPUT) {
            return Err(Invalid::value("output", format!("'output' has at most {MAX_OUTPUT} bytes.")));
        }
        if read.decision == "delegate" && read.to.is_empty() {
            return Err(Invalid::missing("to"));
        }
        match fields.rest().keys().next() {
            Some(unknown) => Err(Invalid::unserved(unknown.as_str())),
            None => Ok(read),
        }
    }

    /// The command to the session that asks; `None` where it asks nothing of that name.
    pub fn command(self, state: &State, approval: Sequence) -> Option<Command> {
        let Self { decision, arguments, to, output, reason } = self;
        let session: Option<SessionId> = Some(state.session);
        let respond = |answer| Command::Respond(Respond { session, approval, answer, reason: reason.clone() });
        match decision.as_str() {
            "approve" => {
                let arguments = arguments.map(|arguments| Value::Object(arguments).to_string());
                return Some(respond(Answer::Approve { arguments }));
            }
            "deny" => return Some(respond(Answer::Deny)),
            "delegate" => return Some(respond(Answer::Delegate { to })),
            _ => {}
        }
        let (call, effect) = state.effect_asked(approval)?;
        let resolution = match decision.as_str() {
            "happened" => Resolution::Happened(Arc::new(Item::ToolResult {
                call_id: effect.call_id().clone(),
                output: ToolOutput::Text(output.unwrap_or_else(|| "It was done.".to_owned())),
                error: None,
            })),
            "did_not_happen" => Resolution::DidNotHappen,
            "again" => Resolution::Again,
            _ => Resolution::Abandoned,
        };
        Some(Command::ResolveCall(Box::new(ResolveCall { call, resolution, reason })))
    }
}

/// A page of questions.
pub fn page(data: Vec<Value>, last: Option<SessionId>, has_more: bool) -> Value {
    json!({ "object": "list", "data": data, "has_more": has_more, "last_session_id": last.map(session_id) })
}
