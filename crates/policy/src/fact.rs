//! A question in Cedar's words: the request and the entities that it is about. What is built here matches
//! `schema.cedarschema`; a test holds it to that, so that no verdict pays for the check.

use std::{collections::HashSet, str::FromStr, sync::Arc};

use cedar_policy::EntityTypeName;
use cedar_policy_core::{
    ast::{Context, Eid, Entity, EntityType, EntityUID, EntityUIDEntry, PartialValue, Request, Value},
    entities::{Entities, NoEntitiesSchema, TCComputation},
    extensions::Extensions,
};
use mainstay_vocabulary::{Timestamp, place::Evidence};

use crate::{Act, Egress, Error, Inference, Question, ToolCall, argument::Arguments, rule::Reads, slice::Verb};

/// Roles, labels and tools with calls in one question: far more than a session meets, and each costs time per verdict.
const MAX_FACTS: usize = 4_096;

/// Why a question cannot be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unaskable {
    /// Rules would look at arguments that are larger than they may.
    Arguments,
    /// There are more roles, labels or counts than are looked at.
    Facts,
    /// Cedar refused them, which is a defect here.
    Engine(String),
}

/// A question for Cedar.
pub(crate) struct Facts {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
}

/// Names of the schema, parsed once.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    actions: [EntityUIDEntry; Verb::ALL.len()],
    session: EntityType,
    tenant: EntityType,
    agent: EntityType,
    role: EntityType,
    principal: EntityType,
    runner: EntityType,
    server: EntityType,
    tool: EntityType,
    host: EntityType,
    domain: EntityType,
    deployment: EntityType,
    model: EntityType,
    provider: EntityType,
    /// In the order of `KINDS`.
    kinds: [EntityUID; KINDS.len()],
    /// The record that names them.
    arguments: Value,
    calls: EntityUID,
}

/// Who acts on what: the two and all that they are in.
pub(crate) struct Subject {
    pub(crate) verb: Verb,
    pub(crate) principal: EntityUID,
    pub(crate) principal_in: Vec<EntityUID>,
    pub(crate) resource: EntityUID,
    pub(crate) resource_in: Vec<EntityUID>,
}

impl Subject {
    /// All that a policy's scope may name for it to match.
    pub(crate) fn names(&self) -> Vec<&EntityUID> {
        let ends = [&self.principal, &self.resource];
        ends.into_iter().chain(&self.principal_in).chain(&self.resource_in).collect()
    }
}

impl Words {
    pub(crate) fn new() -> Result<Self, Error> {
        let kind = |name: &str| {
            let parsed = EntityTypeName::from_str(name).map_err(|error| Error::Schema(error.to_string()))?;
            Ok::<_, Error>(AsRef::<EntityType>::as_ref(&parsed).clone())
        };
        let one = |name: &str| Ok::<_, Error>(uid(&kind(name)?, ""));
        let verb = |verb: Verb| Ok::<_, Error>(EntityUIDEntry::known(uid(&kind("Action")?, verb.as_str()), None));
        let [call_tool, connect, infer] = Verb::ALL;
        let [texts, numbers, micros, flags, sets, sizes] = KINDS.map(|(_, kind)| one(kind));
        let kinds = [texts?, numbers?, micros?, flags?, sets?, sizes?];
        let names = KINDS.into_iter().map(|(name, _)| name);
        Ok(Self {
            actions: [verb(call_tool)?, verb(connect)?, verb(infer)?],
            session: kind("Session")?,
            tenant: kind("Tenant")?,
            agent: kind("Agent")?,
            role: kind("Role")?,
            principal: kind("Principal")?,
            runner: kind("Runner")?,
            server: kind("Server")?,
            tool: kind("Tool")?,
            host: kind("Host")?,
            domain: kind("Domain")?,
            deployment: kind("Deployment")?,
            model: kind("Model")?,
            provider: kind("Provider")?,
            arguments: Value::record(names.zip(kinds.iter().cloned().map(Value::from)), None),
            kinds,
            calls: one("Calls")?,
        })
    }

    pub(crate) fn subject(&self, question: &Question) -> Result<Subject, Unaskable> {
        if question.roles.len() + question.history.labels.len() + question.history.calls.len() > MAX_FACTS {
            return Err(Unaskable::Facts);
        }
        let mut principal_in = vec![uid(&self.tenant, &question.tenant), uid(&self.principal, &question.principal)];
        principal_in.extend(question.agent.iter().map(|agent| uid(&self.agent, agent)));
        principal_in.extend(question.roles.iter().map(|role| uid(&self.role, role)));
        let (verb, resource, resource_in) = match &question.act {
            Act::CallTool(call) => {
                let mut above = vec![uid(&self.runner, call.runner.as_str())];
                above.extend(call.server.iter().map(|server| uid(&self.server, server)));
                (Verb::CallTool, uid(&self.tool, &call.id()), above)
            }
            Act::Connect(egress) => {
                let name = host(egress);
                let above = domains(&name).map(|domain| uid(&self.domain, domain)).collect();
                (Verb::Connect, uid(&self.host, &name), above)
            }
            Act::Infer(inference) => {
                let above = vec![uid(&self.model, &inference.model), uid(&self.provider, &inference.provider)];
                (Verb::Infer, uid(&self.deployment, &inference.deployment), above)
            }
        };
        let principal = uid(&self.session, &question.session);
        Ok(Subject { verb, principal, principal_in, resource, resource_in })
    }

    /// The question, with as many facts as the policies at hand look at.
    pub(crate) fn facts(
        &self,
        subject: Subject,
        question: &Question,
        arguments: Option<Arguments>,
        reads: Reads,
    ) -> Result<Facts, Unaskable> {
        let mut entities = Vec::with_capacity(10);
        let mut who = vec![pair("tenant", text(&question.tenant)), pair("principal", text(&question.principal))];
        who.extend(question.agent.iter().map(|agent| pair("agent", text(agent))));
        entities.push(entity(&subject.principal, who, subject.principal_in));
        let mut context = self.known(question);
        let what = match &question.act {
            Act::CallTool(call) => {
                context.push(pair("arguments", self.arguments.clone()));
                let of_tool = question.history.calls.get(subject.resource.eid().as_ref()).copied().unwrap_or(0);
                context.push(pair("calls_of_tool", long(of_tool)));
                if let Some(read) = arguments {
                    self.tags_of(read, &mut entities);
                }
                tool(call)
            }
            Act::Connect(egress) => {
                context.push(pair("port", long(egress.port.into())));
                context.push(pair("address", text(egress.address.as_str())));
                context.push(pair("purpose", text(&egress.purpose)));
                vec![pair("name", Value::from(subject.resource.eid().as_ref()))]
            }
            Act::Infer(inference) => deployment(inference),
        };
        entities.push(entity(&subject.resource, what, subject.resource_in));
        if reads.calls {
            let counts = question.history.calls.iter().map(|(tool, count)| (tool.clone(), long(*count)));
            entities.extend(tags(&self.calls, counts.collect()));
        }
        let [call_tool, connect, infer] = &self.actions;
        let action = match subject.verb {
            Verb::CallTool => call_tool,
            Verb::Connect => connect,
            Verb::Infer => infer,
        };
        let context = Context::Value(Arc::new(context.into_iter().map(|(name, value)| (name.into(), value)).collect()));
        let known = |uid| EntityUIDEntry::known(uid, None);
        let (principal, resource) = (known(subject.principal), known(subject.resource));
        let request = Request::new_unchecked(principal, action.clone(), resource, Some(context));
        let none = None::<&NoEntitiesSchema>;
        // Each entity names all that it is in: there is nothing to close.
        let closed = TCComputation::AssumeAlreadyComputed;
        let entities = Entities::from_entities(entities, none, closed, Extensions::all_available());
        Ok(Facts { request, entities: entities.map_err(|error| Unaskable::Engine(error.to_string()))? })
    }

    fn known(&self, question: &Question) -> Vec<(&'static str, Value)> {
        let history = &question.history;
        let (hour, weekday) = hour_and_weekday(question.at);
        let mut known = Vec::with_capacity(12);
        known.extend([
            pair("labels", Value::set(history.labels.iter().map(|label| text(label)), None)),
            pair("approved", Value::from(question.approved())),
            pair("at_ms", long(question.at.0)),
            pair("hour_utc", long(hour)),
            pair("weekday_utc", long(weekday)),
            pair("spend_micro_usd", long(history.spend_micro_usd)),
            pair("calls", Value::from(self.calls.clone())),
            pair("calls_total", long(question.calls_total())),
        ]);
        known
    }

    fn tags_of(&self, read: Arguments, entities: &mut Vec<Entity>) {
        fn values<T>(tags: Vec<(String, T)>, value: impl Fn(T) -> Value) -> Vec<(String, Value)> {
            tags.into_iter().map(|(path, tag)| (path, value(tag))).collect()
        }
        let set = |texts: Vec<String>| Value::set(texts.into_iter().map(Value::from), None);
        let [texts, numbers, micros, flags, sets, sizes] = &self.kinds;
        entities.extend(tags(texts, values(read.text, Value::from)));
        entities.extend(tags(numbers, values(read.number, Value::from)));
        entities.extend(tags(micros, values(read.micro, Value::from)));
        entities.extend(tags(flags, values(read.flag, Value::from)));
        entities.extend(tags(sets, values(read.set, set)));
        entities.extend(tags(sizes, values(read.size, Value::from)));
    }
}

/// Kinds of arguments, by the attribute of `context.arguments` and the type of its entity.
const KINDS: [(&str, &str); 6] = [
    ("text", "Texts"),
    ("number", "Numbers"),
    ("micro", "Micros"),
    ("flag", "Flags"),
    ("set", "Sets"),
    ("size", "Sizes"),
];

type Pair = (&'static str, Value);

fn tool(call: &ToolCall) -> Vec<Pair> {
    let mut what = vec![
        pair("name", text(&call.tool)),
        pair("runner", text(call.runner.as_str())),
        pair("class", text(call.class.as_str())),
    ];
    what.extend(call.server.iter().map(|server| pair("server", text(server))));
    what.extend(call.destructive.map(|hint| pair("destructive", Value::from(hint))));
    what.extend(call.open_world.map(|hint| pair("open_world", Value::from(hint))));
    what
}

fn deployment(inference: &Inference) -> Vec<Pair> {
    let place = &inference.place;
    let mut what = vec![
        pair("name", text(&inference.deployment)),
        pair("model", text(&inference.model)),
        pair("provider", text(&inference.provider)),
        pair("evidence", Value::from(grade(place.evidence))),
    ];
    let known = [
        ("jurisdiction", &place.jurisdiction),
        ("region", &place.region),
        ("silicon", &place.silicon),
        ("operator", &place.operator),
    ];
    what.extend(known.into_iter().filter_map(|(name, value)| Some(pair(name, text(value.as_deref()?)))));
    what.extend(inference.retention_days.map(|days| pair("retention_days", long(days.into()))));
    what
}

/// Grades as numbers, so that rules can demand a minimum.
pub(crate) fn grade(evidence: Evidence) -> i64 {
    match evidence {
        Evidence::Unknown => 0,
        Evidence::Declared => 1,
        Evidence::Encoded => 2,
        Evidence::Reported => 3,
        Evidence::Attested => 4,
        Evidence::AttestedGpu => 5,
    }
}

/// The name without case and without the final dot, so that no spelling slips past a rule.
fn host(egress: &Egress) -> String {
    let name = egress.host.to_ascii_lowercase();
    name.strip_suffix('.').unwrap_or(&name).to_owned()
}

/// Labels that a name in DNS has at most; what is longer is not resolved.
const MAX_DOMAINS: usize = 127;

/// `a.b.c` is in `a.b.c`, `b.c` and `c`; the widest come first, so that the bound cuts the narrowest. An address is in
/// none.
fn domains(name: &str) -> impl Iterator<Item = &str> {
    let address = name.parse::<std::net::IpAddr>().is_ok() || name.contains(':');
    let starts = name.rmatch_indices('.').map(|(place, _)| place + 1).chain([0]);
    let suffixes = starts.filter_map(|start| name.get(start..)).filter(|suffix| !suffix.is_empty());
    suffixes.take(if address { 0 } else { MAX_DOMAINS })
}

/// Hour from 0 and weekday from 1 (Monday), in UTC.
pub(crate) fn hour_and_weekday(at: Timestamp) -> (u64, u64) {
    const HOUR_MS: u64 = 3_600_000;
    // The first of January 1970 was a Thursday.
    const FIRST_WEEKDAY: u64 = 3;
    (at.0 / HOUR_MS % 24, (at.0 / HOUR_MS / 24 + FIRST_WEEKDAY) % 7 + 1)
}

fn uid(kind: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(kind.clone(), Eid::new(id), None)
}

fn pair(name: &'static str, value: Value) -> Pair {
    (name, value)
}

fn text(value: &str) -> Value {
    Value::from(value)
}

fn long(value: u64) -> Value {
    Value::from(i64::try_from(value).unwrap_or(i64::MAX))
}

fn entity(uid: &EntityUID, attributes: Vec<Pair>, above: Vec<EntityUID>) -> Entity {
    let attributes = attributes.into_iter().map(|(name, value)| (name.into(), PartialValue::Value(value)));
    let above = above.into_iter().collect();
    Entity::new_with_attr_partial_value(uid.clone(), attributes, HashSet::new(), above, [])
}

/// An entity that is there for its tags; `None` without any: Cedar finds no tag on what it does not know.
fn tags(uid: &EntityUID, tags: Vec<(String, Value)>) -> Option<Entity> {
    let some = !tags.is_empty();
    let tags = tags.into_iter().map(|(path, value)| (path.into(), PartialValue::Value(value)));
    some.then(|| Entity::new_with_attr_partial_value(uid.clone(), [], HashSet::new(), HashSet::new(), tags))
}
