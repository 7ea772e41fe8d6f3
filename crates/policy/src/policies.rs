//! The seam: policies that are loaded once and asked often.

use std::{collections::BTreeSet, fmt, sync::Arc};

use crate::{
    Act, Error, Explanation, Matched, Question, Source, Verdict,
    argument::{Arguments, fit},
    decide::{Outcome, unaskable},
    fact::{Unaskable, Words},
    field::View,
    load::{self, SCHEMA},
    rule::{Reads, Rule},
    slice::{Candidates, Index},
    version::version,
};

/// Policies, and reasons, that a verdict names at most; a verdict is journaled.
pub const MAX_NAMED: usize = 32;

/// Policies in force: immutable, cheap to clone and to share.
#[derive(Clone)]
pub struct Policies {
    version: Arc<str>,
    /// `None` denies everything.
    engine: Option<Arc<Engine>>,
}

pub(crate) struct Engine {
    pub(crate) words: Words,
    pub(crate) rules: Vec<Arc<Rule>>,
    index: Index,
}

impl Policies {
    /// Loads sources: all of them or none. Add `Source::standard` to build on the standard policy instead of replacing it.
    ///
    /// # Errors
    /// Every fault that was found, with file, line, column, and what would be right.
    pub fn load(sources: &[Source]) -> Result<Self, Error> {
        let rules: Vec<_> = load::load(&load::schema()?, sources)?.into_iter().map(Arc::new).collect();
        let version = Arc::from(version(SCHEMA, &rules));
        let engine = Engine { words: Words::new()?, index: Index::new(&rules), rules };
        Ok(Self { version, engine: Some(Arc::new(engine)) })
    }

    /// The standard policy, which is compiled in. A defect in it (a test excludes that) denies everything.
    pub fn standard() -> Self {
        Self::load(&[Source::standard()]).unwrap_or_else(|_| Self { version: Arc::from("none"), engine: None })
    }

    /// A digest of all that decides, in hex: the same on every machine, and untouched by comments, line breaks and the
    /// order of files.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.engine.as_ref().map_or(0, |engine| engine.rules.len())
    }

    /// Whether there is no policy: then everything is denied.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The verdict on a question. Never fails: what cannot be decided is denied, with the reason.
    pub fn decide(&self, question: &Question) -> Verdict {
        self.answer(question).0
    }

    /// The verdict with every policy that matched, for whoever writes policies.
    pub fn explain(&self, question: &Question) -> Explanation {
        let (verdict, outcome, weighed) = self.answer(question);
        let failed = outcome.failed.iter().map(|(rule, why)| (*rule, Some(why.clone())));
        let all = failed.chain(outcome.matched.iter().map(|rule| (*rule, None)));
        let mut matched: Vec<_> = all.map(|(rule, failed)| matched(rule, failed)).collect();
        matched.sort_by(|left, right| left.id.cmp(&right.id));
        Explanation {
            verdict,
            matched,
            in_slice: weighed.in_slice,
            evaluated: weighed.evaluated,
            left_to_cedar: weighed.left_to_cedar,
        }
    }

    fn answer(&self, question: &Question) -> (Verdict, Outcome<'_>, Weighed) {
        let Some(engine) = &self.engine else {
            let verdict = Outcome::default().verdict(&self.version, question);
            return (verdict, Outcome::default(), Weighed::default());
        };
        let refused =
            |why: &Unaskable, argued, weighed| (unaskable(why, &self.version, argued), Outcome::default(), weighed);
        let subject = match engine.words.subject(question) {
            Ok(subject) => subject,
            Err(why) => return refused(&why, BTreeSet::new(), Weighed::default()),
        };
        let found = engine.index.candidates(&question.tenant, subject.verb, &subject.names());
        let weighed = Weighed::of(&found);
        let reads = found.buckets.iter().fold(Reads::default(), |reads, bucket| reads.or(bucket.reads));
        let refused_for_arguments = || {
            let rules = found.buckets.iter().flat_map(|bucket| &bucket.rules);
            let argued = rules.filter(|rule| rule.reads.arguments).map(|rule| rule.id.as_str()).collect();
            refused(&Unaskable::Arguments, argued, weighed)
        };
        let read = match &question.act {
            Act::CallTool(call) if reads.arguments => Some(&call.arguments),
            _ => None,
        };
        if read.is_some_and(|arguments| fit(arguments).is_err()) {
            return refused_for_arguments();
        }
        let (mut outcome, rest) = Outcome::quick(&found.buckets, &View { question, subject: &subject });
        if !rest.is_empty() {
            let Ok(arguments) = read.map(Arguments::read).transpose() else { return refused_for_arguments() };
            match engine.words.facts(subject, question, arguments, reads) {
                Ok(facts) => outcome.evaluate(&rest, facts),
                Err(why) => return refused(&why, BTreeSet::new(), weighed),
            }
        }
        let outcome = outcome.sorted();
        (outcome.verdict(&self.version, question), outcome, Weighed { left_to_cedar: rest.len(), ..weighed })
    }

    #[cfg(test)]
    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Policies")
            .field("version", &self.version)
            .field("policies", &self.len())
            .finish_non_exhaustive()
    }
}

/// How many policies a question met.
#[derive(Clone, Copy, Default)]
struct Weighed {
    in_slice: usize,
    evaluated: usize,
    left_to_cedar: usize,
}

impl Weighed {
    fn of(found: &Candidates<'_>) -> Self {
        let evaluated = found.buckets.iter().map(|bucket| bucket.rules.len()).sum();
        Self { in_slice: found.in_slice, evaluated, left_to_cedar: 0 }
    }
}

fn matched(rule: &Rule, failed: Option<String>) -> Matched {
    Matched { id: rule.id.clone(), file: rule.file.to_string(), line: rule.line, says: rule.says(), failed }
}
