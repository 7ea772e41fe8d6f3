//! Reading: what the edge may ask of sessions without changing them.

use std::sync::Arc;

use mainstay_session::{
    State,
    command::Create,
    compaction,
    context::follow_calls,
    event::{Fork, Kind},
    feed::{Cursor, Recorded},
};
use mainstay_store::seam::{Direction, IndexQuery, Shards};
use mainstay_vocabulary::{Item, ItemId, Sequence, SessionId, TurnId};
use tokio::sync::oneshot;

use crate::{
    commit::{HIDDEN_TURNS, QUESTIONS, list_key, list_of},
    driver::{Message, View},
    engine::{Caller, Engine, Inner},
    error::Error,
    follow::{Follow, From},
};

/// Most sessions in one answer of a list: each is loaded.
const MAX_LISTED: usize = 100;

/// Which sessions to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// What they are for.
    pub kind: Kind,
    /// Only those beyond this one.
    pub after: Option<SessionId>,
    /// By creation, which way.
    pub direction: Direction,
    /// At most so many.
    pub limit: usize,
}

impl Engine {
    /// The session as it stands.
    ///
    /// # Errors
    /// `NotFound` also for deleted sessions and other tenants'.
    pub async fn state(&self, caller: &Caller, session: SessionId) -> Result<Arc<State>, Error> {
        Ok(self.inner.view(caller, session).await?.state)
    }

    /// Events after `after`, at most `limit` and 1,000.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unavailable`.
    pub async fn read(
        &self,
        caller: &Caller,
        session: SessionId,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        self.inner.view(caller, session).await?;
        self.inner.journal.read(&caller.tenant, session, after, limit).await
    }

    /// The conversation as people see it: all items that are not hidden, inherited ones included, each digest beside
    /// what it replaces for models.
    ///
    /// # Errors
    /// As `read`.
    pub async fn context(&self, caller: &Caller, session: SessionId) -> Result<Vec<(ItemId, Arc<Item>)>, Error> {
        let view = self.inner.view(caller, session).await?;
        Ok(self.inner.journal.whole(&caller.tenant, &view.state).await?.items)
    }

    /// What a model would be shown of a session as it stood at `until`, or as it stands.
    ///
    /// # Errors
    /// As `read`.
    pub async fn prompt(
        &self,
        caller: &Caller,
        session: SessionId,
        until: Option<Sequence>,
    ) -> Result<Vec<Arc<Item>>, Error> {
        let view = self.inner.view(caller, session).await?;
        let until = until.unwrap_or(view.state.sequence);
        let context = self.inner.journal.context(&caller.tenant, &view.state, until, &self.inner.faults).await?;
        Ok(context.render())
    }

    /// One piece of a stored file's content.
    ///
    /// # Errors
    /// As `read`.
    pub async fn file_part(&self, caller: &Caller, file: SessionId, part: Sequence) -> Result<Vec<u8>, Error> {
        self.inner.view(caller, file).await?;
        crate::attach::part(&self.inner, &caller.tenant, file, part).await
    }

    /// Whether a turn's object was hidden.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_turn_hidden(&self, caller: &Caller, turn: TurnId) -> Result<bool, Error> {
        let query = IndexQuery {
            shards: Shards::One(turn.session.shard()),
            tenant: caller.tenant.clone(),
            kind: HIDDEN_TURNS,
            prefix: turn.to_string().into_bytes(),
            after: None,
            direction: Direction::Ascending,
            limit: 1,
        };
        let exact = query.prefix.clone();
        Ok(self.inner.journal.store.list(query).await?.first().is_some_and(|row| row.key == exact))
    }

    /// Follows a session.
    ///
    /// # Errors
    /// As `read`.
    pub async fn follow(&self, caller: &Caller, session: SessionId, from: From) -> Result<Follow, Error> {
        let inner = Arc::clone(&self.inner);
        match from {
            From::Now => {
                let live = inner.listen_surely(session).await;
                let view = inner.view(caller, session).await?;
                Ok(Follow::from_view(inner, caller, view, live))
            }
            From::Start => {
                inner.view(caller, session).await?;
                Ok(Follow::after(inner, caller, session, Sequence(0)))
            }
            From::After(sequence) => {
                inner.view(caller, session).await?;
                Ok(Follow::after(inner, caller, session, sequence))
            }
        }
    }

    /// Sessions in which people are asked something, the oldest first; those after `after`.
    ///
    /// # Errors
    /// `NotFound` where `after` is none; `Unavailable`.
    pub async fn asking(
        &self,
        caller: &Caller,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Arc<State>>, Error> {
        let after = match after {
            Some(session) => Some(list_key(&*self.state(caller, session).await?)),
            None => None,
        };
        let query = IndexQuery {
            shards: Shards::All,
            tenant: caller.tenant.clone(),
            kind: QUESTIONS,
            prefix: Vec::new(),
            after,
            direction: Direction::Ascending,
            limit: limit.min(MAX_LISTED + 1),
        };
        let mut states = Vec::new();
        for row in self.inner.journal.store.list(query).await? {
            match self.state(caller, row.session).await {
                Ok(state) => states.push(state),
                // Deleted between the list and the look.
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(states)
    }

    /// Listed sessions of a kind, by creation; `after` is left out.
    ///
    /// # Errors
    /// `NotFound` if `after` does not exist; `Unavailable`.
    pub async fn list(&self, caller: &Caller, listing: Listing) -> Result<Vec<Arc<State>>, Error> {
        let Listing { kind, after, direction, limit } = listing;
        let after = match after {
            Some(session) => Some(list_key(&*self.state(caller, session).await?)),
            None => None,
        };
        let query = IndexQuery {
            shards: Shards::All,
            tenant: caller.tenant.clone(),
            kind: list_of(kind),
            prefix: Vec::new(),
            after,
            direction,
            limit: limit.min(MAX_LISTED + 1),
        };
        let mut states = Vec::new();
        for row in self.inner.journal.store.list(query).await? {
            match self.state(caller, row.session).await {
                Ok(state) => states.push(state),
                // Deleted between the list and the look.
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(states)
    }

    /// Turns `create` into a fork of `parent` at the end of a turn: everything up to `sequence` is inherited.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt`; `Unavailable`.
    pub async fn fork(
        &self,
        caller: &Caller,
        parent: SessionId,
        sequence: Sequence,
        mut create: Create,
    ) -> Result<Create, Error> {
        let view = self.inner.view(caller, parent).await?;
        let context = self.inner.journal.context(&caller.tenant, &view.state, sequence, &self.inner.faults).await?;
        let items: Vec<Arc<Item>> = context.items.into_iter().map(|(_, item)| item).collect();
        follow_calls(&mut create.created.unanswered, &items);
        let depth = view.state.parent.map_or(1, |fork| fork.depth.saturating_add(1));
        let tokens = compaction::tokens(items.iter().map(|item| compaction::size_of(item)).sum());
        create.created.parent = Some(Fork { session: parent, sequence, depth, tokens });
        Ok(create)
    }
}

impl Inner {
    /// The session as it stands: from its driver where one runs, else from the store.
    pub(crate) async fn view(&self, caller: &Caller, session: SessionId) -> Result<View, Error> {
        if let Some(driver) = self.driver(session) {
            let (reply, answer) = oneshot::channel();
            if driver.send(Message::View(caller.clone(), reply)).await.is_ok()
                && let Ok(view) = answer.await
            {
                return view;
            }
        }
        let loaded = self.journal.load(session).await?.ok_or(Error::NotFound)?;
        if loaded.tenant != caller.tenant || loaded.state.deleted {
            return Err(Error::NotFound);
        }
        let last = Cursor { sequence: loaded.state.sequence, ordinal: loaded.state.next_ordinal - 1 };
        Ok(View { state: Arc::new(loaded.state), last })
    }
}
