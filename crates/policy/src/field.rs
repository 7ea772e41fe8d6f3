//! Plain facts by name, straight from a question: what `fact.rs` builds for Cedar, without building it.

use std::collections::BTreeMap;

use cedar_policy_core::ast::{EntityUID, Var};
use serde_json::Value;

use crate::{
    Act, Question,
    argument::{at, micro, whole},
    fact::{Subject, grade, hour_and_weekday},
    quick::End,
    slice::Verb,
};

/// A fact that has a plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Tenant,
    Principal,
    Agent,
    Approved,
    AtMs,
    HourUtc,
    WeekdayUtc,
    SpendMicroUsd,
    CallsTotal,
    CallsOfTool,
    Port,
    Address,
    Purpose,
    Name,
    Runner,
    Server,
    Class,
    Destructive,
    OpenWorld,
    Model,
    Provider,
    Jurisdiction,
    Region,
    Silicon,
    Operator,
    Evidence,
    RetentionDays,
    CallsOf(String),
    ArgumentText(String),
    ArgumentNumber(String),
    ArgumentMicro(String),
    ArgumentFlag(String),
    ArgumentSize(String),
}

/// A plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain<'a> {
    Long(i64),
    Text(&'a str),
    Bool(bool),
}

impl Field {
    pub(crate) fn of(var: Var, name: &str) -> Option<Self> {
        Some(match (var, name) {
            (Var::Principal, "tenant") => Self::Tenant,
            (Var::Principal, "principal") => Self::Principal,
            (Var::Principal, "agent") => Self::Agent,
            (Var::Context, "approved") => Self::Approved,
            (Var::Context, "at_ms") => Self::AtMs,
            (Var::Context, "hour_utc") => Self::HourUtc,
            (Var::Context, "weekday_utc") => Self::WeekdayUtc,
            (Var::Context, "spend_micro_usd") => Self::SpendMicroUsd,
            (Var::Context, "calls_total") => Self::CallsTotal,
            (Var::Context, "calls_of_tool") => Self::CallsOfTool,
            (Var::Context, "port") => Self::Port,
            (Var::Context, "address") => Self::Address,
            (Var::Context, "purpose") => Self::Purpose,
            (Var::Resource, "name") => Self::Name,
            (Var::Resource, "runner") => Self::Runner,
            (Var::Resource, "server") => Self::Server,
            (Var::Resource, "class") => Self::Class,
            (Var::Resource, "destructive") => Self::Destructive,
            (Var::Resource, "open_world") => Self::OpenWorld,
            (Var::Resource, "model") => Self::Model,
            (Var::Resource, "provider") => Self::Provider,
            (Var::Resource, "jurisdiction") => Self::Jurisdiction,
            (Var::Resource, "region") => Self::Region,
            (Var::Resource, "silicon") => Self::Silicon,
            (Var::Resource, "operator") => Self::Operator,
            (Var::Resource, "evidence") => Self::Evidence,
            (Var::Resource, "retention_days") => Self::RetentionDays,
            _ => return None,
        })
    }
}

/// What a condition may look at.
pub(crate) struct View<'a> {
    pub(crate) question: &'a Question,
    pub(crate) subject: &'a Subject,
}

impl View<'_> {
    pub(crate) fn verb(&self) -> Verb {
        self.subject.verb
    }

    pub(crate) fn end(&self, end: End) -> (&EntityUID, &[EntityUID]) {
        match end {
            End::Principal => (&self.subject.principal, &self.subject.principal_in),
            End::Resource => (&self.subject.resource, &self.subject.resource_in),
        }
    }

    pub(crate) fn labelled(&self, label: &str) -> bool {
        self.question.history.labels.contains(label)
    }

    /// Whether there is such a fact.
    pub(crate) fn has(&self, field: &Field) -> bool {
        match (field, &self.question.act) {
            // A number that is no integer is a text, which is not kept as one.
            (Field::ArgumentText(path), Act::CallTool(call)) => match at(&call.arguments, path) {
                Some(Value::String(_)) => true,
                Some(Value::Number(number)) => whole(number).is_none(),
                _ => false,
            },
            _ => self.value(field).is_some(),
        }
    }

    /// The value; `None` where there is none for this question, or Cedar must say.
    pub(crate) fn value(&self, field: &Field) -> Option<Plain<'_>> {
        let question = self.question;
        Some(match field {
            Field::Tenant => Plain::Text(&question.tenant),
            Field::Principal => Plain::Text(&question.principal),
            Field::Agent => Plain::Text(question.agent.as_deref()?),
            Field::Approved => Plain::Bool(question.approved()),
            Field::AtMs => long(question.at.0),
            Field::HourUtc => long(hour_and_weekday(question.at).0),
            Field::WeekdayUtc => long(hour_and_weekday(question.at).1),
            Field::SpendMicroUsd => long(question.history.spend_micro_usd),
            Field::CallsTotal => long(question.calls_total()),
            Field::CallsOf(tool) => long(*question.history.calls.get(tool)?),
            _ => return self.of_act(field),
        })
    }

    fn of_act(&self, field: &Field) -> Option<Plain<'_>> {
        let own: &str = self.subject.resource.eid().as_ref();
        match &self.question.act {
            Act::CallTool(call) => Some(match field {
                Field::Name => Plain::Text(&call.tool),
                Field::Runner => Plain::Text(call.runner.as_str()),
                Field::Server => Plain::Text(call.server.as_deref()?),
                Field::Class => Plain::Text(call.class.as_str()),
                Field::Destructive => Plain::Bool(call.destructive?),
                Field::OpenWorld => Plain::Bool(call.open_world?),
                Field::CallsOfTool => long(calls_of(&self.question.history.calls, own)),
                Field::ArgumentText(path) => Plain::Text(at(&call.arguments, path)?.as_str()?),
                Field::ArgumentFlag(path) => Plain::Bool(at(&call.arguments, path)?.as_bool()?),
                Field::ArgumentNumber(path) => Plain::Long(whole(at(&call.arguments, path)?.as_number()?)?),
                Field::ArgumentMicro(path) => Plain::Long(micro(at(&call.arguments, path)?.as_number()?)?),
                Field::ArgumentSize(path) => match at(&call.arguments, path)? {
                    Value::Array(items) => long(items.len() as u64),
                    Value::Object(fields) => long(fields.len() as u64),
                    _ => return None,
                },
                _ => return None,
            }),
            Act::Connect(egress) => Some(match field {
                Field::Name => Plain::Text(own),
                Field::Port => long(egress.port.into()),
                Field::Address => Plain::Text(egress.address.as_str()),
                Field::Purpose => Plain::Text(&egress.purpose),
                _ => return None,
            }),
            Act::Infer(inference) => Some(match field {
                Field::Name => Plain::Text(&inference.deployment),
                Field::Model => Plain::Text(&inference.model),
                Field::Provider => Plain::Text(&inference.provider),
                Field::Jurisdiction => Plain::Text(inference.place.jurisdiction.as_deref()?),
                Field::Region => Plain::Text(inference.place.region.as_deref()?),
                Field::Silicon => Plain::Text(inference.place.silicon.as_deref()?),
                Field::Operator => Plain::Text(inference.place.operator.as_deref()?),
                Field::Evidence => Plain::Long(grade(inference.place.evidence)),
                Field::RetentionDays => long(inference.retention_days?.into()),
                _ => return None,
            }),
        }
    }
}

fn calls_of(calls: &BTreeMap<String, u64>, tool: &str) -> u64 {
    calls.get(tool).copied().unwrap_or(0)
}

fn long(value: u64) -> Plain<'static> {
    Plain::Long(i64::try_from(value).unwrap_or(i64::MAX))
}
