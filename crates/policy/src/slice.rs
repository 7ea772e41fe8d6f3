//! Policies by tenant and action, and inside such a slice by what their scope names: a question meets only policies
//! that could match. Leaving a policy out never changes a verdict: its scope would be false, and Cedar looks at no
//! condition of a policy whose scope is false. The differential test in `tests/differential.rs` holds this to plain Cedar.

use std::{collections::HashMap, sync::Arc};

use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};
use cedar_policy_core::ast::EntityUID;

use crate::rule::{Reads, Rule};

/// What may be asked about, as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    CallTool,
    Connect,
    Infer,
}

impl Verb {
    pub(crate) const ALL: [Self; 3] = [Self::CallTool, Self::Connect, Self::Infer];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::CallTool => "call_tool",
            Self::Connect => "connect",
            Self::Infer => "infer",
        }
    }
}

/// Policies that are evaluated together or not at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bucket {
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) reads: Reads,
}

impl Bucket {
    fn add(&mut self, rule: &Arc<Rule>) {
        self.reads = self.reads.or(rule.reads);
        self.rules.push(rule.clone());
    }
}

/// Policies of one tenant, or of all tenants, for one action.
#[derive(Clone, Debug, Default)]
struct Slice {
    /// Those whose scope names nothing but the action and the tenant.
    open: Bucket,
    /// The others, by the entity that their scope names.
    named: HashMap<EntityUID, Bucket>,
    size: usize,
}

type Slices = [Slice; Verb::ALL.len()];

/// All policies, by tenant and action.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    everyone: Slices,
    tenants: HashMap<String, Slices>,
}

/// What a question meets.
pub(crate) struct Candidates<'a> {
    pub(crate) buckets: Vec<&'a Bucket>,
    pub(crate) in_slice: usize,
}

impl Index {
    pub(crate) fn new(rules: &[Arc<Rule>]) -> Self {
        let mut index = Self::default();
        for rule in rules {
            let slices = match &rule.tenant {
                Some(tenant) => index.tenants.entry(tenant.clone()).or_default(),
                None => &mut index.everyone,
            };
            for (slice, verb) in slices.iter_mut().zip(Verb::ALL) {
                if !concerns(rule, verb) {
                    continue;
                }
                let bucket = match key(rule) {
                    Some(uid) => slice.named.entry(uid).or_default(),
                    None => &mut slice.open,
                };
                bucket.add(rule);
                slice.size += 1;
            }
        }
        index
    }

    /// Policies that could match: `names` are the acting session, what it acts on, and all that these are in.
    pub(crate) fn candidates<'a>(&'a self, tenant: &str, verb: Verb, names: &[&EntityUID]) -> Candidates<'a> {
        let mut found = Candidates { buckets: Vec::with_capacity(names.len()), in_slice: 0 };
        for slices in [Some(&self.everyone), self.tenants.get(tenant)].into_iter().flatten() {
            let Some(slice) = slices.get(verb as usize) else { continue };
            found.in_slice += slice.size;
            if !slice.open.rules.is_empty() {
                found.buckets.push(&slice.open);
            }
            if !slice.named.is_empty() {
                found.buckets.extend(names.iter().filter_map(|name| slice.named.get(*name)));
            }
        }
        found
    }
}

fn concerns(rule: &Rule, verb: Verb) -> bool {
    let is = |uid: &EntityUid| uid.id().unescaped() == verb.as_str();
    match rule.policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => is(&uid),
        ActionConstraint::In(uids) => uids.iter().any(is),
    }
}

/// The entity that a question must name for the policy to match; the resource's first, there are more of them. A
/// tenant is no such name: it is in the slice already.
fn key(rule: &Rule) -> Option<EntityUID> {
    let resource = match rule.policy.resource_constraint() {
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => Some(uid),
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
    };
    let acting = || match rule.policy.principal_constraint() {
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) | PrincipalConstraint::IsIn(_, uid) => Some(uid),
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
    };
    let principal = || acting().filter(|uid| uid.type_name().basename() != "Tenant");
    resource.or_else(principal).map(EntityUID::from)
}
