//! Where a new turn stands: in a session of its own, at the head of the session of the Response before it, in a fork
//! of that, or in a conversation.

use std::sync::Arc;

use mainstay_runtime::{Accepted, Caller, Engine, Error as Refused, Follow, Idempotent};
use mainstay_session::{
    Command, Event, Refusal,
    command::{Accept, Create},
    event::{Created, Delivery, Input, Kind},
    spec::Retention,
};
use mainstay_vocabulary::{Item, Object, Sequence, SessionId, TurnId};
use mainstay_wire::{
    conversations::conversation_id,
    responses::{CreateResponse, Head, command::previous_not_found, response_id},
};

use super::lookup;
use crate::error::Error;

/// Events that are looked through for the turn that a repeated request had started: it stands in the first batch.
const FIRST_BATCH: usize = 8;

/// A turn that has begun.
pub(super) struct Started {
    pub(super) head: Head,
    /// From before the turn began.
    pub(super) follow: Follow,
    /// Whether an earlier request with the same key had started it.
    pub(super) replayed: bool,
}

/// A request whose items are all there.
struct Wish<'a> {
    engine: &'a Engine,
    caller: &'a Caller,
    request: CreateResponse,
    items: Vec<Arc<Item>>,
    idempotent: Option<Idempotent>,
}

pub(super) async fn start(
    engine: &Engine,
    caller: &Caller,
    request: CreateResponse,
    items: Vec<Arc<Item>>,
    idempotent: Option<Idempotent>,
) -> Result<Started, Error> {
    let wish = Wish { engine, caller, request, items, idempotent };
    if let Some(accepted) = engine.replayed(caller, wish.idempotent.as_ref()).await? {
        let before = Sequence(accepted.first.0.saturating_sub(1));
        let follow = engine.follow(caller, accepted.session, mainstay_runtime::From::After(before)).await?;
        return Ok(Started { head: wish.head(&accepted).await?, follow, replayed: true });
    }
    let sent = match (wish.request.conversation, wish.request.options.previous) {
        (Some(conversation), _) => wish.in_conversation(conversation).await,
        (None, Some(previous)) => wish.after(previous).await,
        (None, None) => wish.create(wish.fresh()).await,
    };
    let (accepted, follow) = sent?;
    let (head, replayed) = (wish.head(&accepted).await?, accepted.replayed);
    Ok(Started { head, follow, replayed })
}

impl Wish<'_> {
    fn input(&self) -> Input {
        Input { items: self.items.clone(), delivery: Delivery::Reject, options: self.request.options.clone() }
    }

    fn fresh(&self) -> Create {
        Create {
            created: Created {
                kind: Kind::Response,
                spec: Arc::clone(&self.request.spec),
                parent: None,
                metadata: Object::new(),
                agent: None,
                echo: Object::new(),
                unanswered: Vec::new(),
            },
            items: Vec::new(),
            input: Some(self.input()),
        }
    }

    async fn create(&self, create: Create) -> Result<(Accepted, Follow), Error> {
        let session = self.engine.session_id(self.caller, self.idempotent.as_ref());
        self.send(session, Command::Create(Box::new(create))).await.map_err(as_error)
    }

    async fn send(&self, session: SessionId, command: Command) -> Result<(Accepted, Follow), Refused> {
        self.engine.submit_and_follow(self.caller, session, command, self.idempotent.clone()).await
    }

    async fn append(&self, session: SessionId, head: Option<TurnId>) -> Result<(Accepted, Follow), Refused> {
        let spec = Some(Arc::clone(&self.request.spec));
        self.send(session, Command::Accept(Box::new(Accept { input: self.input(), spec, head }))).await
    }

    async fn in_conversation(&self, conversation: SessionId) -> Result<(Accepted, Follow), Error> {
        let not_found = || {
            let message = format!("Conversation with id '{}' not found.", conversation_id(conversation));
            Error::not_found(message).with_code("conversation_not_found").with_param("conversation")
        };
        let found = self.engine.state(self.caller, conversation).await;
        if !found.is_ok_and(|state| state.kind == Kind::Conversation) {
            return Err(not_found());
        }
        self.append(conversation, None).await.map_err(|error| match error {
            Refused::NotFound => not_found(),
            Refused::Refused(Refusal::Busy) => {
                let message = "Another response is being made in this conversation; try again when it is over.";
                Error::conflict(message).with_code("conversation_locked").with_param("conversation")
            }
            other => as_error(other),
        })
    }

    /// At the idle head of the Response's session; in a fork where it is not the head, belongs to a conversation, or
    /// where nothing of this turn may be kept.
    async fn after(&self, previous: TurnId) -> Result<(Accepted, Follow), Error> {
        let not_found = || Error::from(previous_not_found(&response_id(previous)));
        let parent =
            lookup::session_of(self.engine, self.caller, previous).await.map_err(|error| match error.status {
                axum::http::StatusCode::NOT_FOUND => not_found(),
                _ => error,
            })?;
        if parent.kind == Kind::Response && !self.request.is_ephemeral() {
            match self.append(previous.session, Some(previous)).await {
                Err(Refused::Refused(Refusal::NotHead | Refusal::Busy)) => {}
                other => return other.map_err(as_error),
            }
        }
        let ended = lookup::ended_at(self.engine, self.caller, &parent, previous).await?.ok_or_else(|| {
            Error::invalid(format!("Response '{}' is still in progress.", response_id(previous)))
                .with_code("previous_response_in_progress")
                .with_param("previous_response_id")
        })?;
        let create = self.engine.fork(self.caller, previous.session, ended, self.fresh()).await?;
        self.create(create).await
    }

    /// What the turn is known by: what was just sent, or what an earlier request with the same key had sent.
    async fn head(&self, accepted: &Accepted) -> Result<Head, Error> {
        let session = accepted.session;
        if accepted.replayed {
            if accepted.state.spec.retention == Retention::ReceiptOnly {
                let message = "The Idempotency-Key was used before, and its response was not stored.";
                return Err(Error::conflict(message).with_code("response_not_stored"));
            }
            let sequence = self.replayed_turn(accepted).await?;
            return lookup::head(self.engine, self.caller, TurnId { session, sequence }).await;
        }
        let turn = accepted.state.turn.as_ref().ok_or_else(|| Error::internal("The turn did not begin."))?;
        Ok(Head {
            turn: TurnId { session, sequence: turn.id },
            created_at: turn.started_at,
            spec: Arc::clone(&self.request.spec),
            options: self.request.options.clone(),
            conversation: self.request.conversation,
        })
    }

    async fn replayed_turn(&self, accepted: &Accepted) -> Result<Sequence, Error> {
        let before = Sequence(accepted.first.0.saturating_sub(1));
        let events = self.engine.read(self.caller, accepted.session, before, FIRST_BATCH).await?;
        let found = events.iter().find(|recorded| matches!(*recorded.event, Event::TurnStarted(_)));
        found.map(|recorded| recorded.sequence).ok_or_else(|| Error::internal("The turn did not begin."))
    }
}

/// Refusals of an input that name the parameter.
fn as_error(error: Refused) -> Error {
    let is_about_input = matches!(
        error,
        Refused::Refused(
            Refusal::CallsUnanswered(_) | Refusal::CallNotOpen(_) | Refusal::Invalid(_) | Refusal::TooMany(_)
        )
    );
    let error = Error::from(error);
    if is_about_input { error.with_param("input") } else { error }
}
