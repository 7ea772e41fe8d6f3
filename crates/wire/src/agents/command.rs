//! Requests of the Agents wire as commands.

use std::sync::Arc;

use mainstay_session::{
    Command, Spec, State,
    automation::NewSession,
    command::{Accept, Create, Respond, SaveAgent},
    effect::Answer,
    event::{Created, Kind},
    registry::{AgentDefinition, Version},
    spec::Limits,
};
use mainstay_vocabulary::{AgentId, Object, TurnId};
use serde_json::{Value, json};

use super::{config, input};
use crate::{
    fields::{Fields, Invalid, metadata},
    responses::served::read_request_id,
};

/// Most events in one request; what a session takes at once.
const MAX_EVENTS: usize = 64;

/// What of a session's agent may change while the session lives.
const CHANGEABLE: [&str; 4] = ["model", "reasoning", "service_tier", "tools"];

/// Longest name of an agent, characters.
const MAX_NAME: usize = 256;

/// A request for a new session, read as far as that goes without the saved agent.
#[derive(Clone, Debug)]
pub struct CreateSession {
    /// The saved agent that it names.
    pub agent_id: Option<AgentId>,
    /// Whether the session's events are wanted at once.
    pub stream: bool,
    /// Whether those carry padding.
    pub obfuscate: bool,
    agent: Object,
    input: Option<mainstay_session::event::Input>,
    metadata: Object,
    echo: Object,
}

impl CreateSession {
    /// Reads the body.
    ///
    /// # Errors
    /// The field that is wrong or not served.
    pub fn read(body: Object) -> Result<Self, Invalid> {
        let mut fields = Fields::root(body);
        check_environment(&mut fields)?;
        refuse_unserved(&mut fields)?;
        let agent_id = fields.text("agent_id")?.map(|text| read_agent_id(&text)).transpose()?;
        let agent = fields.object("agent")?.unwrap_or_default();
        if agent_id.is_none() && agent.get("model").is_none_or(Value::is_null) {
            return Err(Invalid::missing(if agent.is_empty() { "agent" } else { "agent.model" }));
        }
        let input = fields.take("input").map(|value| input::input("input", value)).transpose()?;
        let stream = fields.flag("stream")?.unwrap_or(false);
        if stream && input.is_none() {
            return Err(Invalid::missing("input"));
        }
        let mut options = fields.fields("stream_options")?.unwrap_or_else(|| Fields::root(Object::new()));
        let obfuscate = options.flag("include_obfuscation")?.unwrap_or(true);
        let mut echo = Object::new();
        if let Some(mut cache) = fields.fields("prompt_cache_options")?
            && let Some(ttl) = cache.choice("ttl", &["30m", "12h"])?
        {
            echo.insert("prompt_cache_options".to_owned(), json!({ "ttl": ttl }));
        }
        let metadata = metadata(&mut fields)?.unwrap_or_default();
        Ok(Self { agent_id, stream, obfuscate, agent, input, metadata, echo })
    }

    /// What an automation keeps of it. `agent_id` is looked up anew for each session.
    ///
    /// # Errors
    /// The field of `agent` that is wrong, or one that an automation cannot have.
    pub(super) fn kept(self, limits: Limits) -> Result<NewSession, Invalid> {
        if self.agent_id.is_some() && !self.agent.is_empty() {
            return Err(Invalid::value("agent", "Exactly one of 'agent' and 'agent_id' must be given."));
        }
        let items = self.input.ok_or_else(|| Invalid::missing("input"))?.items;
        let spec = match self.agent_id {
            Some(_) => None,
            None => {
                let mut spec = Spec::plain("");
                config::apply(&mut spec, "agent", self.agent)?;
                spec.limits = config::limits(&spec, limits);
                Some(Arc::new(spec))
            }
        };
        Ok(NewSession { agent: self.agent_id, spec, items, metadata: self.metadata })
    }

    /// The command. `saved` is the agent that `agent_id` names.
    ///
    /// # Errors
    /// The field of `agent` that is wrong or not served.
    pub fn command(self, saved: Option<&Version>, limits: Limits) -> Result<Command, Invalid> {
        let mut spec = saved.map_or_else(|| Spec::plain(""), |version| (*version.definition.spec).clone());
        config::apply(&mut spec, "agent", self.agent)?;
        spec.limits = config::limits(&spec, limits);
        let agent = saved.map(Version::reference);
        let created = Created {
            kind: Kind::Agent,
            spec: Arc::new(spec),
            parent: None,
            metadata: self.metadata,
            agent,
            echo: self.echo,
            unanswered: Vec::new(),
        };
        Ok(Command::Create(Box::new(Create { created, items: Vec::new(), input: self.input })))
    }
}

fn check_environment(fields: &mut Fields) -> Result<(), Invalid> {
    let Some(mut environment) = fields.fields("environment")? else { return Ok(()) };
    let kind = environment.choice("type", &["none", "openai_hosted", "self_hosted"])?;
    match kind.as_deref() {
        Some("none") => Ok(()),
        Some(_) => Err(Invalid::unserved(environment.path("type"))),
        None => Err(Invalid::missing(environment.path("type"))),
    }
}

/// Parameters of a session that would change what it does, and that nothing here does yet.
fn refuse_unserved(fields: &mut Fields) -> Result<(), Invalid> {
    if let Some(mut spend) = fields.fields("spend_control")?
        && spend.take("limit").is_some()
    {
        return Err(Invalid::unserved("spend_control"));
    }
    if fields.list("vault_ids", usize::MAX)?.is_some_and(|vaults| !vaults.is_empty()) {
        return Err(Invalid::unserved("vault_ids"));
    }
    if fields.choice("review", &["none", "auto_review"])?.is_some_and(|review| review != "none") {
        return Err(Invalid::unserved("review"));
    }
    Ok(())
}

/// The id of a saved agent.
///
/// # Errors
/// It is not one of this server.
pub fn read_agent_id(text: &str) -> Result<AgentId, Invalid> {
    let unknown = || Invalid::value("agent_id", format!("There is no agent '{}'.", shortened(text)));
    if text.starts_with("agent_") { text.parse().map_err(|_| unknown()) } else { Err(unknown()) }
}

/// A client's text as far as an error message repeats it.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(100).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

/// A change of a session: its metadata, its parameters, and what later turns run with. `None` where the request changes
/// nothing.
///
/// # Errors
/// The field that is wrong or not served.
pub fn update_session(known: &State, body: Object) -> Result<Option<Command>, Invalid> {
    let is_null = |name: &str| body.get(name).is_some_and(Value::is_null);
    let (clears, clears_cache) = (is_null("metadata"), is_null("prompt_cache_options"));
    let mut fields = Fields::root(body);
    refuse_unserved(&mut fields)?;
    let mut commands = Vec::new();
    if let Some(replaced) = metadata(&mut fields)?.or_else(|| clears.then(Object::new)) {
        commands.push(Command::ChangeMetadata(replaced));
    }
    let mut echo = known.echo.clone();
    if let Some(mut cache) = fields.fields("prompt_cache_options")?
        && let Some(ttl) = cache.choice("ttl", &["30m", "12h"])?
    {
        echo.insert("prompt_cache_options".to_owned(), json!({ "ttl": ttl }));
    } else if clears_cache {
        echo.shift_remove("prompt_cache_options");
    }
    if echo != known.echo {
        commands.push(Command::ChangeEcho(echo));
    }
    if let Some(agent) = fields.object("agent")? {
        commands.extend(change_agent(known, agent)?);
    }
    Ok(match commands.len() {
        0 | 1 => commands.pop(),
        _ => Some(Command::All(commands)),
    })
}

/// What of a session's agent may change, as the vendor has it.
fn change_agent(known: &State, mut agent: Object) -> Result<Option<Command>, Invalid> {
    if let Some(fixed) = agent.keys().find(|name| !CHANGEABLE.contains(&name.as_str())) {
        return Err(Invalid::unserved(format!("agent.{fixed}")));
    }
    // Only the effort is named there; the rest of the reasoning stays.
    if let Some(Value::Object(reasoning)) = agent.get_mut("reasoning") {
        let now = &known.spec.reasoning;
        reasoning.entry("effort").or_insert_with(|| json!(now.effort));
        reasoning.entry("summary").or_insert_with(|| json!(now.summary));
    }
    let mut spec = (*known.spec).clone();
    config::apply(&mut spec, "agent", agent)?;
    Ok((spec != *known.spec).then(|| Command::ChangeSpec(Arc::new(spec))))
}

/// A new saved agent.
///
/// # Errors
/// The field that is wrong or not served.
pub fn create_agent(body: Object) -> Result<Command, Invalid> {
    if body.get("model").is_none_or(Value::is_null) {
        return Err(Invalid::missing("model"));
    }
    let spec = Arc::new(Spec::plain(""));
    let blank = AgentDefinition { name: None, description: None, spec, metadata: Object::new() };
    save_agent(None, &blank, body).map(Command::SaveAgent)
}

/// The next version of a saved agent, made from `known`. `None` where the request changes nothing.
///
/// # Errors
/// The field that is wrong or not served.
pub fn update_agent(known: &Version, body: Object) -> Result<Option<Command>, Invalid> {
    let save = save_agent(Some(known), &known.definition, body)?;
    Ok((*save.definition != known.definition).then_some(Command::SaveAgent(save)))
}

fn save_agent(of: Option<&Version>, known: &AgentDefinition, mut body: Object) -> Result<SaveAgent, Invalid> {
    let mut definition = known.clone();
    let mut own = Object::new();
    for name in ["name", "metadata"] {
        own.extend(body.shift_remove_entry(name));
    }
    let (names, tags) = (own.contains_key("name"), own.contains_key("metadata"));
    let mut fields = Fields::root(own);
    if names {
        definition.name = fields.text("name")?;
        if definition.name.as_ref().is_some_and(|name| name.chars().count() > MAX_NAME) {
            return Err(Invalid::value("name", format!("'name' may have at most {MAX_NAME} characters.")));
        }
    }
    if tags {
        definition.metadata = metadata(&mut fields)?.unwrap_or_default();
    }
    let mut spec = (*definition.spec).clone();
    config::apply(&mut spec, "", body)?;
    definition.spec = Arc::new(spec);
    let (agent, expected) = (of.map(|version| version.agent), of.map(|version| version.number));
    Ok(SaveAgent { agent, expected, definition: Box::new(definition) })
}

/// What `POST …/events` asks: one command, or several that are taken together or not at all.
///
/// # Errors
/// The field that is wrong or not served.
pub fn events(body: Object) -> Result<Command, Invalid> {
    let mut fields = Fields::root(body);
    let list = fields.list("events", MAX_EVENTS)?.ok_or_else(|| Invalid::missing("events"))?;
    let events = list.into_iter().enumerate();
    let commands: Result<Vec<_>, _> = events.map(|(index, value)| event(format!("events[{index}]"), value)).collect();
    let mut commands = commands?;
    match commands.len() {
        0 => Err(Invalid::value("events", "'events' must not be empty.")),
        1 => Ok(commands.remove(0)),
        _ => Ok(Command::All(commands)),
    }
}

/// A person's answer to a call.
fn approval(fields: &mut Fields) -> Result<Command, Invalid> {
    let (id, at) = (fields.needed_text("request_id")?, fields.path("request_id"));
    let Some((session, approval)) = read_request_id(&id) else {
        return Err(Invalid::value(&at, "No approval request with this id is pending."));
    };
    let at = fields.path("response");
    let response = fields.take("response").ok_or_else(|| Invalid::missing(&at))?;
    let mut response = Fields::at(at, response)?;
    let decision = response.choice("decision", &["approve", "deny", "cancel"])?;
    let answer = match decision.as_deref() {
        Some("approve") => Answer::Approve { arguments: None },
        Some(_) => Answer::Deny,
        None => return Err(Invalid::missing(response.path("decision"))),
    };
    Ok(Command::Respond(Respond { session: Some(session), approval, answer, reason: None }))
}

fn event(path: String, value: Value) -> Result<Command, Invalid> {
    let mut fields = Fields::at(path, value)?;
    let kind = fields.needed_text("type")?;
    match kind.as_str() {
        "agent.session.input.message" => {
            let at = fields.path("input");
            let value = fields.take("input").ok_or_else(|| Invalid::missing(&at))?;
            let input = input::input(&at, value)?;
            Ok(Command::Accept(Box::new(Accept { input, spec: None, head: None, answers: Vec::new() })))
        }
        "agent.session.input.cancel" => Ok(Command::Cancel { turn: None }),
        "agent.session.input.tool_result" => {
            let turn = fields.text("turn_id")?.map(|text| text.parse::<TurnId>()).transpose();
            let at = fields.path("turn_id");
            let turn = turn.map_err(|_| Invalid::value(&at, format!("'{at}' is not the id of a turn.")))?;
            Ok(Command::ReturnCall { turn, result: input::tool_result(&mut fields)? })
        }
        "agent.session.input.mcp_approval_request_result" => approval(&mut fields),
        "agent.session.input.computer_use_approval_request_result" => {
            let at = fields.path("request_id");
            Err(Invalid::value(&at, "No approval request with this id is pending."))
        }
        _ => {
            let at = fields.path("type");
            Err(Invalid::value(&at, format!("Unknown event type '{}'.", shortened(&kind))))
        }
    }
}
