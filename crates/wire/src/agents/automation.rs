//! Automations of the Agents wire: requests as definitions, automations and their invocations as objects.

use mainstay_session::{
    State,
    automation::{Automation, AutomationDefinition, InvocationOutcome, NewSession, PauseReason, Target},
    schedule::Schedule,
    spec::Limits,
};
use mainstay_vocabulary::{Content, Item, Object, Principal, Role, Sequence, SessionId, Timestamp};
use serde_json::{Value, json};

use super::{command::CreateSession, config, item, session_id};
use crate::fields::{Fields, Invalid, metadata};

/// Longest name, characters.
const MAX_NAME: usize = 256;
/// Longest instructions, bytes: they are held in memory with the automation.
const MAX_INSTRUCTIONS: usize = 256 << 10;

/// The text of an automation's id.
pub fn automation_id(automation: SessionId) -> String {
    format!("automation_{automation}")
}

/// The text of an invocation's id.
pub fn invocation_id(automation: SessionId, invocation: Sequence) -> String {
    format!("invocation_{automation}_{}", invocation.0)
}

/// An invocation's place, from the text of its id.
pub fn read_invocation_id(automation: SessionId, text: &str) -> Option<Sequence> {
    let number = text.strip_prefix(&format!("invocation_{automation}_"))?;
    let sequence = Sequence(number.parse().ok()?);
    (invocation_id(automation, sequence) == text).then_some(sequence)
}

/// A new automation.
///
/// # Errors
/// The field that is wrong or not served.
pub fn create(body: Object, principal: Principal, limits: Limits) -> Result<AutomationDefinition, Invalid> {
    let mut fields = Fields::root(body);
    let name = name(&mut fields)?.ok_or_else(|| Invalid::missing("name"))?;
    let kind = fields.choice("type", &["periodic", "once"])?.ok_or_else(|| Invalid::missing("type"))?;
    let schedule = match kind.as_str() {
        "once" => Schedule::Once { run_at: run_at(&mut fields)?.ok_or_else(|| Invalid::missing("run_at"))? },
        _ => Schedule::Periodic {
            expression: fields.needed_text("expression")?,
            timezone: fields.needed_text("timezone")?,
        },
    };
    check(&schedule)?;
    let target = fields.object("target")?.ok_or_else(|| Invalid::missing("target"))?;
    let target = read_target(target, limits)?;
    let metadata = metadata(&mut fields)?.unwrap_or_default();
    refuse_rest(fields)?;
    Ok(AutomationDefinition { name, schedule, target, metadata, principal })
}

/// A changed automation.
///
/// # Errors
/// The field that is wrong, not served, or not one of this type of automation.
pub fn update(known: &AutomationDefinition, body: Object, limits: Limits) -> Result<AutomationDefinition, Invalid> {
    let mut changed = known.clone();
    let mut fields = Fields::root(body);
    if let Some(name) = name(&mut fields)? {
        changed.name = name;
    }
    match &mut changed.schedule {
        Schedule::Once { run_at: at } => *at = run_at(&mut fields)?.unwrap_or(*at),
        Schedule::Periodic { expression, timezone } => {
            *expression = fields.text("expression")?.unwrap_or_else(|| expression.clone());
            *timezone = fields.text("timezone")?.unwrap_or_else(|| timezone.clone());
        }
    }
    check(&changed.schedule)?;
    if let Some(target) = fields.object("target")? {
        changed.target = read_target(target, limits)?;
    }
    if let Some(metadata) = metadata(&mut fields)? {
        changed.metadata = metadata;
    }
    refuse_rest(fields)?;
    Ok(changed)
}

/// What is left was said and would not be done.
fn refuse_rest(fields: Fields) -> Result<(), Invalid> {
    match fields.rest().keys().next() {
        Some(name) => Err(Invalid::unserved(name)),
        None => Ok(()),
    }
}

fn name(fields: &mut Fields) -> Result<Option<String>, Invalid> {
    let name = fields.text("name")?;
    if name.as_ref().is_some_and(|name| name.is_empty() || name.chars().count() > MAX_NAME) {
        return Err(Invalid::value("name", format!("'name' must have 1 to {MAX_NAME} characters.")));
    }
    Ok(name)
}

fn run_at(fields: &mut Fields) -> Result<Option<Timestamp>, Invalid> {
    // Up to the year 9999.
    let seconds = fields.count("run_at", 0..=253_402_300_799)?;
    Ok(seconds.map(|seconds| Timestamp(seconds * 1_000)))
}

/// Whether the schedule can be read; when it comes is for the session to say.
fn check(schedule: &Schedule) -> Result<(), Invalid> {
    schedule.next_after(Timestamp(0)).map(drop).map_err(|why| {
        let param = if why.starts_with("'timezone'") { "timezone" } else { "expression" };
        Invalid::value(param, why)
    })
}

fn read_target(target: Object, limits: Limits) -> Result<Target, Invalid> {
    let mut fields = Fields::at("target", Value::Object(target))?;
    let kind = fields.choice("type", &["new_session", "existing_session"])?;
    match kind.as_deref() {
        Some("new_session") => {
            let mut body = fields.all();
            body.shift_remove("type");
            let within = |invalid: Invalid| Invalid { param: format!("target.{}", invalid.param), ..invalid };
            let session = CreateSession::read(body).and_then(|read| read.kept(limits)).map_err(within)?;
            Ok(Target::NewSession(Box::new(session)))
        }
        Some(_) => {
            let text = fields.needed_text("session_id")?;
            let known = text.strip_prefix("sess_").and_then(|id| id.parse().ok());
            let at = fields.path("session_id");
            let session = known.ok_or_else(|| Invalid::value(&at, format!("'{at}' is not the id of a session.")))?;
            let instructions = fields.needed_text("instructions")?;
            if instructions.is_empty() || instructions.len() > MAX_INSTRUCTIONS {
                let at = fields.path("instructions");
                return Err(Invalid::value(&at, format!("'{at}' must be 1 to {MAX_INSTRUCTIONS} bytes long.")));
            }
            Ok(Target::Session { session, instructions })
        }
        None => Err(Invalid::missing("target.type")),
    }
}

/// An automation as it stands. `None`: the session is none.
pub fn automation(state: &State) -> Option<Value> {
    let known = state.automation.as_deref()?;
    let mut object = snapshot(state, &known.definition, status(known));
    if let Value::Object(object) = &mut object {
        let reason = known.pause_reason.map(|PauseReason::TargetSessionFailed| "target_session_failed");
        object.insert("pause_reason".to_owned(), json!(reason));
    }
    Some(object)
}

fn status(automation: &Automation) -> &'static str {
    match automation {
        _ if automation.is_completed() => "completed",
        _ if automation.is_paused => "paused",
        _ => "active",
    }
}

fn snapshot(state: &State, definition: &AutomationDefinition, status: &str) -> Value {
    let mut object = Object::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", json!(automation_id(state.session)));
    put("object", json!("agent.automation"));
    put("name", json!(definition.name));
    put("status", json!(status));
    put("pause_reason", Value::Null);
    put("created_at", json!(state.created_at.seconds()));
    put("created_by", json!({ "type": "developer" }));
    put("metadata", Value::Object(definition.metadata.clone()));
    put("target", target(&definition.target));
    match &definition.schedule {
        Schedule::Once { run_at } => {
            put("type", json!("once"));
            put("run_at", json!(run_at.seconds()));
        }
        Schedule::Periodic { expression, timezone } => {
            put("type", json!("periodic"));
            put("expression", json!(expression));
            put("timezone", json!(timezone));
        }
    }
    Value::Object(object)
}

fn target(target: &Target) -> Value {
    match target {
        Target::Session { session, instructions } => {
            json!({ "type": "existing_session", "session_id": session_id(*session), "instructions": instructions })
        }
        Target::NewSession(wanted) => {
            let NewSession { agent, spec, items, metadata } = &**wanted;
            json!({
                "type": "new_session",
                "agent": spec.as_ref().map(|spec| config::render(spec)),
                "agent_id": agent.map(|agent| format!("agent_{agent}")),
                "environment": { "type": "none" },
                "input": items.iter().map(|item| message(item)).collect::<Vec<_>>(),
                "metadata": metadata,
                "vault_ids": [],
            })
        }
    }
}

fn message(item: &Item) -> Value {
    let content: &[Content] = if let Item::Message { content, .. } = item { content } else { &[] };
    json!({ "type": "message", "role": "user", "content": item::parts(content, Role::User) })
}

/// What an invocation's object is made of.
pub struct Shown<'a> {
    /// Its automation.
    pub automation: &'a State,
    /// Its place.
    pub sequence: Sequence,
    /// When it began.
    pub begun_at: Timestamp,
    /// Its occurrence; `None` where somebody asked for it.
    pub scheduled_at: Option<Timestamp>,
    /// The automation as it was then, where it was scheduled.
    pub definition: Option<&'a AutomationDefinition>,
    /// Whether nothing was delivered.
    pub skipped: bool,
    /// What came of it.
    pub outcome: Option<&'a InvocationOutcome>,
}

/// An invocation.
pub fn invocation(shown: &Shown<'_>) -> Value {
    let automation = shown.automation;
    let source = match shown.definition {
        Some(definition) => json!({ "type": "automation", "automation": snapshot(automation, definition, "active") }),
        None => json!({ "type": "manual" }),
    };
    let (status, session, error) = match shown.outcome {
        _ if shown.skipped => ("skipped", None, Value::Null),
        None => ("queued", None, Value::Null),
        Some(InvocationOutcome::Delivered(session)) => ("completed", Some(session_id(*session)), Value::Null),
        Some(InvocationOutcome::Failed { code, message, .. }) => {
            ("failed", None, json!({ "code": code, "message": message }))
        }
    };
    json!({
        "id": invocation_id(automation.session, shown.sequence),
        "object": "agent.automation.invocation",
        "automation_id": automation_id(automation.session),
        "created_at": shown.begun_at.seconds(),
        "scheduled_at": shown.scheduled_at.map(Timestamp::seconds),
        "session_id": session,
        "status": status,
        "skip_reason": shown.skipped.then_some("pending_delivery"),
        "error": error,
        "source": source,
    })
}
