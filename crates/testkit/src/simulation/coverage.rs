//! Which pairs of open effect, command and fault the seeds have reached. A simulation that never meets a case proves
//! nothing about it, so the essential pairs are declared and asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use mainstay_session::{State, effect::Stage, event::Purpose, state::Phase};

/// What a session had open.
pub(super) fn effect(state: &State) -> &'static str {
    let Some(turn) = &state.turn else {
        return if state.deleted {
            "deleted"
        } else if state.unanswered.is_empty() {
            "idle"
        } else {
            "unanswered calls"
        };
    };
    let is_digest = turn.inference.as_ref().is_some_and(|open| open.intended.purpose == Purpose::Compaction);
    if is_digest {
        return "digest";
    }
    match (state.phase(), &turn.inference, &turn.continued) {
        (Phase::Acting, ..) => "tool call",
        (Phase::WaitingForClient, ..) if state.calls.is_empty() => match state.awaited().next() {
            Some((_, effect)) if matches!(effect.stage, Stage::Unknown { .. }) => "unknown outcome",
            _ => "approval",
        },
        (Phase::WaitingForClient, ..) => "client calls",
        (_, Some(_), Some(_)) => "inference, continued",
        (_, Some(_), None) => "inference",
        (_, None, Some(_)) => "cut item",
        (_, None, None) if turn.retry_at.is_some() => "retry",
        (_, None, None) => "wanted inference",
    }
}

/// How often each pair was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    pairs: BTreeMap<(&'static str, &'static str), u64>,
}

impl Coverage {
    /// Notes a pair.
    pub(super) fn note(&mut self, first: &'static str, second: &'static str) {
        *self.pairs.entry((first, second)).or_default() += 1;
    }

    /// Adds what other seeds reached.
    pub fn add(&mut self, other: &Self) {
        for (pair, count) in &other.pairs {
            *self.pairs.entry(*pair).or_default() += count;
        }
    }

    /// Whether a pair was reached.
    pub fn has(&self, pair: (&'static str, &'static str)) -> bool {
        self.pairs.contains_key(&pair)
    }

    /// Essential pairs that were not reached.
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        ESSENTIAL.iter().copied().filter(|pair| !self.pairs.contains_key(pair)).collect()
    }
}

impl fmt::Display for Coverage {
    /// One row per effect or command with what met it, most frequent columns as they come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: BTreeSet<_> = self.pairs.keys().map(|(row, _)| *row).collect();
        for row in rows {
            write!(f, "{row:>22} |")?;
            for ((_, column), count) in self.pairs.range((row, "")..).take_while(|((name, _), _)| *name == row) {
                write!(f, " {column} {count},")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Pairs without which a run shows too little: (effect, command), (effect, fault), (command, fault).
const ESSENTIAL: &[(&str, &str)] = &[
    ("idle", "accept"),
    ("idle", "add items"),
    ("idle", "hide item"),
    ("idle", "delete"),
    ("idle", "fork"),
    ("inference", "steer"),
    ("inference", "queue"),
    ("inference", "interrupt"),
    ("inference", "reject"),
    ("inference", "cancel"),
    ("inference", "delete"),
    ("inference, continued", "cancel"),
    ("client calls", "return call"),
    ("client calls", "return twice"),
    ("client calls", "return to wrong turn"),
    ("client calls", "cancel"),
    ("client calls", "steer"),
    ("client calls", "interrupt"),
    ("unanswered calls", "answer"),
    ("tool call", "cancel"),
    ("tool call", "steer"),
    ("tool call", "delete"),
    ("tool call", "crash"),
    ("tool call", "takeover"),
    ("tool call", "lost acknowledgement"),
    ("tool call", "lost write"),
    ("approval", "approve"),
    ("approval", "deny"),
    ("approval", "cancel"),
    ("approval", "crash"),
    ("unknown outcome", "resolve"),
    ("unknown outcome", "approve"),
    ("unknown outcome", "cancel"),
    ("approve", "crash"),
    ("approve", "lost acknowledgement"),
    ("resolve", "lost acknowledgement"),
    ("retry", "cancel"),
    ("idle", "compact"),
    ("inference", "compact"),
    ("client calls", "compact"),
    ("digest", "steer"),
    ("digest", "queue"),
    ("digest", "interrupt"),
    ("digest", "cancel"),
    ("digest", "delete"),
    ("digest", "fork"),
    ("digest", "crash"),
    ("digest", "takeover"),
    ("digest", "disk full"),
    ("digest", "outage"),
    ("digest", "lost acknowledgement"),
    ("digest", "lost write"),
    ("compact", "crash"),
    ("compact", "lost acknowledgement"),
    ("idle", "crash"),
    ("inference", "crash"),
    ("inference, continued", "crash"),
    ("client calls", "crash"),
    ("retry", "crash"),
    ("inference", "takeover"),
    ("client calls", "takeover"),
    ("inference", "disk full"),
    ("inference", "outage"),
    ("inference", "lost acknowledgement"),
    ("inference", "lost write"),
    ("client calls", "lost acknowledgement"),
    ("accept", "crash"),
    ("return call", "crash"),
    ("cancel", "crash"),
    ("accept", "lost acknowledgement"),
    ("accept", "lost write"),
    ("accept", "disk full"),
    ("accept", "retry with key"),
    ("accept", "other request under key"),
    ("return call", "lost acknowledgement"),
    ("return call", "retry with key"),
    ("cancel", "lost acknowledgement"),
    ("create", "lost acknowledgement"),
    ("create", "retry with key"),
    ("save agent", "lost acknowledgement"),
    ("save agent", "retry with key"),
];
