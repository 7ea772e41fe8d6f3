//! From sources to rules: parsed, annotated, validated in strict mode against the schema. Every fault is found before
//! one is reported, with its file, line and column.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cedar_policy::{
    EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint, Schema, ValidationError, ValidationMode,
    ValidationWarning, Validator,
};
use cedar_policy_core::ast;
use miette::Diagnostic;

use crate::{
    Error, Fault, Source,
    annotation::Annotations,
    quick::Test,
    rule::{Reads, Rule},
    source::Statement,
    version::canonical,
};

/// What policies may speak of.
pub(crate) const SCHEMA: &str = include_str!("schema.cedarschema");

/// Files of policies: a directory of them for each of many tenants.
pub(crate) const MAX_SOURCES: usize = 4_096;
/// Bytes of one source: ten times the longest that a person can oversee.
pub(crate) const MAX_SOURCE_BYTES: usize = 4 << 20;
/// Policies in force at once: a thousand for each of 64 tenants. They are held in memory and validated at each load.
pub(crate) const MAX_POLICIES: usize = 64_000;
/// Bytes of one policy: the parser is recursive, and the evaluator's time grows with the policy's size.
pub(crate) const MAX_POLICY_BYTES: usize = 64 << 10;

/// Brackets in brackets and branches of one policy: the engine recurses into each, a dozen calls deep.
const MAX_DEPTH: usize = 24;
/// Operators of one policy: a chain of them is as deep as it is long.
const MAX_OPERATORS: usize = 200;

/// The schema, parsed.
pub(crate) fn schema() -> Result<Schema, Error> {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| Error::Schema(error.to_string()))?;
    Ok(schema)
}

/// Reads every source.
pub(crate) fn load(schema: &Schema, sources: &[Source]) -> Result<Vec<Rule>, Error> {
    let mut loader = Loader::default();
    if sources.len() > MAX_SOURCES {
        let right = format!("load at most {MAX_SOURCES}");
        return Err(Error::from(vec![whole("policies", format!("there are {} sources", sources.len()), right)]));
    }
    let mut names = HashSet::new();
    for source in sources {
        if !names.insert(&source.name) {
            let right = "give each source a name of its own".to_owned();
            loader.faults.push(whole(&source.name, "two sources have this name".to_owned(), right));
            continue;
        }
        loader.source(source);
    }
    loader.validate(schema);
    if !loader.faults.is_empty() {
        return Err(Error::from(loader.faults));
    }
    loader.rules.sort_by(|left, right| left.id.cmp(&right.id));
    loader.rules.iter_mut().enumerate().for_each(|(order, rule)| rule.order = order);
    Ok(loader.rules)
}

fn whole(file: &str, what: String, right: String) -> Fault {
    Fault { file: file.to_owned(), line: 0, column: 0, what, right: Some(right) }
}

#[derive(Default)]
struct Loader<'a> {
    rules: Vec<Rule>,
    /// Where each rule stands, by id.
    places: HashMap<String, (&'a Source, Statement<'a>)>,
    faults: Vec<Fault>,
}

impl<'a> Loader<'a> {
    fn source(&mut self, source: &'a Source) {
        if source.text.len() > MAX_SOURCE_BYTES {
            let right = format!("a source has at most {MAX_SOURCE_BYTES} bytes");
            self.faults.push(whole(&source.name, format!("{} bytes are too many", source.text.len()), right));
            return;
        }
        let file: Arc<str> = Arc::from(source.name.as_str());
        for (number, statement) in source.statements().into_iter().enumerate() {
            if self.rules.len() >= MAX_POLICIES {
                let right = format!("have at most {MAX_POLICIES}");
                self.fault(source, statement.offset, "there are too many policies".to_owned(), Some(right));
                return;
            }
            let unnamed = format!("{}#{}", source.name, number + 1);
            if let Some(rule) = self.statement(source, &file, statement, unnamed) {
                self.add(source, statement, rule);
            }
        }
    }

    fn fault(&mut self, source: &Source, offset: usize, what: String, right: Option<String>) {
        let (line, column) = source.place(offset);
        self.faults.push(Fault { file: source.name.clone(), line, column, what, right });
    }

    fn statement(
        &mut self,
        source: &Source,
        file: &Arc<str>,
        statement: Statement<'_>,
        unnamed: String,
    ) -> Option<Rule> {
        if statement.text.len() > MAX_POLICY_BYTES {
            let right = format!("a policy has at most {MAX_POLICY_BYTES} bytes; look for a missing semicolon");
            self.fault(source, statement.offset, "the policy is too long".to_owned(), Some(right));
            return None;
        }
        let (depth, operators) = statement.depth();
        if depth > MAX_DEPTH || operators > MAX_OPERATORS {
            let what = format!("the policy is nested {depth} deep and has {operators} operators");
            let right = format!("split it: at most {MAX_DEPTH} deep and {MAX_OPERATORS} operators");
            self.fault(source, statement.offset, what, Some(right));
            return None;
        }
        let policy = match Policy::parse(Some(PolicyId::new(&unnamed)), statement.text) {
            Ok(policy) => policy,
            Err(errors) => {
                errors.iter().for_each(|error| self.diagnostic(source, statement, error));
                return None;
            }
        };
        let annotations = match Annotations::read(&policy) {
            Ok(annotations) => annotations,
            Err(wrongs) => {
                for wrong in wrongs {
                    let inside = statement.text.find(&format!("@{}", wrong.word)).unwrap_or(0);
                    self.fault(source, statement.offset + inside, wrong.what, Some(wrong.right));
                }
                return None;
            }
        };
        let tenant = match (annotations.tenant, scope_tenant(&policy)) {
            (Some(said), Some(scope)) if said != scope => {
                let what = format!("the policy is for tenant {said:?} and its scope is tenant {scope:?}");
                self.fault(source, statement.offset, what, Some("name one tenant".to_owned()));
                return None;
            }
            (said, scope) => said.or(scope),
        };
        let id = annotations.id.unwrap_or(unnamed);
        let policy = policy.new_id(PolicyId::new(&id));
        let (canonical, condition) = match bare(&policy, &id) {
            Ok(bare) => bare,
            Err(what) => {
                self.fault(source, statement.offset, what, None);
                return None;
            }
        };
        Some(Rule {
            id,
            order: 0,
            file: file.clone(),
            line: source.place(statement.offset).0,
            standard: source.is_standard(),
            reason: annotations.reason,
            tenant,
            asks: annotations.asks,
            reads: Reads::of(&canonical),
            canonical,
            policy,
            quick: Test::of(&condition),
            condition,
        })
    }

    fn add(&mut self, source: &'a Source, statement: Statement<'a>, rule: Rule) {
        if let Some((other, first)) = self.places.get(&rule.id) {
            let what = format!("the id {:?} is taken by {}:{}", rule.id, other.name, other.place(first.offset).0);
            self.fault(source, statement.offset, what, Some("give each policy an @id of its own".to_owned()));
            return;
        }
        self.places.insert(rule.id.clone(), (source, statement));
        self.rules.push(rule);
    }

    fn validate(&mut self, schema: &Schema) {
        let mut set = PolicySet::new();
        for rule in &self.rules {
            if let Err(error) = set.add(rule.policy.clone()) {
                self.faults.push(Fault { right: None, ..whole(&rule.file, error.to_string(), String::new()) });
            }
        }
        let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
        let wrong: HashSet<_> = result.validation_errors().map(|error| error.policy_id().clone()).collect();
        let more = |error: &ValidationError| !matches!(error, ValidationError::InvalidActionApplication(_));
        let known: HashSet<_> =
            result.validation_errors().filter(|error| more(error)).map(ValidationError::policy_id).collect();
        for error in result.validation_errors() {
            // That nothing fits follows from what is named wrongly.
            if more(error) || !known.contains(error.policy_id()) {
                self.validated(error.policy_id(), error);
            }
        }
        // A rule that never applies protects nobody; letters that change direction hide what a rule says.
        let refused = result.validation_warnings().filter(|warning| {
            let kind = matches!(
                warning,
                ValidationWarning::ImpossiblePolicy(_)
                    | ValidationWarning::BidiCharsInString(_)
                    | ValidationWarning::BidiCharsInIdentifier(_)
                    | ValidationWarning::InvalidActionApplication(_)
            );
            kind && !wrong.contains(warning.policy_id())
        });
        for warning in refused {
            self.validated(warning.policy_id(), warning);
        }
    }

    fn validated(&mut self, id: &PolicyId, error: &dyn Diagnostic) {
        if let Some((source, statement)) = self.places.get(AsRef::<str>::as_ref(id)).copied() {
            self.diagnostic(source, statement, error);
        }
    }

    /// What Cedar says, at the place that it means.
    fn diagnostic(&mut self, source: &Source, statement: Statement<'_>, error: &dyn Diagnostic) {
        let label = error.labels().and_then(|mut labels| labels.next());
        let inside = label.as_ref().map_or(0, |label| label.offset());
        let right = error.help().map(|help| help.to_string());
        let right = right.or_else(|| label.and_then(|label| label.label().map(str::to_owned)));
        self.fault(source, statement.offset + inside, error.to_string(), right);
    }
}

/// A policy in canonical form, and its expression without places in the text.
fn bare(policy: &Policy, id: &str) -> Result<(String, ast::Expr), String> {
    let json = policy.to_json().map_err(|error| error.to_string())?;
    let canonical = canonical(&json);
    let bare = Policy::from_json(Some(PolicyId::new(id)), json).map_err(|error| error.to_string())?;
    Ok((canonical, AsRef::<ast::Policy>::as_ref(&bare).condition()))
}

/// The tenant that a policy's scope names.
fn scope_tenant(policy: &Policy) -> Option<String> {
    match policy.principal_constraint() {
        PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => tenant_of(&uid),
        _ => None,
    }
}

fn tenant_of(uid: &EntityUid) -> Option<String> {
    (uid.type_name().basename() == "Tenant").then(|| uid.id().unescaped().to_owned())
}
