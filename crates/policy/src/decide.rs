//! How verdicts combine. Cedar knows `permit` and `forbid`; `@verdict("ask")` makes either of them wait for a person.
//! The first that is true: a policy cannot be evaluated, `Deny`; a `forbid` that does not ask, `Deny`; no `permit`, asking
//! or not, `Deny`; something asks and is not lifted, `Ask`; else `Allow`. An asking `forbid` narrows and never permits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cedar_policy_core::{
    ast::{Literal, SlotEnv, ValueKind},
    evaluator::Evaluator,
    extensions::Extensions,
};

use crate::{
    Act, Ask, MAX_NAMED, Need, Question, Says, Verdict, VerdictKind,
    fact::{Facts, Unaskable},
    field::View,
    rule::Rule,
    slice::Bucket,
};

/// Policies that matched, and those that failed with why; both sorted by id, each once.
#[derive(Debug, Default)]
pub(crate) struct Outcome<'a> {
    pub(crate) matched: Vec<&'a Rule>,
    pub(crate) failed: Vec<(&'a Rule, String)>,
}

impl<'a> Outcome<'a> {
    /// Answers what can be answered from the question itself, and returns the rest.
    pub(crate) fn quick(buckets: &[&'a Bucket], view: &View<'_>) -> (Self, Vec<&'a Rule>) {
        let (mut outcome, mut rest) = (Self::default(), Vec::new());
        for rule in buckets.iter().flat_map(|bucket| &bucket.rules) {
            match rule.quick.holds(view) {
                Some(true) => outcome.matched.push(rule),
                Some(false) => {}
                None => rest.push(&**rule),
            }
        }
        (outcome, rest)
    }

    /// Lets Cedar evaluate the rest. Its own authorizer does the same around the same evaluator, but builds each policy's
    /// expression anew for each request.
    pub(crate) fn evaluate(&mut self, rest: &[&'a Rule], facts: Facts) {
        let evaluator = Evaluator::new(facts.request, &facts.entities, Extensions::all_available());
        let slots = SlotEnv::new();
        for rule in rest {
            match evaluator.interpret(&rule.condition, &slots) {
                Ok(value) => match value.value_kind() {
                    ValueKind::Lit(Literal::Bool(true)) => self.matched.push(rule),
                    ValueKind::Lit(Literal::Bool(false)) => {}
                    _ => self.failed.push((rule, "it is neither true nor false".to_owned())),
                },
                Err(error) => self.failed.push((rule, error.to_string())),
            }
        }
    }

    /// In the order of ids, each once: a bucket is met twice where a question names something twice.
    pub(crate) fn sorted(mut self) -> Self {
        self.matched.sort_unstable_by_key(|rule| rule.order);
        self.matched.dedup_by_key(|rule| rule.order);
        self.failed.sort_by_key(|(rule, _)| rule.order);
        self.failed.dedup_by_key(|(rule, _)| rule.order);
        self
    }

    /// Puts together what matched.
    pub(crate) fn verdict(&self, version: &Arc<str>, question: &Question) -> Verdict {
        let answer = |kind, policies: Vec<&str>, reasons: Vec<String>, ask| Verdict {
            kind,
            version: version.clone(),
            policies: policies.into_iter().take(MAX_NAMED).map(str::to_owned).collect(),
            reasons: distinct(reasons),
            ask,
        };
        if !self.failed.is_empty() {
            let failed: Vec<&str> = self.failed.iter().map(|(rule, _)| rule.id.as_str()).collect();
            let reasons = failed.iter().map(|id| format!("Policy {id:?} could not be evaluated.")).collect();
            return answer(VerdictKind::Deny, failed, reasons, None);
        }
        let forbids = self.that(|rule| rule.says() == Says::Forbid);
        if !forbids.is_empty() {
            return answer(VerdictKind::Deny, ids(&forbids), reasons(&forbids), None);
        }
        let permits = self.that(|rule| matches!(rule.says(), Says::Permit | Says::PermitAsking));
        if permits.is_empty() {
            return answer(VerdictKind::Deny, vec![], vec!["No policy permits this.".to_owned()], None);
        }
        let lifted = Lifted::of(question);
        let asking = self.that(|rule| rule.asks.is_some() && !lifted.lifts(rule));
        let declared = lifted.declared == Some(true) && !lifted.approved;
        if asking.is_empty() && !declared {
            return answer(VerdictKind::Allow, ids(&permits), reasons(&permits), None);
        }
        let mut why = reasons(&asking);
        why.extend(declared.then(|| "The tool's declaration asks for approval.".to_owned()));
        answer(VerdictKind::Ask, ids(&asking), why, Some(ask(&asking, declared)))
    }

    fn that(&self, wanted: impl Fn(&Rule) -> bool) -> Vec<&'a Rule> {
        self.matched.iter().copied().filter(|rule| wanted(rule)).collect()
    }
}

/// A question that could not be put, or that policies could not look at whole.
pub(crate) fn unaskable(why: &Unaskable, version: &Arc<str>, argued: BTreeSet<&str>) -> Verdict {
    let (reason, policies) = match why {
        Unaskable::Arguments => ("The arguments are larger than policies can look at.".to_owned(), argued),
        Unaskable::Facts => {
            ("There are more roles, labels or counts than policies can look at.".to_owned(), BTreeSet::new())
        }
        Unaskable::Engine(error) => (format!("The question could not be put: {error}."), BTreeSet::new()),
    };
    let policies = policies.into_iter().take(MAX_NAMED).map(str::to_owned).collect();
    Verdict { kind: VerdictKind::Deny, version: version.clone(), policies, reasons: vec![reason], ask: None }
}

/// What takes an `Ask` away.
struct Lifted {
    /// This very act was approved.
    approved: bool,
    /// What the tool's declaration says of approvals.
    declared: Option<bool>,
}

impl Lifted {
    fn of(question: &Question) -> Self {
        let declared = match &question.act {
            Act::CallTool(call) => call.approval_asked,
            Act::Connect(_) | Act::Infer(_) => None,
        };
        Self { approved: question.approved(), declared }
    }

    /// A declaration speaks for the application, not for the operator: it lifts what the standard policy asks, no more.
    fn lifts(&self, rule: &Rule) -> bool {
        self.approved || (self.declared == Some(false) && rule.standard)
    }
}

fn ask(asking: &[&Rule], declared: bool) -> Ask {
    let asks: Vec<_> = asking.iter().filter_map(|rule| rule.asks.as_ref()).collect();
    let mut needs: BTreeMap<Option<String>, u32> = BTreeMap::new();
    for ask in &asks {
        let quorum = needs.entry(ask.role.clone()).or_default();
        *quorum = ask.quorum.max(*quorum);
    }
    if needs.is_empty() && declared {
        needs.insert(None, 1);
    }
    Ask {
        needs: needs.into_iter().map(|(role, quorum)| Need { role, quorum }).collect(),
        expires_ms: asks.iter().filter_map(|ask| ask.expires_ms).min(),
        edit: !asks.is_empty() && asks.iter().all(|ask| ask.edit),
    }
}

fn ids<'a>(rules: &[&'a Rule]) -> Vec<&'a str> {
    rules.iter().map(|rule| rule.id.as_str()).collect()
}

fn reasons(rules: &[&Rule]) -> Vec<String> {
    rules.iter().filter_map(|rule| rule.reason.clone()).collect()
}

/// In their order, each once, at most `MAX_NAMED`.
fn distinct(reasons: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    reasons.into_iter().filter(|reason| seen.insert(reason.clone())).take(MAX_NAMED).collect()
}
