//! `POST /chat/completions`.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use mainstay_vocabulary::inference::{Delta, Failure, Finished, Format};
use mainstay_wire::chat::{self, Options, Reply};
use serde_json::Value;

use super::{
    ask, failure,
    relay::{self, Whole, Writer},
};
use crate::{auth::Authenticated, body::JsonObject, error::Error, json::Json, sse, state::AppState};

pub(super) async fn create(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    body: JsonObject,
) -> Result<Response, Error> {
    let engine = &state.engine;
    let (call, options) = chat::read(body.object)?;
    let (model, needs, streams) = (call.model.clone(), call.needs.clone(), call.streams);
    let answer = match engine.infer(&caller, ask(call, Format::OpenAiChat, &body.raw)).await {
        Ok(answer) => answer,
        Err(refused) => return Ok(failure::refused(refused, needs.as_deref())),
    };
    drop(body.raw);
    let is_own = answer.format == Some(Format::OpenAiChat);
    let (id, created) = (format!("chatcmpl-{:x}", answer.number), engine.now().seconds());
    if streams {
        let writer = Chat { reply: Reply::new(id, model, created, options), options };
        return Ok(sse::response(relay::frames(answer, writer, is_own), &state.settings));
    }
    match relay::whole(answer, is_own).await {
        Ok(Whole::Own(body)) => Ok(Json(body).into_response()),
        Ok(Whole::Pieces(pieces, finished)) => {
            Ok(Json(chat::object(&id, created, &model, (&pieces, &finished))).into_response())
        }
        Err(failed) => Err(failure::failed(&failed)),
    }
}

struct Chat {
    reply: Reply,
    options: Options,
}

impl Writer for Chat {
    fn frame(&mut self, frame: &Value) -> String {
        // The upstream is always asked for its usage; a client that did not ask may not expect a chunk without choices.
        let is_usage = frame["choices"].as_array().is_some_and(Vec::is_empty) && frame["usage"].is_object();
        if is_usage && !self.options.include_usage {
            return String::new();
        }
        format!("data: {frame}\n\n")
    }

    fn delta(&mut self, delta: &Delta) -> String {
        self.reply.delta(delta)
    }

    fn finish(&mut self, finished: &Finished, is_own: bool) -> String {
        let last = if is_own { String::new() } else { self.reply.finish(finished) };
        last + chat::stream_end()
    }

    fn fail(&mut self, failed: &Failure) -> String {
        failure::chat_frame(failed)
    }
}
