//! Policies by tenant and action, and inside such a slice by what their scope names: a question meets only policies
//! that could match. Leaving a policy out never changes a verdict: its scope would be false, and Cedar looks at no
//! condition of a policy whose scope is false. The differential test in `tests/differential.rs` holds this to plain Cedar.

use std::collections::HashMap;

use cedar_policy::{ActionConstraint, Effect, EntityUid, PolicySet, PrincipalConstraint, ResourceConstraint};

use crate::{
    Error,
    rule::{Reads, Rule},
};

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
    /// Kept apart from the others, because Cedar names only those policies that decided.
    pub(crate) permits: PolicySet,
    pub(crate) forbids: PolicySet,
    pub(crate) reads: Reads,
    pub(crate) size: usize,
    /// Ids of those that look at arguments.
    pub(crate) argued: Vec<String>,
}

impl Bucket {
    fn add(&mut self, rule: &Rule) -> Result<(), Error> {
        let set = match rule.policy.effect() {
            Effect::Permit => &mut self.permits,
            Effect::Forbid => &mut self.forbids,
        };
        set.add(rule.policy.clone()).map_err(|error| Error::Schema(error.to_string()))?;
        self.reads = self.reads.or(rule.reads);
        self.size += 1;
        if rule.reads.arguments {
            self.argued.push(rule.id.clone());
        }
        Ok(())
    }
}

/// Policies of one tenant, or of all tenants, for one action.
#[derive(Clone, Debug, Default)]
struct Slice {
    /// Those whose scope names nothing but the action and the tenant.
    open: Bucket,
    /// The others, by the entity that their scope names.
    named: HashMap<EntityUid, Bucket>,
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
    pub(crate) fn new(rules: &[Rule]) -> Result<Self, Error> {
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
                bucket.add(rule)?;
                slice.size += 1;
            }
        }
        Ok(index)
    }

    /// Policies that could match: `names` are the acting session, what it acts on, and all that these are in.
    pub(crate) fn candidates<'a>(&'a self, tenant: &str, verb: Verb, names: &[EntityUid]) -> Candidates<'a> {
        let mut found = Candidates { buckets: Vec::with_capacity(8), in_slice: 0 };
        for slices in [Some(&self.everyone), self.tenants.get(tenant)].into_iter().flatten() {
            let Some(slice) = slices.get(verb as usize) else { continue };
            found.in_slice += slice.size;
            if slice.open.size > 0 {
                found.buckets.push(&slice.open);
            }
            if !slice.named.is_empty() {
                found.buckets.extend(names.iter().filter_map(|name| slice.named.get(name)));
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
fn key(rule: &Rule) -> Option<EntityUid> {
    let resource = match rule.policy.resource_constraint() {
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => Some(uid),
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
    };
    let principal = || match rule.policy.principal_constraint() {
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) | PrincipalConstraint::IsIn(_, uid) => Some(uid),
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
    };
    resource.or_else(|| principal().filter(|uid| uid.type_name().basename() != "Tenant"))
}
