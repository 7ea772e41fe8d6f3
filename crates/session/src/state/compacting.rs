//! How large a context is, and whether it is compacted before a turn's next inference.

use mainstay_vocabulary::{
    Sequence,
    inference::{Failure, FailureKind},
};
use serde::{Deserialize, Serialize};

use super::{Queued, State, Turn};
use crate::{
    compaction::{self, Base, Replaced, Stays, Task},
    event::{InferenceEnded, InferenceOutcome},
    spec::{Spec, Truncation},
};

/// Whether a turn's context is compacted before its next inference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compacting {
    /// Where it has become too large.
    #[default]
    AsNeeded,
    /// Yes: somebody asked, or the prompt did not fit.
    Asked,
    /// No: it was tried for this inference, whatever came of it.
    Tried,
    /// No more; the prompt did not fit, and its oldest items are dropped.
    Truncate,
}

impl Compacting {
    pub(super) const fn is_as_needed(&self) -> bool {
        matches!(self, Self::AsNeeded)
    }

    /// What is done about a prompt that did not fit.
    pub(crate) fn after_overflow(self, spec: &Spec) -> Self {
        match (self, spec.truncation) {
            (Self::AsNeeded, _) if spec.compaction.is_some() => Self::Asked,
            (_, Truncation::Auto) => Self::Truncate,
            (before, Truncation::Disabled) => before,
        }
    }
}

/// Whether the model said that the prompt does not fit.
pub(crate) const fn is_too_long(outcome: &InferenceOutcome) -> bool {
    matches!(outcome, InferenceOutcome::Failed(Failure { kind: FailureKind::ContextLength, .. }))
}

impl Turn {
    /// A digest's inference came to its end. One that only this process's stop cut off is made again; any other fate is
    /// the last word, unless the turn is there for nothing else.
    pub(super) fn end_digest(&mut self, ended: &InferenceEnded) {
        if ended.outcome != InferenceOutcome::Interrupted {
            self.compacting = Compacting::Tried;
        }
        if ended.kept {
            self.attempts = 0;
            self.failures = 0;
        } else if self.task == Task::Compact && matches!(ended.outcome, InferenceOutcome::Failed(_)) {
            self.failures = self.failures.saturating_add(1);
        }
    }
}

impl State {
    /// Accepted inputs become part of the context.
    pub(super) fn incorporate(&mut self, inputs: &[Sequence]) {
        let (taken, waiting) = self.queue.iter().partition(|queued| inputs.contains(&queued.input));
        self.queue = waiting;
        let taken: Vec<Queued> = taken;
        self.grow(taken.iter().map(|queued| queued.bytes).sum());
        self.unanswered = self.turn.as_ref().map(|turn| turn.unanswered.clone()).unwrap_or_default();
    }

    /// Something was added to the context.
    pub(super) fn grow(&mut self, bytes: u64) {
        self.context_tokens = self.context_tokens.saturating_add(compaction::tokens(bytes));
    }

    pub(super) fn compacting(&mut self, compacting: Compacting) {
        if let Some(turn) = &mut self.turn {
            turn.compacting = compacting;
        }
    }

    pub(super) fn replace_context(&mut self, sequence: Sequence, replaced: &Replaced) {
        self.context_epoch = sequence;
        self.context_base = Some(Base { at: sequence, from: replaced.from });
        let Stays { before, after } = &replaced.stays;
        let stays = before.iter().chain(after).map(|kept| compaction::size_of(&kept.item)).sum::<u64>();
        let digest = replaced.digest.as_ref().map_or(0, |digest| digest.text.len() as u64);
        self.context_tokens = compaction::tokens(stays.saturating_add(digest));
        self.unanswered.clone_from(&replaced.unanswered);
        self.compacting(Compacting::Tried);
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
pub(super) const fn is_zero(count: &u64) -> bool {
    *count == 0
}
