//! One session's loop: take a command, decide, commit, name the next effect, perform it. Everything that happens to a
//! session goes through here, one thing at a time.

mod command;
mod compaction;
mod effect;
mod inference;
mod take_over;

use std::{pin::pin, sync::Arc, time::Duration};

use mainstay_seal::{Hash, Sealer};
use mainstay_session::{
    Command, Envelope, Refusal, State,
    assembly::Assembly,
    command::Decision,
    context::Context,
    event::Receipt,
    feed::{Cursor, Moment},
    turn::{self, Wanted},
};
use mainstay_store::seam::Idempotency;
use mainstay_vocabulary::{Principal, Sequence, SessionId, Tenant, Timestamp, inference::Finished};
use tokio::sync::{mpsc, oneshot};

use self::inference::{Running, next_steps};
use crate::{
    commit::{Failed, Proposal},
    engine::{Accepted, Caller, Inner},
    error::Error,
    fault::{Bug, Point},
    journal::Journal,
    meter,
    perform::call::Calls,
    prompt::Prompt,
    task::{Stage, TaskKind},
};

/// How long a session that rests stays in memory: the next turn of a busy one then needs no reading.
const LINGER: Duration = Duration::from_secs(20);
/// Sessions in memory beyond which one that rests leaves at once: new ones need the room.
const CROWD: usize = 8_192;
/// First wait before an outcome that could not be committed is tried again; doubles.
const RETRY: Duration = Duration::from_millis(20);
/// Longest such wait.
const MAX_RETRY: Duration = Duration::from_secs(2);
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
    /// Tools that are listed and calls that are made.
    calls: Calls,
    /// Calls whose intents are committed and that are to be made: their `CallOpened` and `CallIntended`.
    intended: Vec<(Sequence, Sequence)>,
    /// The ordinal of the last delta that followers have seen.
    pub(crate) last_shown: u64,
    is_stale: bool,
    /// When a delivery that could not be made is tried again, and how long after that.
    pub(crate) deliver_at: Timestamp,
    pub(crate) deliver_in: Duration,
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
            chain: Journal::genesis(session),
            context: None,
            since_snapshot: 0,
            next_ordinal: 1,
            prompt: Prompt::default(),
            shown: Assembly::default(),
            running: None,
            calls: Calls::default(),
            intended: Vec::new(),
            last_shown: 0,
            is_stale: false,
            deliver_at: Timestamp(0),
            deliver_in: RETRY,
            reload_in: RETRY,
            inbox,
        }
    }

    async fn run(&mut self) {
        let mut stage = self.inner.tasks.stage();
        let inner = Arc::clone(&self.inner);
        loop {
            if *stage.borrow() == Stage::Stopped {
                return self.refuse_all(&Error::Unavailable("the server is stopping".to_owned()));
            }
            // Waits from before it looks.
            let mut changed = pin!(inner.leases.change());
            changed.as_mut().enable();
            if !self.inner.leases.is_held(self.session.shard()) {
                return self.refuse_all(&Error::Elsewhere);
            }
            if self.is_stale
                && let Err(error) = self.load().await
            {
                return self.refuse_all(&error);
            }
            if self.is_at_rest() && !self.inner.leases.is_serving(self.session.shard()) {
                // The shard is about to be another node's: what waits is still taken, nothing new begins.
                match self.inbox.try_recv() {
                    Ok(message) => self.take(message).await,
                    Err(_) if self.inner.retire(self.session, &self.inbox) => return,
                    Err(_) => {}
                }
                continue;
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
                () = &mut changed => {}
                message = self.inbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
                steps = next_steps(&mut self.running) => self.take_steps(steps).await,
                back = self.calls.next() => self.take_back(back).await,
                () = tokio::time::sleep(sleep) => {
                    if self.rests() && !self.is_due() && self.inner.retire(self.session, &self.inbox) {
                        return;
                    }
                }
            }
        }
    }

    /// Does everything that the session wants and that can be begun now.
    async fn advance(&mut self) -> Result<(), Error> {
        if self.is_due() {
            self.own(Command::CheckDeadline, (Point::OutcomeDecided, Point::OutcomeCommitted)).await;
        }
        self.dispatch();
        while self.running.is_none() && !self.is_stale && self.may_begin() {
            match turn::next(&self.state) {
                None => break,
                Some(
                    Wanted::Infer { not_before: Some(at) }
                    | Wanted::Compact { not_before: Some(at) }
                    | Wanted::Call { not_before: Some(at), .. },
                ) if at > self.inner.clock.now() => {
                    break;
                }
                Some(Wanted::Incorporate) => {
                    self.own(Command::Incorporate, (Point::IntentDecided, Point::IntentCommitted)).await;
                }
                Some(Wanted::Infer { .. }) => self.begin().await?,
                Some(Wanted::Compact { .. }) => self.compact().await?,
                Some(Wanted::Truncate) => self.truncate().await?,
                Some(Wanted::ListTools { .. }) if self.calls.is_listing() => break,
                Some(Wanted::ListTools { toolset }) => self.list_tools(toolset),
                Some(Wanted::Call { call, .. }) => {
                    self.begin_call(call).await?;
                    self.dispatch();
                }
                Some(Wanted::Deliver { .. }) if self.deliver_at > self.inner.clock.now() => break,
                Some(Wanted::Deliver { invocation }) => self.deliver(invocation).await,
            }
        }
        Ok(())
    }

    /// Whether the session may begin something that takes time.
    fn may_begin(&self) -> bool {
        self.inner.tasks.is_serving() && self.inner.leases.is_serving(self.session.shard())
    }

    fn is_due(&self) -> bool {
        turn::deadline(&self.state).is_some_and(|at| at <= self.inner.clock.now())
    }

    fn rests(&self) -> bool {
        self.is_at_rest() && !self.state.is_open()
    }

    /// Whether nothing is under way.
    fn is_at_rest(&self) -> bool {
        self.running.is_none() && self.calls.is_empty()
    }

    fn time_to_sleep(&self) -> Duration {
        if self.state.sequence.0 == 0 {
            return Duration::ZERO;
        }
        if !self.inner.tasks.is_serving() {
            return LINGER;
        }
        let retry = match turn::next(&self.state) {
            Some(Wanted::Infer { not_before } | Wanted::Compact { not_before } | Wanted::Call { not_before, .. }) => {
                not_before
            }
            Some(Wanted::Deliver { .. }) => Some(self.deliver_at),
            Some(Wanted::Incorporate | Wanted::Truncate | Wanted::ListTools { .. }) | None => None,
        };
        let until = [turn::deadline(&self.state), retry].into_iter().flatten().min();
        let Some(until) = until else {
            let is_crowded = self.inner.tasks.running(TaskKind::Session) > CROWD;
            return if is_crowded { Duration::ZERO } else { LINGER };
        };
        let left = until.0.saturating_sub(self.inner.clock.now().0);
        // A timer finds one that rests again: it need not stay in memory for it.
        Duration::from_millis(left.max(1)).min(if self.rests() { LINGER } else { MAX_SLEEP })
    }

    /// Decides a command of the runtime itself.
    fn decide(&self, command: Command) -> Result<Box<Decision>, Refusal> {
        self.decide_as(&Principal(Arc::from(RUNTIME)), command)
    }

    fn decide_as(&self, actor: &Principal, command: Command) -> Result<Box<Decision>, Refusal> {
        let estimate = self.estimate(None);
        let rulings = self.rulings(&command, actor);
        let envelope = Envelope {
            command,
            at: self.inner.clock.now(),
            session: self.session,
            shown: &self.shown,
            estimate: &estimate,
            actor,
            epoch: self.inner.leases.epoch(self.session.shard()).unwrap_or_default(),
            rulings: &rulings,
        };
        turn::decide(&self.state, envelope).map(Box::new)
    }

    /// What the open inference is booked as.
    fn estimate(&self, finished: Option<&Finished>) -> Receipt {
        let open = self.state.turn.as_ref().and_then(|turn| turn.inference.as_ref());
        let deployment = self
            .running
            .as_ref()
            .map(|running| &running.deployment)
            .or_else(|| open.and_then(|open| self.inner.deployments.named(&open.intended.route.deployment)));
        let size = meter::Size { prompt: self.prompt.bytes(), written: meter::written(&self.shown) };
        meter::receipt(deployment, finished, size)
    }

    /// Decides and commits a command of the runtime itself; tries until it is committed or not wanted any more.
    pub(crate) async fn own(&mut self, command: Command, points: (Point, Point)) {
        if let Ok(decision) = self.decide(command)
            && !decision.events.is_empty()
        {
            self.commit_own(decision, points).await;
        }
    }

    async fn commit_own(&mut self, decision: Box<Decision>, points: (Point, Point)) {
        self.commit_shown(decision, Vec::new(), points).await;
    }

    /// Commits what must not be lost. The session takes nothing else meanwhile; a full disk is waited for.
    async fn commit_shown(&mut self, decision: Box<Decision>, shown: Vec<Moment>, points: (Point, Point)) {
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
        if self.inner.is_running() && *error == Error::Elsewhere {
            tracing::debug!(session = %self.session, "a session leaves for another node");
            self.inner.hub.reset(self.session);
        } else if self.inner.is_running() {
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
