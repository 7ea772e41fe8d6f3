//! `POST /responses/compact` and `/responses/input_tokens`: what a conversation comes to as a digest, and in tokens.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use mainstay_runtime::{
    Caller, Engine, Follow,
    gateway::{Ask, Refused},
};
use mainstay_session::{
    Event,
    event::{Kind, Replaced, TurnError, TurnStatus},
    feed::What,
};
use mainstay_vocabulary::{Item, Usage, inference::FailureKind};
use mainstay_wire::responses::{CreateResponse, object::compaction_json};
use serde_json::json;

use super::{
    create::check_model,
    input,
    place::{self, Wanted, previous_end, previous_session},
};
use crate::{auth::Authenticated, body::JsonObject, error::Error, json::Json, state::AppState};

/// Nothing is kept of the conversation: the answer is the client's next input.
pub(super) async fn compact(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    body: JsonObject,
) -> Result<Json, Error> {
    let engine = &state.engine;
    let mut request = CreateResponse::read_compaction(body.object, engine.default_limits())?;
    drop(body.raw);
    check_model(engine, &request.spec.model)?;
    let items = input::resolve(engine, &caller, std::mem::take(&mut request.input)).await?;
    let wanted = Wanted { request, items, before: None, idempotent: None };
    let started = place::start(engine, &caller, wanted).await?;
    let (replaced, usage) = digest(started.follow).await?;
    Ok(Json(compaction_json(&started.head, &replaced, &usage)))
}

/// Waits for the digest and the end of its turn.
async fn digest(mut follow: Follow) -> Result<(Box<Replaced>, Usage), Error> {
    let mut made = None;
    while let Some(moments) = follow.next().await {
        for moment in moments? {
            let What::Event(event, _) = moment.what else { continue };
            match &*event {
                Event::ContextReplaced(replaced) => made = Some(replaced.clone()),
                Event::TurnEnded(ended) => {
                    let made = made.ok_or_else(|| failed(&ended.status))?;
                    return Ok((made, ended.usage));
                }
                _ => {}
            }
        }
    }
    Err(Error::unavailable("The server is stopping; nothing was compacted."))
}

fn failed(status: &TurnStatus) -> Error {
    use mainstay_session::event::ErrorCode;
    match status {
        TurnStatus::Failed(TurnError { code: ErrorCode::InvalidRequest, message }) => {
            Error::invalid(message.clone()).with_param("input")
        }
        TurnStatus::Failed(TurnError { code: ErrorCode::ContextLengthExceeded, message }) => {
            Error::invalid(message.clone()).with_code("context_length_exceeded").with_param("input")
        }
        TurnStatus::Failed(TurnError { code: ErrorCode::RateLimitExceeded, message }) => {
            Error::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message.clone())
                .with_code("rate_limit_exceeded")
        }
        TurnStatus::Failed(TurnError { message, .. }) => upstream(message),
        _ => upstream("The digest was not finished."),
    }
}

fn upstream(message: &str) -> Error {
    Error::new(StatusCode::BAD_GATEWAY, "server_error", message).with_code("server_error")
}

/// Asks whoever would be asked; nothing is made and nothing is kept.
pub(super) async fn count(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    body: JsonObject,
) -> Result<Json, Error> {
    let engine = &state.engine;
    let mut request = CreateResponse::read_count(body.object, engine.default_limits())?;
    check_model(engine, &request.spec.model)?;
    let items = input::resolve(engine, &caller, std::mem::take(&mut request.input)).await?;
    let mut prompt = before(engine, &caller, &request).await?;
    prompt.extend(items);
    let ask = Ask {
        model: request.spec.model.clone(),
        request: mainstay_runtime::request_of(&request.spec, prompt),
        needs: None,
        body: Arc::from(&body.raw.bytes[..]),
    };
    let count = engine.count(ask).await.map_err(refused)?;
    Ok(Json(json!({ "object": "response.input_tokens", "input_tokens": count.tokens })))
}

/// What stands before the input: the Response before, or the conversation.
async fn before(engine: &Engine, caller: &Caller, request: &CreateResponse) -> Result<Vec<Arc<Item>>, Error> {
    if let Some(previous) = request.options.previous {
        let session = previous_session(engine, caller, previous).await?;
        let ended = previous_end(engine, caller, &session, previous).await?;
        return Ok(engine.prompt(caller, previous.session, Some(ended)).await?);
    }
    let Some(conversation) = request.conversation else { return Ok(Vec::new()) };
    let missing =
        || Error::not_found("Conversation not found.").with_code("conversation_not_found").with_param("conversation");
    let state = engine.state(caller, conversation).await.map_err(|_| missing())?;
    if state.kind != Kind::Conversation {
        return Err(missing());
    }
    Ok(engine.prompt(caller, conversation, None).await?)
}

fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Engine(error) => error.into(),
        Refused::Failed(failure) if failure.kind == FailureKind::InvalidRequest => Error::invalid(failure.message),
        Refused::Failed(failure) => upstream(&failure.message),
        other => Error::invalid(other.to_string()).with_param("model"),
    }
}
