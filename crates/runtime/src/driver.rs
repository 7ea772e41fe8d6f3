//! One session's loop: take a command, decide, commit, name the next effect, perform it. Everything that happens to a
//! session goes through here, one thing at a time.

mod inference;

use std::{sync::Arc, time::Duration};

use mainstay_seal::{Hash, Sealer};
use mainstay_session::{
    Command, Envelope, Event, Refusal, State,
    assembly::Assembly,
    command::Decision,
    context::Context,
    event::Receipt,
    feed::{Cursor, Moment},
    spec::Retention,
    turn::{self, Wanted},
};
use mainstay_store::seam::Idempotency;
use mainstay_vocabulary::{Principal, Sequence, SessionId, Tenant, inference::Finished};
use tokio::sync::{mpsc, oneshot};

use self::inference::{Running, next_steps};
use crate::{
    commit::{Failed, Proposal, genesis},
    engine::{Accepted, Caller, Inner},
    error::Error,
    fault::{Bug, Point},
    journal::Loaded,
    meter,
    prompt::Prompt,
    task::Stage,
};

/// How long a session that rests stays in memory: the next turn of a busy one then needs no reading.
const LINGER: Duration = Duration::from_secs(20);
/// First wait before an outcome that could not be committed is tried again; doubles.
const RETRY: Duration = Duration::from_millis(20);
/// Longest such wait.
const MAX_RETRY: Duration = Duration::from_secs(2);
/// Times a client's command is decided anew because the session moved on elsewhere.
const MAX_RELOADS: usize = 8;
/// The longest single sleep: a timer further away is looked at again.
const MAX_SLEEP: Duration = Duration::from_secs(3_600);
/// Who acts when the runtime itself does.
const RUNTIME: &str = "runtime";

/// What may be sent to a session's driver.
pub(crate) enum Message {
    /// A client's command.
    Command(Box<Ask>),
    /// Asks for the session as it stands.
    View(Caller, oneshot::Sender<Result<View, Error>>),
    /// Load the session and do what it wants.
    Wake,
}

/// A client's command.
pub(crate) struct Ask {
    pub(crate) caller: Caller,
    pub(crate) command: Command,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) reply: oneshot::Sender<Result<Accepted, Error>>,
}

/// A session as it stands, with the last place that was shown.
pub(crate) struct View {
    pub(crate) state: Arc<State>,
    pub(crate) last: Cursor,
}

/// One session in memory.
pub(crate) struct Driver {
    pub(crate) inner: Arc<Inner>,
    pub(crate) session: SessionId,
    pub(crate) tenant: Option<Tenant>,
    pub(crate) sealer: Option<Sealer>,
    pub(crate) state: Arc<State>,
    pub(crate) chain: Hash,
    pub(crate) context: Option<Context>,
    pub(crate) since_snapshot: u64,
    pub(crate) next_ordinal: u64,
    prompt: Prompt,
    shown: Assembly,
    running: Option<Running>,
    /// The ordinal of the last delta that followers have seen.
    pub(crate) last_shown: u64,
    is_stale: bool,
    /// How long to wait before a stale session is loaded again.
    reload_in: Duration,
    inbox: mpsc::Receiver<Message>,
}

/// Drives a session until it rests.
pub(crate) async fn drive(inner: Arc<Inner>, session: SessionId, inbox: mpsc::Receiver<Message>) {
    let mut driver = Driver::unborn(inner, session, inbox);
    if let Err(error) = driver.load().await {
        return driver.refuse_all(&error);
    }
    driver.run().await;
}

impl Driver {
    fn unborn(inner: Arc<Inner>, session: SessionId, inbox: mpsc::Receiver<Message>) -> Self {
        Self {
            inner,
            session,
            tenant: None,
            sealer: None,
            state: Arc::new(State::unborn(session)),
            chain: genesis(session),
            context: None,
            since_snapshot: 0,
            next_ordinal: 1,
            prompt: Prompt::default(),
            shown: Assembly::default(),
            running: None,
            last_shown: 0,
            is_stale: false,
            reload_in: RETRY,
            inbox,
        }
    }

    /// Loads the session and takes over what an earlier incarnation left open.
    async fn load(&mut self) -> Result<(), Error> {
        let loaded = self.inner.journal.load(self.session).await?;
        self.is_stale = false;
        let Some(loaded) = loaded else { return Ok(()) };
        // What is in memory has been committed: where nothing was added it holds, and more than the journal may keep.
        let is_unchanged = self.sealer.is_some() && loaded.state.sequence == self.state.sequence;
        if !is_unchanged {
            self.take_over(loaded);
        }
        self.follow_inference();
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
        self.ensure_prompt().await?;
        let epoch = self.inner.leases.current().epoch;
        let decided = self.decide(Command::Recover { epoch });
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

    async fn run(&mut self) {
        let mut stage = self.inner.tasks.stage();
        let mut steps = Vec::new();
        loop {
            if *stage.borrow() == Stage::Stopped {
                return self.refuse_all(&Error::Unavailable("the server is stopping".to_owned()));
            }
            if self.is_stale
                && let Err(error) = self.load().await
            {
                return self.refuse_all(&error);
            }
            if let Err(error) = self.advance().await {
                return self.refuse_all(&error);
            }
            if self.is_stale {
                // What made it stale may last: it is not loaded in a hot loop.
                tokio::time::sleep(self.reload_in).await;
                self.reload_in = (self.reload_in * 2).min(MAX_RETRY);
                continue;
            }
            self.reload_in = RETRY;
            let sleep = self.time_to_sleep();
            tokio::select! {
                biased;
                _ = stage.changed() => {}
                message = self.inbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
                () = next_steps(&mut self.running, &mut steps) => self.take_steps(&mut steps).await,
                () = tokio::time::sleep(sleep) => {
                    if self.rests() && self.inner.retire(self.session, &self.inbox) {
                        return;
                    }
                }
            }
        }
    }

    /// Does everything that the session wants and that can be begun now.
    async fn advance(&mut self) -> Result<(), Error> {
        let now = self.inner.clock.now();
        if turn::deadline(&self.state).is_some_and(|at| at <= now) {
            self.own(Command::CheckDeadline, (Point::OutcomeDecided, Point::OutcomeCommitted)).await;
        }
        while self.running.is_none() && !self.is_stale && self.inner.tasks.is_serving() {
            match turn::next(&self.state) {
                None => break,
                Some(Wanted::Infer { not_before: Some(at) }) if at > self.inner.clock.now() => break,
                Some(Wanted::Incorporate) => {
                    self.own(Command::Incorporate, (Point::IntentDecided, Point::IntentCommitted)).await;
                }
                Some(Wanted::Infer { .. }) => self.begin().await?,
            }
        }
        Ok(())
    }

    fn rests(&self) -> bool {
        self.running.is_none() && self.state.turn.as_ref().is_none_or(|_| !self.state.is_open())
    }

    fn time_to_sleep(&self) -> Duration {
        if self.state.sequence.0 == 0 {
            return Duration::ZERO;
        }
        if !self.inner.tasks.is_serving() {
            return LINGER;
        }
        let retry = match turn::next(&self.state) {
            Some(Wanted::Infer { not_before }) => not_before,
            Some(Wanted::Incorporate) | None => None,
        };
        let until = [turn::deadline(&self.state), retry].into_iter().flatten().min();
        let Some(until) = until else { return LINGER };
        let left = until.0.saturating_sub(self.inner.clock.now().0);
        Duration::from_millis(left.max(1)).min(MAX_SLEEP)
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Wake => {}
            Message::View(caller, reply) => drop(reply.send(self.view(&caller))),
            Message::Command(ask) => {
                let Ask { caller, command, idempotency, reply } = *ask;
                if self.inner.faults.has(Bug::AckBeforeCommit) {
                    if let Ok(decision) = self.decide(command.clone()) {
                        let state = Arc::new(decision.after);
                        let _ = reply.send(Ok(self.accepted(state, self.state.sequence)));
                    }
                    let _ = self.command(&caller, command, idempotency).await;
                    return;
                }
                let answer = self.command(&caller, command, idempotency).await;
                let _ = reply.send(answer);
            }
        }
    }

    fn view(&self, caller: &Caller) -> Result<View, Error> {
        if !self.is_visible_to(caller) || self.state.sequence.0 == 0 || self.state.deleted {
            return Err(Error::NotFound);
        }
        let last = Cursor { sequence: self.state.sequence, ordinal: self.last_shown };
        Ok(View { state: Arc::clone(&self.state), last })
    }

    fn is_visible_to(&self, caller: &Caller) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == caller.tenant)
    }

    async fn command(
        &mut self,
        caller: &Caller,
        command: Command,
        idempotency: Option<Idempotency>,
    ) -> Result<Accepted, Error> {
        if self.tenant.is_none() {
            self.sealer = Some(self.inner.journal.sealer(&caller.tenant, self.session)?);
        }
        for _ in 0..MAX_RELOADS {
            if !self.is_visible_to(caller) {
                return Err(Error::NotFound);
            }
            let before = self.state.sequence;
            let decision = match self.decide(command.clone()) {
                Ok(decision) => decision,
                Err(refusal) => return self.refused(refusal, idempotency.as_ref()).await,
            };
            if decision.events.is_empty() {
                return Ok(self.accepted(Arc::clone(&self.state), before));
            }
            self.tenant.get_or_insert_with(|| caller.tenant.clone());
            if before.0 == 0 {
                self.context = Some(self.inherited(&decision).await?);
            }
            let proposal = Proposal {
                decision,
                principal: caller.principal.clone(),
                idempotency: idempotency.clone(),
                shown: Vec::new(),
                points: (Point::CommandDecided, Point::CommandCommitted),
            };
            let failed = match self.commit(proposal).await {
                Ok(()) => return Ok(self.accepted(Arc::clone(&self.state), before)),
                Err(failed) => failed,
            };
            if before.0 == 0 {
                self.tenant = None;
            }
            match failed {
                Failed::Moved => self.load().await?,
                Failed::Duplicate(known) if idempotency.as_ref().is_some_and(|mine| mine.request == known.request) => {
                    return Ok(Accepted { first: known.sequence, replayed: true, ..self.accepted(Arc::clone(&self.state), before) });
                }
                Failed::Duplicate(_) => return Err(Error::IdempotencyMismatch),
                Failed::Error(error) => {
                    self.is_stale = true;
                    return Err(error);
                }
            }
        }
        Err(Error::Unavailable("the session is changed elsewhere".to_owned()))
    }

    /// The answer to a command that is refused. An attempt under the same key may have been accepted while this one
    /// waited, and be the very reason.
    async fn refused(&self, refusal: Refusal, idempotency: Option<&Idempotency>) -> Result<Accepted, Error> {
        let Some(mine) = idempotency.filter(|_| !self.state.deleted) else { return Err(refusal.into()) };
        match self.inner.journal.store.remembered(self.session.shard(), mine.scope).await? {
            Some(known) if known.request == mine.request => {
                let accepted = self.accepted(Arc::clone(&self.state), self.state.sequence);
                Ok(Accepted { first: known.sequence, replayed: true, ..accepted })
            }
            Some(_) => Err(Error::IdempotencyMismatch),
            None => Err(refusal.into()),
        }
    }

    /// The context that a new session begins with. What is never at rest could not be read back later.
    async fn inherited(&self, decision: &Decision) -> Result<Context, Error> {
        match (&self.tenant, decision.after.parent) {
            (Some(tenant), Some(fork)) => self.inner.journal.context(tenant, fork.session, fork.sequence).await,
            _ => Ok(Context::default()),
        }
    }

    fn accepted(&self, state: Arc<State>, before: Sequence) -> Accepted {
        Accepted {
            session: self.session,
            first: before.next(),
            sequence: state.sequence,
            at: state.active_at,
            replayed: false,
            state,
        }
    }

    fn decide(&self, command: Command) -> Result<Decision, Refusal> {
        let estimate = self.estimate(None);
        let at = self.inner.clock.now();
        let envelope = Envelope { command, at, session: self.session, shown: &self.shown, estimate: &estimate };
        turn::decide(&self.state, envelope)
    }

    /// What the open inference is booked as.
    fn estimate(&self, finished: Option<&Finished>) -> Receipt {
        let open = self.state.turn.as_ref().and_then(|turn| turn.inference.as_ref());
        let deployment = self.running.as_ref().map(|running| &running.deployment).or_else(|| {
            open.and_then(|open| self.inner.deployments.named(&open.intended.route.deployment))
        });
        meter::receipt(deployment, finished, self.prompt.bytes(), &self.shown)
    }

    /// Decides and commits a command of the runtime itself; tries until it is committed or not wanted any more.
    async fn own(&mut self, command: Command, points: (Point, Point)) {
        if let Ok(decision) = self.decide(command)
            && !decision.events.is_empty()
        {
            self.commit_own(decision, points).await;
        }
    }

    async fn commit_own(&mut self, decision: Decision, points: (Point, Point)) {
        self.commit_shown(decision, Vec::new(), points).await;
    }

    /// Commits what must not be lost. The session takes nothing else meanwhile; a full disk is waited for.
    async fn commit_shown(&mut self, decision: Decision, shown: Vec<Moment>, points: (Point, Point)) {
        let mut wait = RETRY;
        loop {
            let proposal = Proposal {
                decision: decision.clone(),
                principal: Principal(Arc::from(RUNTIME)),
                idempotency: None,
                shown: shown.clone(),
                points,
            };
            match self.commit(proposal).await {
                Ok(()) => return,
                Err(Failed::Error(error @ (Error::Full | Error::Unavailable(_))))
                    if self.inner.is_running() && !self.inner.faults.has(Bug::OutcomeDropped) =>
                {
                    self.wait_out(wait, &error).await;
                    wait = (wait * 2).min(MAX_RETRY);
                }
                Err(failed) => {
                    tracing::warn!(session = %self.session, ?failed, "a commit failed; the session is loaded anew");
                    self.running = None;
                    self.is_stale = true;
                    return;
                }
            }
        }
    }

    /// Waits until a write is tried again. Commands that come meanwhile are refused with its reason, reads are answered.
    async fn wait_out(&mut self, wait: Duration, error: &Error) {
        let sleep = tokio::time::sleep(wait);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                () = &mut sleep => return,
                message = self.inbox.recv() => match message {
                    Some(Message::Command(ask)) => drop(ask.reply.send(Err(error.clone()))),
                    Some(Message::View(caller, reply)) => drop(reply.send(self.view(&caller))),
                    Some(Message::Wake) => {}
                    None => return sleep.await,
                }
            }
        }
    }

    /// Answers everything that waits and leaves. Followers go back to the journal: it may hold what they were not shown.
    fn refuse_all(&mut self, error: &Error) {
        if self.inner.is_running() {
            tracing::warn!(session = %self.session, %error, "a session is set aside");
            self.inner.hub.reset(self.session);
        }
        loop {
            while let Ok(message) = self.inbox.try_recv() {
                match message {
                    Message::Command(ask) => drop(ask.reply.send(Err(error.clone()))),
                    Message::View(_, reply) => drop(reply.send(Err(error.clone()))),
                    Message::Wake => {}
                }
            }
            if self.inner.retire(self.session, &self.inbox) {
                return;
            }
        }
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
