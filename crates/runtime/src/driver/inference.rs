//! The inference side of a session's loop: commit the intent, send the request, commit what comes back, show it.

use std::sync::Arc;

use mainstay_session::{
    Command,
    assembly::Assembly,
    command::{Begin, RecordCompaction, RecordInference},
    compaction::Stays,
    context::Context,
    event::{ErrorCode, TurnError},
    feed::{Cursor, Moment, Shown, Slice, What},
    spec::Retention,
};
use mainstay_store::{Error as StoreError, seam::Slice as Frame};
use mainstay_vocabulary::{
    Epoch, Sequence, Tenant,
    inference::{Delta, Failure, FailureKind, Finished, Request},
    item::ItemKind,
};

use super::{Driver, MAX_RETRY, RETRY};
use crate::{
    attach,
    error::Error,
    fault::{Bug, Point},
    lease::Working,
    meter,
    perform::infer::{Call, Permit, Step},
    prompt::request_of,
    route::Deployment,
};

/// Most text of one inference, bytes: escaped sixfold and written twice, as an item and as a call, it still fits a batch.
/// More could be shown but never be committed.
pub(super) const MAX_SHOWN: usize = 4 << 20;

/// The inference under way.
pub(super) struct Running {
    pub(super) intent: Sequence,
    pub(super) call: Call,
    /// For a digest: what stays word for word beside it.
    pub(super) stays: Option<Stays>,
    pub(super) deployment: Deployment,
    /// The index here of the item that goes on, once the provider has started it.
    pub(super) continued: Option<u32>,
    pub(super) may_continue: bool,
    #[allow(dead_code, reason = "held until the inference is over")]
    pub(super) working: Working,
}

impl Driver {
    pub(super) async fn ensure_prompt(&mut self) -> Result<(), Error> {
        if self.context.is_none()
            && let Some(tenant) = &self.tenant
        {
            let until = self.state.sequence;
            let context = self.inner.journal.context(tenant, &self.state, until, &self.inner.faults).await?;
            self.context = Some(context);
        }
        if let Some(context) = &self.context {
            self.prompt.extend(&self.state, context);
        }
        Ok(())
    }

    /// Commits the intent of the wanted inference, then makes it.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        self.ensure_prompt().await?;
        let spec = Arc::clone(&self.state.spec);
        let failures = self.state.turn.as_ref().map_or(0, |turn| turn.failures);
        let points = (Point::IntentDecided, Point::IntentCommitted);
        let Some(deployment) = self.inner.deployments.pick(&spec.model, failures).cloned() else {
            let message = format!("no deployment serves the model {:?}", spec.model);
            self.own(Command::GiveUp(TurnError { code: ErrorCode::ResourceNotFound, message }), points).await;
            return Ok(());
        };
        let route = deployment.route(spec.sampling.max_output_tokens);
        let prompt = self.prompt_digest(&[self.prompt.digest()]);
        let epoch = self.inner.leases.epoch(self.session.shard())?;
        let begin = Command::Begin(Box::new(Begin { epoch, route, prompt }));
        let early = self.inner.faults.has(Bug::EffectBeforeIntent).then(|| {
            let request = self.request(&deployment, self.state.sequence.next());
            Call::start(&self.inner.tasks, self.permit(), Arc::clone(&deployment.provider), request)
        });
        if early.is_some() {
            tokio::task::yield_now().await;
        }
        self.own(begin, points).await;
        let permit = self.permit();
        let Some(turn) = &self.state.turn else { return Ok(()) };
        let Some(open) = &turn.inference else { return Ok(()) };
        let (intent, may_continue) = (open.intent, open.intended.continues.is_some());
        self.shown = Assembly::resuming(turn.continued.as_ref());
        let call = early.unwrap_or_else(|| {
            let request = self.request(&deployment, intent);
            let provider = Arc::clone(&deployment.provider);
            if !attach::refers(&request.input) {
                return Call::start(&self.inner.tasks, permit, provider, request);
            }
            let tenant = self.tenant.clone().unwrap_or_else(|| Tenant(Arc::from("")));
            let whole = attach::whole(Arc::clone(&self.inner), tenant, request);
            Call::start_with(&self.inner.tasks, permit, provider, whole)
        });
        let working = self.inner.leases.begin_work(self.session.shard());
        self.running = Some(Running { intent, call, stays: None, deployment, continued: None, may_continue, working });
        Ok(())
    }

    /// Keyed digest of what is sent, hex.
    pub(super) fn prompt_digest(&self, parts: &[&[u8]]) -> String {
        let tenant = self.tenant.clone().unwrap_or_else(|| Tenant(Arc::from("")));
        let digest = self.inner.journal.keyring.digest(&tenant, "prompt", parts);
        data_encoding::HEXLOWER.encode(&digest[..16])
    }

    /// Holds as long as the lease is the one of now and the process is not to end.
    pub(super) fn permit(&self) -> Permit {
        let (inner, shard) = (Arc::clone(&self.inner), self.session.shard());
        let epoch = inner.leases.epoch(shard).ok();
        Box::new(move || inner.is_running() && epoch.is_some_and(|epoch| inner.leases.permits(shard, epoch)))
    }

    pub(super) fn request(&self, deployment: &Deployment, intent: Sequence) -> Request {
        let spec = &self.state.spec;
        let turn = self.state.turn.as_ref();
        let open = turn.and_then(|turn| turn.inference.as_ref());
        let limit = open.and_then(|open| open.intended.route.max_output_tokens);
        let continued = turn.and_then(|turn| turn.continued.as_ref());
        let mut request = request_of(spec, self.context.as_ref().map(Context::render).unwrap_or_default());
        request.tools = self.state.offered();
        request.upstream_model.clone_from(&deployment.upstream_model);
        request.deployment.clone_from(&deployment.name);
        request.prefix = continued.map(|continued| continued.text.to_string());
        request.sampling.max_output_tokens = limit.or(request.sampling.max_output_tokens);
        request.idempotency_key = format!("{}-{}", self.session, intent.0);
        request
    }

    /// After a commit: an inference that the journal has closed is stopped.
    pub(crate) fn follow_inference(&mut self) {
        let open = self.state.turn.as_ref().and_then(|turn| turn.inference.as_ref()).map(|open| open.intent);
        if open.is_none() {
            self.shown = Assembly::default();
        }
        if self.running.as_ref().is_some_and(|running| Some(running.intent) != open) {
            self.running = None;
        }
    }

    pub(super) async fn take_steps(&mut self, steps: Vec<Step>) {
        if self.running.as_ref().is_some_and(|running| running.stays.is_some()) {
            return self.take_digest(steps).await;
        }
        let mut shown = Vec::new();
        let mut ended = None;
        let mut length: usize = self.shown.pieces.iter().map(|piece| piece.text.len()).sum();
        for step in steps {
            match step {
                Step::Delta(delta) => {
                    length = length.saturating_add(size(&delta));
                    if length > MAX_SHOWN {
                        ended = Some(Err(too_long()));
                        break;
                    }
                    shown.extend(self.shown_as(delta));
                }
                Step::Ended(result) => ended = Some(result),
            }
        }
        let first = self.next_ordinal;
        self.next_ordinal += shown.len() as u64;
        match ended {
            None if shown.is_empty() => {}
            None => self.show(first, shown).await,
            Some(result) => {
                let moments = self.note(first, shown);
                self.record(result, moments).await;
            }
        }
    }

    /// The delta as it is journaled; `None` where it restarts an item that goes on.
    fn shown_as(&mut self, mut delta: Delta) -> Option<Shown> {
        let running = self.running.as_mut()?;
        let mut intent = running.intent;
        let continued = self.state.turn.as_ref().and_then(|turn| turn.continued.as_ref());
        if let (true, Some(continued)) = (running.may_continue, continued) {
            match &mut delta {
                Delta::Started { index, kind: ItemKind::Message } if running.continued.is_none() => {
                    running.continued = Some(*index);
                    return None;
                }
                Delta::Text { index, .. } | Delta::Logprobs { index, .. } | Delta::Done { index, .. }
                    if running.continued == Some(*index) =>
                {
                    intent = continued.id.sequence;
                    *index = continued.id.ordinal;
                }
                _ => {}
            }
        }
        self.tell_served(&mut delta);
        Some(Shown { intent, delta })
    }

    /// Marks a call that the runtime runs.
    fn tell_served(&self, delta: &mut Delta) {
        let Delta::Started { kind, .. } = delta else { return };
        if let ItemKind::ToolCall { name, provider_call_id } = kind
            && let Some(served) = self.state.served_by(name)
        {
            let (name, provider_call_id) = (std::mem::take(name), provider_call_id.take());
            *kind = ItemKind::ServedCall { name, provider_call_id, served: Box::new(served) };
        }
    }

    /// Adds deltas to what was shown; they stand after the last event.
    fn note(&mut self, first: u64, shown: Vec<Shown>) -> Vec<Moment> {
        let after = self.state.sequence;
        let mut moments = Vec::with_capacity(shown.len());
        for (ordinal, shown) in (first..).zip(shown) {
            self.shown.push(self.session, after, ordinal, &shown);
            moments.push(Moment { cursor: Cursor { sequence: after, ordinal }, what: What::Shown(shown) });
        }
        moments
    }

    /// Commits deltas as a frame, then shows them.
    pub(super) async fn show(&mut self, first: u64, shown: Vec<Shown>) {
        let last = first + shown.len() as u64 - 1;
        let slice = Slice { after: self.state.sequence, first, shown };
        let faults = &self.inner.faults;
        let is_at_rest = self.state.spec.retention == Retention::Keep && !faults.has(Bug::FrameNotWritten);
        if faults.has(Bug::FrameShownBeforeCommit) {
            let moments = self.note(first, slice.shown.clone());
            self.inner.hub.publish(self.session, moments);
        }
        let faults = &self.inner.faults;
        faults.pass(Point::FrameReady);
        if is_at_rest && !self.write_frame(&slice, last).await {
            return;
        }
        let faults = &self.inner.faults;
        faults.pass(Point::FrameCommitted);
        if !faults.has(Bug::FrameShownBeforeCommit) {
            let moments = self.note(first, slice.shown);
            self.inner.hub.publish(self.session, moments);
        }
        self.last_shown = last;
        if let Some(running) = &mut self.running {
            running.call.has_shown();
        }
    }

    /// Whether the slice is durable now. If not, the session is loaded anew.
    async fn write_frame(&mut self, slice: &Slice, last: u64) -> bool {
        let Some(sealer) = &self.sealer else { return false };
        let Ok(bytes) = self.inner.journal.seal_slice(sealer, slice) else { return false };
        let frame = Frame { session: self.session, first: slice.first, last, bytes };
        let mut wait = RETRY;
        let (inner, shard) = (Arc::clone(&self.inner), self.session.shard());
        let leases = &inner.leases;
        // The epoch under which an attempt was sent whose outcome is not known yet.
        let mut in_doubt = None;
        loop {
            let Some(lease) = leases.current(shard) else { return self.give_up_frame(&StoreError::Fenced) };
            let written = match in_doubt {
                Some(epoch) => self.is_held(&frame, epoch).await,
                None => self.inner.journal.store.append_frames(lease, frame.clone()).await.map(|()| true),
            };
            match written {
                Ok(true) => return true,
                Ok(false) => in_doubt = None,
                Err(StoreError::Fenced) if leases.settled(shard).await.is_some_and(|now| now != lease) => {}
                Err(StoreError::Unknown(_)) => in_doubt = Some(lease.epoch),
                Err(error @ (StoreError::Full | StoreError::Unavailable(_))) if self.inner.is_running() => {
                    self.wait_out(wait, &error.into()).await;
                    wait = (wait * 2).min(MAX_RETRY);
                }
                Err(error) => return self.give_up_frame(&error),
            }
        }
    }

    fn give_up_frame(&mut self, error: &StoreError) -> bool {
        if *error == StoreError::Fenced {
            self.inner.lose(self.session.shard());
        }
        tracing::warn!(session = %self.session, %error, "a frame was not written");
        self.running = None;
        self.is_stale = true;
        false
    }

    /// Whether a frame that was sent under `epoch` was applied; final, because the epoch is over.
    async fn is_held(&self, frame: &Frame, epoch: Epoch) -> Result<bool, StoreError> {
        let retaken = self.inner.leases.retake(self.session.shard(), epoch).await;
        if retaken.map_err(|error| StoreError::Unavailable(error.to_string()))?.is_none() {
            return Err(StoreError::Fenced);
        }
        let Some(tenant) = &self.tenant else { return Ok(false) };
        let held = self.inner.journal.store.frames(tenant, self.session).await?;
        Ok(held.iter().any(|held| held.first == frame.first))
    }

    pub(super) async fn record(&mut self, result: Result<Finished, Failure>, shown: Vec<Moment>) {
        let Some(running) = &self.running else { return };
        let (intent, stays) = (running.intent, running.stays.clone());
        let receipt = match &result {
            Err(failure) if failure.kind == FailureKind::Connect => meter::nothing(),
            result => self.estimate(result.as_ref().ok()),
        };
        let record = RecordInference { intent, result, receipt };
        let command = match stays {
            Some(stays) => Command::RecordCompaction(Box::new(RecordCompaction { record, stays })),
            None => Command::RecordInference(Box::new(record)),
        };
        if let Ok(decision) = self.decide(command) {
            self.commit_shown(decision, shown, (Point::OutcomeDecided, Point::OutcomeCommitted)).await;
        } else {
            self.running = None;
            self.is_stale = true;
        }
    }
}

/// Bytes that a delta adds to its item.
pub(super) fn size(delta: &Delta) -> usize {
    match delta {
        Delta::Started { .. } => 0,
        Delta::Text { text, .. } => text.len(),
        Delta::Logprobs { logprobs, .. } => serde_json::to_vec(logprobs).map_or(0, |json| json.len()),
        Delta::Done { opaque, .. } => opaque.as_ref().map_or(0, String::len),
    }
}

pub(super) fn too_long() -> Failure {
    let message = "the model wrote more than may be kept".to_owned();
    Failure { kind: FailureKind::Protocol, message, retry_after_ms: None }
}

/// Waits for the next steps of the inference under way; for ever if there is none.
pub(super) async fn next_steps(running: &mut Option<Running>) -> Vec<Step> {
    match running {
        Some(running) => running.call.next().await,
        None => std::future::pending().await,
    }
}
