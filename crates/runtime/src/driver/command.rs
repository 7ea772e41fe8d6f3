//! What clients send to a session: commands and looks.

use std::sync::Arc;

use mainstay_session::{Command, Refusal, State, command::Decision, context::Context, feed::Cursor, spec::Retention};
use mainstay_store::seam::Idempotency;
use mainstay_vocabulary::Sequence;

use super::{Ask, Driver, Message, View};
use crate::{
    commit::{Failed, Proposal},
    engine::{Accepted, Caller},
    error::Error,
    fault::{Bug, Point},
};

/// Times a command is decided anew because the session moved on elsewhere.
const MAX_RELOADS: usize = 8;

/// Whether a command goes on with the conversation.
fn adds(command: &Command) -> bool {
    match command {
        Command::Accept(_) | Command::AddItems(_) | Command::Compact | Command::ReturnCall { .. } => true,
        Command::All(commands) => commands.iter().any(adds),
        _ => false,
    }
}

impl Driver {
    pub(super) async fn take(&mut self, message: Message) {
        match message {
            Message::Wake => {}
            Message::View(caller, reply) => drop(reply.send(self.view(&caller))),
            Message::Command(ask) => {
                let Ask { caller, command, idempotency, reply } = *ask;
                if self.inner.faults.has(Bug::AckBeforeCommit) {
                    if let Ok(decision) = self.decide_as(&caller.principal, command.clone()) {
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

    pub(super) fn view(&self, caller: &Caller) -> Result<View, Error> {
        if !self.is_visible_to(caller) || self.state.sequence.0 == 0 || self.state.deleted {
            return Err(Error::NotFound);
        }
        let last = Cursor { sequence: self.state.sequence, ordinal: self.last_shown };
        Ok(View { state: Arc::clone(&self.state), last })
    }

    fn is_visible_to(&self, caller: &Caller) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == caller.tenant)
    }

    /// Whether the session's content was never at rest and has left memory: what was said cannot be gone on with.
    fn is_forgotten(&self) -> bool {
        self.state.spec.retention == Retention::ReceiptOnly && self.state.sequence.0 > 0 && self.context.is_none()
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
            if self.is_forgotten() && adds(&command) {
                return Err(Refusal::NotKept.into());
            }
            let before = self.state.sequence;
            let decision = match self.decide_as(&caller.principal, command.clone()) {
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
                    return Ok(Accepted {
                        first: known.sequence,
                        replayed: true,
                        ..self.accepted(Arc::clone(&self.state), before)
                    });
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
            (Some(tenant), Some(fork)) => {
                let place = (fork.session, fork.sequence);
                self.inner.journal.context_of(tenant, place, &self.inner.faults).await
            }
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
}
