//! Loads a session into memory and takes over what an earlier incarnation left open.

use std::sync::Arc;

use mainstay_session::{
    Command, Event,
    assembly::Assembly,
    command::Decision,
    effect::{Effect, Stage},
    spec::Retention,
};
use mainstay_vocabulary::Sequence;

use super::Driver;
use crate::{
    error::Error,
    fault::{Bug, Point},
    journal::Loaded,
};

impl Driver {
    /// Loads the session and takes over what an earlier incarnation left open.
    pub(super) async fn load(&mut self) -> Result<(), Error> {
        let loaded = self.inner.journal.load(self.session).await?;
        self.is_stale = false;
        let Some(loaded) = loaded else { return Ok(()) };
        // What is in memory has been committed: where nothing was added it holds, and more than the journal may keep.
        let is_unchanged = self.sealer.is_some() && loaded.state.sequence == self.state.sequence;
        if !is_unchanged {
            self.take_over(loaded);
        }
        self.follow_inference();
        self.follow_calls();
        self.intended.clear();
        let epoch = self.inner.leases.epoch(self.session.shard())?;
        if self.state.outgoing.values().any(|outgoing| outgoing.epoch < epoch) {
            return self.recover().await;
        }
        let running = self.calls.intents();
        let is_lost =
            |effect: &Effect| matches!(effect.stage, Stage::Running { intent, .. } if !running.contains(&intent));
        if self.state.effects.values().any(is_lost) && !self.inner.faults.has(Bug::NoRecovery) {
            self.recover().await?;
        }
        let Some(turn) = &self.state.turn else { return Ok(()) };
        let open = turn.inference.as_ref().map(|open| open.intent);
        let is_ours = open.is_some() && open == self.running.as_ref().map(|running| running.intent);
        let is_lost = self.state.spec.retention == Retention::ReceiptOnly && !is_unchanged;
        if !is_lost && (is_ours || open.is_none()) {
            return Ok(());
        }
        self.running = None;
        // Frames may hold what nobody could show: followers read it before they see how the inference ended.
        self.inner.hub.reset(self.session);
        self.shown = Assembly::resuming(turn.continued.as_ref());
        self.take_frames(open.unwrap_or_default()).await?;
        if !self.inner.faults.has(Bug::NoRecovery) {
            self.recover().await?;
        }
        Ok(())
    }

    fn take_over(&mut self, loaded: Loaded) {
        if self.sealer.is_some() {
            self.inner.hub.reset(self.session);
        }
        self.next_ordinal = self.next_ordinal.max(loaded.state.next_ordinal);
        self.last_shown = self.next_ordinal.saturating_sub(1);
        self.tenant = Some(loaded.tenant);
        self.sealer = Some(loaded.sealer);
        self.chain = loaded.chain;
        self.state = Arc::new(loaded.state);
        self.since_snapshot = loaded.since_snapshot;
        self.context = None;
    }

    async fn take_frames(&mut self, intent: Sequence) -> Result<(), Error> {
        let Some(tenant) = &self.tenant else { return Ok(()) };
        let mut slices = self.inner.journal.slices(tenant, self.session).await?;
        let last = slices.iter().map(|slice| slice.first + slice.shown.len() as u64).max();
        if !self.inner.faults.has(Bug::OrdinalsReused) {
            self.next_ordinal = self.next_ordinal.max(last.unwrap_or(0));
        }
        self.last_shown = self.next_ordinal.saturating_sub(1);
        slices.retain(|slice| slice.after >= intent);
        if !self.inner.faults.has(Bug::FramesForgotten) {
            self.shown.take_slices(self.session, &slices);
        }
        Ok(())
    }

    async fn recover(&mut self) -> Result<(), Error> {
        if self.state.turn.is_some() {
            self.ensure_prompt().await?;
        }
        let epoch = self.inner.leases.epoch(self.session.shard())?;
        let decided = self.decide(Command::Recover { epoch, running: self.calls.intents() });
        let Ok(mut decision) = decided else { return Ok(()) };
        if self.inner.faults.has(Bug::BookedTwice) {
            book_again(&mut decision);
        }
        if decision.events.is_empty() {
            return Ok(());
        }
        self.commit_own(decision, (Point::RecoveryDecided, Point::RecoveryCommitted)).await;
        Ok(())
    }
}

/// The planted bug of that name: the inference is booked a second time.
fn book_again(decision: &mut Decision) {
    let booked = decision.events.iter().find(|event| matches!(event, Event::InferenceEnded(_)));
    if let Some(event) = booked.cloned() {
        let sequence = decision.after.sequence.next();
        decision.after.apply(decision.after.active_at, sequence, &event);
        decision.events.push(event);
    }
}
