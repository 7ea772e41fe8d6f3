//! A question in Cedar's words: the request and the entities that it is about. What is built here matches
//! `schema.cedarschema`; a test holds it to that, so that no verdict pays for the check.

use std::str::FromStr;

use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression};
use mainstay_vocabulary::{Timestamp, place::Evidence};

use crate::{
    Act, Egress, Error, Inference, Question, ToolCall,
    argument::{Arguments, TooLarge},
    rule::Reads,
    slice::Verb,
};

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
    actions: [EntityUid; Verb::ALL.len()],
    session: EntityTypeName,
    tenant: EntityTypeName,
    agent: EntityTypeName,
    role: EntityTypeName,
    principal: EntityTypeName,
    runner: EntityTypeName,
    server: EntityTypeName,
    tool: EntityTypeName,
    host: EntityTypeName,
    domain: EntityTypeName,
    deployment: EntityTypeName,
    model: EntityTypeName,
    provider: EntityTypeName,
    texts: EntityUid,
    numbers: EntityUid,
    micros: EntityUid,
    flags: EntityUid,
    sets: EntityUid,
    sizes: EntityUid,
    calls: EntityUid,
}

/// Who acts on what: the two and all that they are in.
pub(crate) struct Subject {
    pub(crate) verb: Verb,
    principal: EntityUid,
    principal_in: Vec<EntityUid>,
    resource: EntityUid,
    resource_in: Vec<EntityUid>,
}

impl Subject {
    /// All that a policy's scope may name for it to match.
    pub(crate) fn names(&self) -> Vec<EntityUid> {
        let mut names = Vec::with_capacity(2 + self.principal_in.len() + self.resource_in.len());
        names.push(self.principal.clone());
        names.push(self.resource.clone());
        names.extend(self.principal_in.iter().chain(&self.resource_in).cloned());
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Words {
    pub(crate) fn new() -> Result<Self, Error> {
        let kind = |name: &str| EntityTypeName::from_str(name).map_err(|error| Error::Schema(error.to_string()));
        let one = |name: &str| Ok::<_, Error>(uid(&kind(name)?, ""));
        let verb = |verb: Verb| Ok::<_, Error>(uid(&kind("Action")?, verb.as_str()));
        let [call_tool, connect, infer] = Verb::ALL;
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
            texts: one("Texts")?,
            numbers: one("Numbers")?,
            micros: one("Micros")?,
            flags: one("Flags")?,
            sets: one("Sets")?,
            sizes: one("Sizes")?,
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
    pub(crate) fn facts(&self, subject: Subject, question: &Question, reads: Reads) -> Result<Facts, Unaskable> {
        let mut entities = Vec::with_capacity(10);
        let mut who = vec![pair("tenant", text(&question.tenant)), pair("principal", text(&question.principal))];
        who.extend(question.agent.iter().map(|agent| pair("agent", text(agent))));
        entities.push(entity(subject.principal.clone(), who, subject.principal_in, [])?);
        let mut context = self.known(question);
        let what = match &question.act {
            Act::CallTool(call) => {
                context.push(pair("arguments", self.argument_kinds()?));
                let of_tool = question.history.calls.get(&call.id()).copied().unwrap_or(0);
                context.push(pair("calls_of_tool", long(of_tool)));
                if reads.arguments {
                    let read = Arguments::read(&call.arguments).map_err(|TooLarge| Unaskable::Arguments)?;
                    self.arguments(read, &mut entities)?;
                }
                tool(call)
            }
            Act::Connect(egress) => {
                context.push(pair("port", RestrictedExpression::new_long(egress.port.into())));
                context.push(pair("address", text(egress.address.as_str())));
                context.push(pair("purpose", text(&egress.purpose)));
                vec![pair("name", text(&host(egress)))]
            }
            Act::Infer(inference) => deployment(inference),
        };
        entities.push(entity(subject.resource.clone(), what, subject.resource_in, [])?);
        if reads.calls {
            let counts = question.history.calls.iter().map(|(tool, count)| (tool.clone(), long(*count)));
            entities.push(entity(self.calls.clone(), [], [], counts)?);
        }
        let context = Context::from_pairs(context).map_err(engine)?;
        let [call_tool, connect, infer] = &self.actions;
        let action = match subject.verb {
            Verb::CallTool => call_tool,
            Verb::Connect => connect,
            Verb::Infer => infer,
        };
        let request = Request::new(subject.principal, action.clone(), subject.resource, context, None);
        let entities = Entities::from_entities(entities, None).map_err(engine)?;
        Ok(Facts { request: request.map_err(engine)?, entities })
    }

    fn known(&self, question: &Question) -> Vec<Pair> {
        let history = &question.history;
        let digest = question.act.digest();
        let total = history.calls.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let (hour, weekday) = hour_and_weekday(question.at);
        vec![
            pair("labels", RestrictedExpression::new_set(history.labels.iter().map(|label| text(label)))),
            pair("approved", RestrictedExpression::new_bool(!digest.is_empty() && history.approved.contains(digest))),
            pair("at_ms", long(question.at.0)),
            pair("hour_utc", long(hour)),
            pair("weekday_utc", long(weekday)),
            pair("spend_micro_usd", long(history.spend_micro_usd)),
            pair("calls", RestrictedExpression::new_entity_uid(self.calls.clone())),
            pair("calls_total", long(total)),
        ]
    }

    fn argument_kinds(&self) -> Result<RestrictedExpression, Unaskable> {
        let kinds = [
            ("text", &self.texts),
            ("number", &self.numbers),
            ("micro", &self.micros),
            ("flag", &self.flags),
            ("set", &self.sets),
            ("size", &self.sizes),
        ];
        let kinds = kinds.map(|(name, uid)| pair(name, RestrictedExpression::new_entity_uid(uid.clone())));
        RestrictedExpression::new_record(kinds).map_err(engine)
    }

    /// A kind without a value needs no entity: Cedar finds no tag on what it does not know.
    fn arguments(&self, read: Arguments, entities: &mut Vec<Entity>) -> Result<(), Unaskable> {
        let longs = |tags: Vec<(String, i64)>| {
            tags.into_iter().map(|(path, number)| (path, RestrictedExpression::new_long(number)))
        };
        let set =
            |texts: Vec<String>| RestrictedExpression::new_set(texts.into_iter().map(RestrictedExpression::new_string));
        let kinds: [(&EntityUid, Vec<Pair>); 6] = [
            (
                &self.texts,
                read.text.into_iter().map(|(path, text)| (path, RestrictedExpression::new_string(text))).collect(),
            ),
            (&self.numbers, longs(read.number).collect()),
            (&self.micros, longs(read.micro).collect()),
            (
                &self.flags,
                read.flag.into_iter().map(|(path, flag)| (path, RestrictedExpression::new_bool(flag))).collect(),
            ),
            (&self.sets, read.set.into_iter().map(|(path, texts)| (path, set(texts))).collect()),
            (&self.sizes, longs(read.size).collect()),
        ];
        for (uid, tags) in kinds {
            if !tags.is_empty() {
                entities.push(entity(uid.clone(), [], [], tags)?);
            }
        }
        Ok(())
    }
}

type Pair = (String, RestrictedExpression);

fn tool(call: &ToolCall) -> Vec<Pair> {
    let mut what = vec![
        pair("name", text(&call.tool)),
        pair("runner", text(call.runner.as_str())),
        pair("class", text(call.class.as_str())),
    ];
    what.extend(call.server.iter().map(|server| pair("server", text(server))));
    what.extend(call.destructive.map(|hint| pair("destructive", RestrictedExpression::new_bool(hint))));
    what.extend(call.open_world.map(|hint| pair("open_world", RestrictedExpression::new_bool(hint))));
    what
}

fn deployment(inference: &Inference) -> Vec<Pair> {
    let place = &inference.place;
    let mut what = vec![
        pair("name", text(&inference.deployment)),
        pair("model", text(&inference.model)),
        pair("provider", text(&inference.provider)),
        pair("evidence", RestrictedExpression::new_long(grade(place.evidence))),
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
fn grade(evidence: Evidence) -> i64 {
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
fn hour_and_weekday(at: Timestamp) -> (u64, u64) {
    const HOUR_MS: u64 = 3_600_000;
    // The first of January 1970 was a Thursday.
    const FIRST_WEEKDAY: u64 = 3;
    (at.0 / HOUR_MS % 24, (at.0 / HOUR_MS / 24 + FIRST_WEEKDAY) % 7 + 1)
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn pair(name: &str, value: RestrictedExpression) -> Pair {
    (name.to_owned(), value)
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn long(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}

fn entity(
    uid: EntityUid,
    attributes: impl IntoIterator<Item = Pair>,
    above: impl IntoIterator<Item = EntityUid>,
    tags: impl IntoIterator<Item = Pair>,
) -> Result<Entity, Unaskable> {
    Entity::new_with_tags(uid, attributes, above, tags).map_err(engine)
}

fn engine(error: impl std::error::Error) -> Unaskable {
    Unaskable::Engine(error.to_string())
}
