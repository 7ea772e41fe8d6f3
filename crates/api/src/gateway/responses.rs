//! `POST /responses` with `store: false` where the upstream speaks the same format: passed on as it came, and back.

use axum::{
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use mainstay_runtime::{Caller, Engine};
use mainstay_vocabulary::{
    Object,
    inference::{Delta, Failure, Finished, Format, Verbatim},
};
use mainstay_wire::{
    responses::passing::{self, Passed},
    stateless::Call,
};
use serde_json::Value;

use super::{
    ask, failure,
    relay::{self, Whole, Writer},
};
use crate::{body::Raw, error::Error, json::Json, sse, state::AppState};

/// The header of this format that changes what a request means.
const HEADER: &str = "openai-beta";

/// The call, where the request can be passed on and the deployment that would serve it speaks its format.
pub(crate) fn passes(engine: &Engine, body: &Object, headers: &HeaderMap) -> Option<Call> {
    let mut call = passing::read(body).filter(|call| engine.speaks(&call.model, Format::OpenAiResponses))?;
    if let Some(verbatim) = call.request.verbatim.as_mut().and_then(std::sync::Arc::get_mut) {
        let Verbatim { headers: kept, .. } = verbatim;
        let said = headers.get_all(HEADER).iter().filter_map(|value| value.to_str().ok());
        kept.extend(said.map(|value| (HEADER.to_owned(), value.to_owned())));
    }
    Some(call)
}

pub(crate) async fn pass(state: &AppState, caller: &Caller, call: Call, raw: Raw) -> Result<Response, Error> {
    let streams = call.streams;
    let answer = match state.engine.infer(caller, ask(call, Format::OpenAiResponses, &raw)).await {
        Ok(answer) => answer,
        Err(refused) => return Ok(failure::refused(refused, None)),
    };
    drop(raw);
    if streams {
        let writer = Responses(Passed::default());
        return Ok(sse::response(relay::frames(answer, writer, true), &state.settings));
    }
    match relay::whole(answer, true).await {
        Ok(Whole::Own(body)) => Ok(Json(body).into_response()),
        Ok(Whole::Pieces(..)) => Err(Error::internal("The upstream's answer has no body of its own.")),
        Err(failed) => Err(failure::failed(&failed)),
    }
}

struct Responses(Passed);

impl Writer for Responses {
    fn frame(&mut self, frame: &Value) -> String {
        self.0.frame(frame)
    }

    /// Only the upstream's own frames are handed on.
    fn delta(&mut self, _: &Delta) -> String {
        String::new()
    }

    fn finish(&mut self, _: &Finished, _: bool) -> String {
        passing::stream_end().to_owned()
    }

    fn fail(&mut self, failed: &Failure) -> String {
        self.0.fail(failed, failure::failed(failed).code.unwrap_or("server_error")) + passing::stream_end()
    }
}
