//! `POST /messages` and `POST /messages/count_tokens`.

use std::sync::Arc;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use mainstay_vocabulary::inference::{Delta, Failure, Finished, Format, Request, Verbatim};
use mainstay_wire::messages::{self, Purpose, Reply};
use serde_json::{Value, json};

use super::{
    ask, failure,
    relay::{self, Whole, Writer},
};
use crate::{auth::Authenticated, body::JsonObject, error::Error, json::Json, sse, state::AppState};

/// Headers of this format that change what a request means begin with this.
const HEADERS: &str = "anthropic-";

pub(super) async fn create(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Response, Error> {
    let engine = &state.engine;
    let mut call = messages::read(body.object, Purpose::Answer)?;
    keep_headers(&mut call.request, &headers);
    let (model, needs, streams) = (call.model.clone(), call.needs.clone(), call.streams);
    let goes_verbatim = call.request.verbatim.is_some();
    let answer = match engine.infer(&caller, ask(call, Format::AnthropicMessages, &body.raw)).await {
        Ok(answer) => answer,
        Err(refused) => return Ok(failure::refused(refused, needs.as_deref())),
    };
    drop(body.raw);
    let is_own = goes_verbatim && answer.format == Some(Format::AnthropicMessages);
    let (id, deployment) = (format!("msg_{:x}", answer.number), answer.route.deployment.clone());
    if streams {
        let writer = Messages(Reply::new(id, model, deployment));
        return Ok(sse::response(relay::frames(answer, writer, is_own), &state.settings));
    }
    match relay::whole(answer, is_own).await {
        Ok(Whole::Own(body)) => Ok(Json(body).into_response()),
        Ok(Whole::Pieces(pieces, finished)) => {
            Ok(Json(messages::object(&id, &model, &deployment, (&pieces, &finished))).into_response())
        }
        Err(failed) => Err(failure::failed(&failed)),
    }
}

pub(super) async fn count(
    Authenticated(_): Authenticated,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Response, Error> {
    let mut call = messages::read(body.object, Purpose::Count)?;
    keep_headers(&mut call.request, &headers);
    let needs = call.needs.clone();
    match state.engine.count(ask(call, Format::AnthropicMessages, &body.raw)).await {
        Ok(count) => Ok(Json(json!({ "input_tokens": count.tokens })).into_response()),
        Err(refused) => Ok(failure::refused(refused, needs.as_deref())),
    }
}

fn keep_headers(request: &mut Request, headers: &HeaderMap) {
    let Some(verbatim) = request.verbatim.as_mut().and_then(Arc::get_mut) else { return };
    let Verbatim { headers: kept, .. } = verbatim;
    let theirs = headers.iter().filter(|(name, _)| name.as_str().starts_with(HEADERS));
    kept.extend(theirs.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))));
}

struct Messages(Reply);

impl Writer for Messages {
    fn frame(&mut self, frame: &Value) -> String {
        let event = frame["type"].as_str().unwrap_or("message");
        format!("event: {event}\ndata: {frame}\n\n")
    }

    fn delta(&mut self, delta: &Delta) -> String {
        self.0.delta(delta)
    }

    fn finish(&mut self, finished: &Finished, is_own: bool) -> String {
        if is_own { String::new() } else { self.0.finish(finished) }
    }

    fn fail(&mut self, failed: &Failure) -> String {
        failure::messages_frame(failed)
    }
}
