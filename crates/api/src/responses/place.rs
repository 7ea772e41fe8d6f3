//! Where a new turn stands: in a session of its own, at the head of the session of the Response before it, in a fork
//! of that, or in a conversation.

use std::sync::Arc;

use mainstay_runtime::{Accepted, Caller, Engine, Error as Refused, Follow, Idempotent};
use mainstay_session::{
    Command, Event, Refusal, State,
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
pub(super) struct Wanted {
    pub(super) request: CreateResponse,
    pub(super) items: Vec<Arc<Item>>,
    /// What the client's connection holds of the Response before, where nobody else does.
    pub(super) before: Option<Vec<Arc<Item>>>,
    pub(super) idempotent: Option<Idempotent>,
}

struct Wish<'a> {
    engine: &'a Engine,
    caller: &'a Caller,
    request: CreateResponse,
    items: Vec<Arc<Item>>,
    idempotent: Option<Idempotent>,
    /// The session that it goes on with: what it begins stands in the same shard.
    near: Option<SessionId>,
}

pub(super) async fn start(engine: &Engine, caller: &Caller, wanted: Wanted) -> Result<Started, Error> {
    let Wanted { request, items, before, idempotent } = wanted;
    let named = request.conversation.or(request.options.previous.map(|previous| previous.session));
    let near = named.filter(|_| before.is_none());
    let wish = Wish { engine, caller, request, items, idempotent, near };
    if let Some(accepted) = engine.replayed(caller, wish.idempotent.as_ref(), near).await? {
        let before = Sequence(accepted.first.0.saturating_sub(1));
        let follow = engine.follow(caller, accepted.session, mainstay_runtime::From::After(before)).await?;
        return Ok(Started { head: wish.head(&accepted).await?, follow, replayed: true });
    }
    wish.check_answers(near)?;
    let sent = match (before, wish.request.conversation, wish.request.options.previous) {
        (Some(items), ..) => wish.create(Create { items, ..wish.fresh() }).await,
        (None, Some(conversation), _) => wish.in_conversation(conversation).await,
        (None, None, Some(previous)) => wish.after(previous).await,
        (None, None, None) => wish.create(wish.fresh()).await,
    };
    let (accepted, follow) = sent?;
    let (head, replayed) = (wish.head(&accepted).await?, accepted.replayed);
    Ok(Started { head, follow, replayed })
}

/// What a Response is known by for which nothing is generated, and all that a model would be shown after it. Nothing of
/// it is written anywhere.
pub(super) async fn warm(engine: &Engine, caller: &Caller, wanted: Wanted) -> Result<(Head, Vec<Arc<Item>>), Error> {
    let Wanted { request, items, before, .. } = wanted;
    let mut prompt = match (before, request.options.previous) {
        (Some(before), _) => before,
        (None, Some(previous)) => {
            let session = previous_session(engine, caller, previous).await?;
            let ended = previous_end(engine, caller, &session, previous).await?;
            engine.prompt(caller, previous.session, Some(ended)).await?
        }
        (None, None) => Vec::new(),
    };
    prompt.extend(items);
    let turn = TurnId { session: engine.session_id(caller, None, None), sequence: Sequence(1) };
    let CreateResponse { spec, options, conversation, .. } = request;
    Ok((Head { turn, created_at: engine.now(), spec, options, conversation }, prompt))
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
        let session = self.engine.session_id(self.caller, self.idempotent.as_ref(), self.near);
        self.send(session, Command::Create(Box::new(create))).await.map_err(as_error)
    }

    async fn send(&self, session: SessionId, command: Command) -> Result<(Accepted, Follow), Refused> {
        self.engine.submit_and_follow(self.caller, session, command, self.idempotent.clone()).await
    }

    async fn append(&self, session: SessionId, head: Option<TurnId>) -> Result<(Accepted, Follow), Refused> {
        let spec = Some(Arc::clone(&self.request.spec));
        let answers = self.request.answers.clone();
        self.send(session, Command::Accept(Box::new(Accept { input: self.input(), spec, head, answers }))).await
    }

    /// What people answer here must have been asked in the session that goes on.
    fn check_answers(&self, session: Option<SessionId>) -> Result<(), Error> {
        match self.request.answers.iter().find(|answer| answer.session != session) {
            None => Ok(()),
            Some(_) => {
                let message = "The approval was not asked for by the response or conversation that is gone on with.";
                Err(Error::invalid(message).with_code("approval_not_open").with_param("input"))
            }
        }
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
        let parent = previous_session(self.engine, self.caller, previous).await?;
        if parent.kind == Kind::Response && !self.request.is_ephemeral() {
            match self.append(previous.session, Some(previous)).await {
                Err(Refused::Refused(Refusal::NotHead | Refusal::Busy)) if self.request.answers.is_empty() => {}
                // Answers belong to the head: a fork inherits no question.
                Err(Refused::Refused(Refusal::NotHead)) => {
                    return Err(Error::from(Refusal::ApprovalNotOpen(previous.sequence)).with_param("input"));
                }
                other => return other.map_err(as_error),
            }
        }
        let ended = previous_end(self.engine, self.caller, &parent, previous).await?;
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

/// The session of the Response that a request names as the one before.
pub(super) async fn previous_session(engine: &Engine, caller: &Caller, previous: TurnId) -> Result<Arc<State>, Error> {
    lookup::session_of(engine, caller, previous).await.map_err(|error| match error.status {
        axum::http::StatusCode::NOT_FOUND => previous_not_found(&response_id(previous)).into(),
        _ => error,
    })
}

/// Where that Response ended.
pub(super) async fn previous_end(
    engine: &Engine,
    caller: &Caller,
    session: &State,
    previous: TurnId,
) -> Result<Sequence, Error> {
    lookup::ended_at(engine, caller, session, previous).await?.ok_or_else(|| {
        Error::invalid(format!("Response '{}' is still in progress.", response_id(previous)))
            .with_code("previous_response_in_progress")
            .with_param("previous_response_id")
    })
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
