//! Requests of this wire as commands.

use std::sync::Arc;

use mainstay_session::{
    Command, Spec, State,
    command::{Accept, Create, SaveAgent},
    event::{Created, Delivery, Input, Kind, TurnOptions},
    registry::{AgentDefinition, Version},
    spec::Limits,
};
use mainstay_vocabulary::{AgentId, CallId, Content, Item, Object, Role, SessionId};
use serde_json::{Value, json};

use super::{ENVIRONMENT, block, config, frame::Seen, thread_id, types::TITLE};
use crate::fields::{Fields, Invalid, metadata};

/// Most events in one request; what a session takes at once.
const MAX_EVENTS: usize = 64;

/// Most events with a new session; the vendor's limit.
const MAX_INITIAL: usize = 50;

/// Longest name of an agent and title of a session, in characters.
const MAX_NAME: usize = 256;

/// A new saved agent.
///
/// # Errors
/// The field that is wrong or not served.
pub fn create_agent(body: Object) -> Result<Command, Invalid> {
    for name in ["model", "name"] {
        if body.get(name).is_none_or(Value::is_null) {
            return Err(Invalid::missing(name));
        }
    }
    let spec = Arc::new(Spec::plain(""));
    let blank = AgentDefinition { name: None, description: None, spec, metadata: Object::new() };
    let definition = Box::new(define(&blank, body)?);
    Ok(Command::SaveAgent(SaveAgent { agent: None, expected: None, definition }))
}

/// The version that a change of an agent names.
///
/// # Errors
/// It is no number of a version.
pub fn named_version(body: &Object) -> Result<Option<u32>, Invalid> {
    let mut fields = Fields::root(body.clone());
    let number = fields.count("version", 1..=u64::from(u32::MAX))?;
    Ok(number.and_then(|number| u32::try_from(number).ok()))
}

/// The next version of a saved agent, made from `known`. `None` where the request changes nothing.
///
/// # Errors
/// The field that is wrong or not served.
pub fn update_agent(known: &Version, body: Object) -> Result<Option<Command>, Invalid> {
    let definition = define(&known.definition, body)?;
    if definition == known.definition {
        return Ok(None);
    }
    let (agent, expected) = (Some(known.agent), Some(known.number));
    Ok(Some(Command::SaveAgent(SaveAgent { agent, expected, definition: Box::new(definition) })))
}

fn define(known: &AgentDefinition, mut body: Object) -> Result<AgentDefinition, Invalid> {
    let mut definition = known.clone();
    let configured = config::FIELDS.iter().filter_map(|name| body.shift_remove_entry(*name)).collect();
    let describes = body.contains_key("description");
    let mut fields = Fields::root(body);
    if let Some(name) = config::text(&mut fields, "name", MAX_NAME)? {
        if name.is_empty() {
            return Err(Invalid::value("name", "'name' must not be empty."));
        }
        definition.name = Some(name);
    }
    if describes {
        let description = config::text(&mut fields, "description", config::MAX_TEXT)?;
        definition.description = description.filter(|text| !text.is_empty());
    }
    if let Some(metadata) = patched(&definition.metadata, &mut fields)? {
        definition.metadata = metadata;
    }
    let mut spec = (*definition.spec).clone();
    config::apply(&mut spec, "", configured)?;
    definition.spec = Arc::new(spec);
    Ok(definition)
}

/// The key-value pairs after the request's changes: a text sets a key, a null removes it.
fn patched(known: &Object, fields: &mut Fields) -> Result<Option<Object>, Invalid> {
    let Some(patch) = fields.object("metadata")? else { return Ok(None) };
    let mut pairs = known.clone();
    for (key, value) in patch {
        if value.is_null() {
            pairs.shift_remove(&key);
        } else {
            pairs.insert(key, value);
        }
    }
    let mut whole = Object::new();
    whole.insert("metadata".to_owned(), Value::Object(pairs));
    metadata(&mut Fields::root(whole))
}

/// The id of a saved agent; `None` where the text is none.
pub fn read_agent_id(text: &str) -> Option<AgentId> {
    text.strip_prefix("agent_")?.parse().ok().filter(|id: &AgentId| format!("agent_{id}") == text)
}

/// A request for a new session, read as far as that goes without its agent.
#[derive(Clone, Debug)]
pub struct CreateSession {
    /// The text of the agent's id.
    pub agent: String,
    /// The version of it; `None` names the latest.
    pub version: Option<u32>,
    overrides: Object,
    input: Option<Input>,
    metadata: Object,
    title: Option<String>,
}

impl CreateSession {
    /// Reads the body.
    ///
    /// # Errors
    /// The field that is wrong or not served.
    pub fn read(body: Object) -> Result<Self, Invalid> {
        let mut fields = Fields::root(body);
        let (agent, version, overrides) = read_agent(&mut fields)?;
        check_environment(&mut fields)?;
        for name in ["vault_ids", "resources"] {
            if fields.list(name, usize::MAX)?.is_some_and(|list| !list.is_empty()) {
                return Err(Invalid::unserved(name));
            }
        }
        if fields.take("budget").is_some() {
            return Err(Invalid::unserved("budget"));
        }
        let title = config::text(&mut fields, "title", MAX_NAME)?;
        let metadata = metadata(&mut fields)?.unwrap_or_default();
        Ok(Self { agent, version, overrides, input: initial(&mut fields)?, metadata, title })
    }

    /// The command.
    ///
    /// # Errors
    /// The overridden field that is wrong or not served.
    pub fn command(self, saved: &Version, limits: Limits) -> Result<Command, Invalid> {
        let mut spec = (*saved.definition.spec).clone();
        config::apply(&mut spec, "agent", self.overrides)?;
        spec.limits = crate::agents::config::limits(&spec, limits);
        let mut echo = Object::new();
        if let Some(title) = self.title {
            echo.insert(TITLE.to_owned(), json!(title));
        }
        let created = Created {
            kind: Kind::Agent,
            spec: Arc::new(spec),
            parent: None,
            metadata: self.metadata,
            agent: Some(saved.reference()),
            echo,
            unanswered: Vec::new(),
        };
        Ok(Command::Create(Box::new(Create { created, items: Vec::new(), input: self.input })))
    }
}

/// An agent's id, or an object that names it with a version and maybe replaces fields of it for this session.
fn read_agent(fields: &mut Fields) -> Result<(String, Option<u32>, Object), Invalid> {
    match fields.take("agent") {
        None => Err(Invalid::missing("agent")),
        Some(Value::String(id)) => Ok((id, None, Object::new())),
        Some(value @ Value::Object(_)) => {
            let mut agent = Fields::at("agent", value)?;
            let kind = agent.choice("type", &["agent", "agent_with_overrides"])?;
            let kind = kind.ok_or_else(|| Invalid::missing("agent.type"))?;
            let id = agent.needed_text("id")?;
            let version = agent.count("version", 1..=u64::from(u32::MAX))?;
            let version = version.and_then(|version| u32::try_from(version).ok());
            let overrides = if kind == "agent" { Object::new() } else { agent.all() };
            Ok((id, version, overrides))
        }
        Some(_) => Err(Invalid::kind("agent", "a string or an object")),
    }
}

fn check_environment(fields: &mut Fields) -> Result<(), Invalid> {
    match fields.text("environment_id")?.as_deref() {
        None | Some(ENVIRONMENT) => Ok(()),
        Some(_) => {
            let message = format!("There is no such environment here; the only one is '{ENVIRONMENT}'.");
            Err(Invalid::value("environment_id", message))
        }
    }
}

/// All initial messages as one input: one turn answers them.
fn initial(fields: &mut Fields) -> Result<Option<Input>, Invalid> {
    let Some(list) = fields.list("initial_events", MAX_INITIAL)? else { return Ok(None) };
    let mut items = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        let mut event = Fields::at(format!("initial_events[{index}]"), value)?;
        match event.needed_text("type")?.as_str() {
            "user.message" => items.push(message(&mut event, Role::User)?),
            _ => return Err(Invalid::unserved(event.path("type"))),
        }
    }
    Ok((!items.is_empty()).then(|| input(items)))
}

fn input(items: Vec<Arc<Item>>) -> Input {
    Input { items, delivery: Delivery::Steer, options: TurnOptions::default() }
}

fn message(fields: &mut Fields, role: Role) -> Result<Arc<Item>, Invalid> {
    let at = fields.path("content");
    let content = block::read(fields, "content")?.ok_or_else(|| Invalid::missing(&at))?;
    if content.is_empty() {
        return Err(Invalid::value(&at, format!("'{at}' must not be empty.")));
    }
    if role == Role::System && !content.iter().all(|block| matches!(block, Content::Text(_))) {
        return Err(Invalid::value(&at, format!("'{at}' may hold text only.")));
    }
    Ok(Arc::new(Item::Message { role, content, phase: None }))
}

/// A change of a session as it stands. `None` where the request changes nothing.
///
/// # Errors
/// The field that is wrong or not served.
pub fn update_session(state: &State, body: Object) -> Result<Option<Command>, Invalid> {
    let titles = body.contains_key(TITLE);
    let mut fields = Fields::root(body);
    for name in ["budget", "vault_ids"] {
        if fields.take(name).is_some() {
            return Err(Invalid::unserved(name));
        }
    }
    let mut commands = Vec::new();
    if let Some(agent) = fields.object("agent")? {
        if let Some(other) = agent.keys().find(|name| !["tools", "mcp_servers"].contains(&name.as_str())) {
            return Err(Invalid::unserved(format!("agent.{other}")));
        }
        let mut spec = (*state.spec).clone();
        config::apply(&mut spec, "agent", agent)?;
        commands.push(Command::ChangeSpec(Arc::new(spec)));
    }
    if let Some(metadata) = patched(&state.metadata, &mut fields)? {
        commands.push(Command::ChangeMetadata(metadata));
    }
    if titles {
        let mut echo = state.echo.clone();
        echo.shift_remove(TITLE);
        if let Some(title) = config::text(&mut fields, TITLE, MAX_NAME)? {
            echo.insert(TITLE.to_owned(), json!(title));
        }
        commands.push(Command::ChangeEcho(echo));
    }
    Ok((!commands.is_empty()).then_some(Command::All(commands)))
}

/// What `POST …/events` asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    commands: Vec<Command>,
}

impl Events {
    /// Reads the body.
    ///
    /// # Errors
    /// The field that is wrong or not served.
    pub fn read(session: SessionId, body: Object) -> Result<Self, Invalid> {
        let mut fields = Fields::root(body);
        let list = fields.list("events", MAX_EVENTS)?.ok_or_else(|| Invalid::missing("events"))?;
        if list.is_empty() {
            return Err(Invalid::value("events", "'events' must not be empty."));
        }
        let (mut commands, last) = (Vec::new(), list.len() - 1);
        for (index, value) in list.into_iter().enumerate() {
            let mut event = Fields::at(format!("events[{index}]"), value)?;
            let kind = event.needed_text("type")?;
            if kind == "system.message" {
                accompany(&mut commands, &mut event, index == last)?;
            } else if let Some(command) = read_event(session, &kind, &mut event)? {
                // To interrupt twice at once is to interrupt.
                if !(is_interrupt(&command) && commands.last().is_some_and(is_interrupt)) {
                    commands.push(command);
                }
            }
        }
        Ok(Self { commands })
    }

    /// The command; `None` where nothing is asked of a session that stands like this. Where nothing runs there is
    /// nothing to interrupt, and that is no error.
    pub fn command(&self, is_idle: bool) -> Option<Command> {
        let skipped =
            if is_idle { self.commands.iter().take_while(|command| is_interrupt(command)).count() } else { 0 };
        let mut commands = self.commands[skipped..].to_vec();
        match commands.len() {
            0 => None,
            1 => commands.pop(),
            _ => Some(Command::All(commands)),
        }
    }

    /// How many events they become, interrupts included.
    pub fn count(&self) -> usize {
        let count = |command: &Command| match command {
            Command::Accept(accept) => accept.input.items.len(),
            _ => 1,
        };
        self.commands.iter().map(count).sum()
    }
}

const fn is_interrupt(command: &Command) -> bool {
    matches!(command, Command::Cancel { .. })
}

fn accept(items: Vec<Arc<Item>>) -> Command {
    Command::Accept(Box::new(Accept { input: input(items), spec: None, head: None, answers: Vec::new() }))
}

/// A system message goes with the message or result before it.
fn accompany(commands: &mut Vec<Command>, event: &mut Fields, is_last: bool) -> Result<(), Invalid> {
    let item = message(event, Role::System)?;
    let wrong = || {
        let message = "A system.message must be the last event, right after a user.message or user.custom_tool_result.";
        Invalid::value(event.path("type"), message)
    };
    match commands.last_mut() {
        Some(Command::Accept(accept)) if is_last => accept.input.items.push(item),
        Some(Command::ReturnCall { .. }) if is_last => commands.push(accept(vec![item])),
        _ => return Err(wrong()),
    }
    Ok(())
}

fn read_event(session: SessionId, kind: &str, event: &mut Fields) -> Result<Option<Command>, Invalid> {
    match kind {
        "user.message" => Ok(Some(accept(vec![message(event, Role::User)?]))),
        "user.interrupt" => {
            let thread = event.text("session_thread_id")?;
            if thread.is_some_and(|thread| thread != thread_id(session)) {
                let at = event.path("session_thread_id");
                return Err(Invalid::value(at, "There is no such thread in this session."));
            }
            Ok(Some(Command::Cancel { turn: None }))
        }
        "user.custom_tool_result" => read_result(session, event).map(Some),
        "user.tool_confirmation" | "user.tool_result" => {
            event.needed_text("tool_use_id")?;
            let waited = if kind == "user.tool_result" { "result" } else { "confirmation" };
            let message = format!("No tool use with this id waits for a {waited}.");
            Err(Invalid::value(event.path("tool_use_id"), message))
        }
        "user.define_outcome" => Err(Invalid::unserved(event.path("type"))),
        _ => {
            let at = event.path("type");
            Err(Invalid::value(&at, format!("'{at}' is not the type of an event that a client sends.")))
        }
    }
}

fn read_result(session: SessionId, event: &mut Fields) -> Result<Command, Invalid> {
    let id = event.needed_text("custom_tool_use_id")?;
    let call_id = match id.parse() {
        Ok(Seen::Item(item)) if item.session == session => CallId::from(item),
        _ => {
            let at = event.path("custom_tool_use_id");
            return Err(Invalid::value(at, "No custom tool use with this id waits for a result."));
        }
    };
    let content = block::read(event, "content")?.unwrap_or_default();
    let failed = event.flag("is_error")?.unwrap_or(false);
    let error = failed.then(|| said(&content));
    let result = Arc::new(Item::ToolResult { call_id, output: block::output(content), error });
    Ok(Command::ReturnCall { turn: None, result })
}

/// The texts of a failed tool's result.
fn said(content: &[Content]) -> String {
    let texts = content.iter().filter_map(|block| match block {
        Content::Text(text) => Some(text.as_str()),
        _ => None,
    });
    let said = texts.collect::<Vec<_>>().join("\n");
    if said.is_empty() { "The tool failed.".to_owned() } else { said }
}
