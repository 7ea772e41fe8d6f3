//! A session's conversation, read back from its journal: for a model from the last place where it began anew, for people
//! from the first item of the oldest ancestor.

use mainstay_session::{
    Event, State,
    context::Context,
    event::{Base, Fork},
};
use mainstay_vocabulary::{Sequence, SessionId, Tenant};

use crate::{
    error::Error,
    fault::{Bug, Faults},
    journal::Journal,
};

/// Events read at once.
const PAGE: usize = 1_000;

/// Events of one session that a conversation is made of.
struct Stretch {
    session: SessionId,
    after: Sequence,
    until: Sequence,
}

impl Journal {
    /// What a model is shown of a session as it stood at `until`: reads no further back than the last place where the
    /// context began anew. `state` is the session as it stands now.
    pub(crate) async fn context(
        &self,
        tenant: &Tenant,
        state: &State,
        until: Sequence,
        faults: &Faults,
    ) -> Result<Context, Error> {
        let mut line = Vec::new();
        let mut session = state.session;
        let mut place = Some((state.context_base, state.parent, until));
        while let Some((base, parent, until)) = place {
            let begins = match base {
                Some(base) => self.base_at(tenant, (session, base), until).await?,
                None => None,
            };
            let after = begins.map_or(Sequence(0), |base| Sequence(base.from.0.saturating_sub(1)));
            let after = if faults.has(Bug::BaseForgotten) { begins.map_or(after, |base| base.at) } else { after };
            line.push(Stretch { session, after, until });
            place = match parent {
                Some(Fork { session: parent, sequence, .. }) if begins.is_none() => {
                    session = parent;
                    let loaded = self.load(parent).await?.ok_or(Error::NotFound)?;
                    Some((loaded.state.context_base, loaded.state.parent, sequence))
                }
                _ => None,
            };
        }
        self.fold(tenant, line, Context::default()).await
    }

    /// The same of a session that is not at hand.
    pub(crate) async fn context_of(
        &self,
        tenant: &Tenant,
        (session, until): (SessionId, Sequence),
        faults: &Faults,
    ) -> Result<Context, Error> {
        let loaded = self.load(session).await?.ok_or(Error::NotFound)?;
        self.context(tenant, &loaded.state, until, faults).await
    }

    /// All that was ever said in a session and what it forked off.
    pub(crate) async fn whole(&self, tenant: &Tenant, state: &State) -> Result<Context, Error> {
        let mut line = vec![Stretch { session: state.session, after: Sequence(0), until: state.sequence }];
        let mut parent = state.parent;
        while let Some(fork) = parent {
            line.push(Stretch { session: fork.session, after: Sequence(0), until: fork.sequence });
            let first = self.read(tenant, fork.session, Sequence(0), 1).await?;
            let Some(Event::SessionCreated(created)) = first.first().map(|recorded| &*recorded.event) else { break };
            parent = created.parent;
        }
        self.fold(tenant, line, Context::for_people()).await
    }

    /// The last beginning of a context at or before `until`.
    async fn base_at(
        &self,
        tenant: &Tenant,
        (session, mut base): (SessionId, Base),
        until: Sequence,
    ) -> Result<Option<Base>, Error> {
        while base.at > until {
            let before = Sequence(base.at.0.saturating_sub(1));
            let page = self.read(tenant, session, before, 1).await?;
            let Some(Event::ContextReplaced(replaced)) = page.first().map(|recorded| &*recorded.event) else {
                return Err(Error::Corrupt(format!("session {session} does not begin anew at {}", base.at.0)));
            };
            let Some(previous) = replaced.previous else { return Ok(None) };
            base = previous;
        }
        Ok(Some(base))
    }

    /// Folds stretches, the newest first in the list.
    async fn fold(&self, tenant: &Tenant, line: Vec<Stretch>, mut context: Context) -> Result<Context, Error> {
        for Stretch { session, mut after, until } in line.into_iter().rev() {
            while after < until {
                let limit = usize::try_from(until.0 - after.0).unwrap_or(PAGE).min(PAGE);
                let page = self.read(tenant, session, after, limit).await?;
                let Some(last) = page.last() else { break };
                after = last.sequence;
                page.iter().for_each(|recorded| context.apply(session, recorded.sequence, &recorded.event));
            }
        }
        Ok(context)
    }
}
