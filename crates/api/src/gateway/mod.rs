//! Inferences without a session: Chat Completions, Messages, embeddings, relative to `/v1`. Any client family to any
//! upstream family; where both speak the same format, the upstream's own frames are handed on.

mod chat;
mod embeddings;
mod failure;
mod messages;
mod relay;
pub(crate) mod responses;

use std::sync::Arc;

use axum::{Router, routing::post};
use mainstay_runtime::gateway::Ask;
use mainstay_vocabulary::inference::Format;
use mainstay_wire::stateless::Call;

use crate::{body::Raw, managed, state::AppState};

/// Its routes.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/chat/completions", post(chat::create))
        .route("/embeddings", post(embeddings::create))
        .merge(managed::shaped_alone(messages()))
}

/// Those of Anthropic's clients.
pub(crate) fn messages() -> Router<AppState> {
    Router::new().route("/messages", post(messages::create)).route("/messages/count_tokens", post(messages::count))
}

fn ask(call: Call, format: Format, raw: &Raw) -> Ask {
    let needs = call.needs.is_some().then_some(format);
    Ask { model: call.model, request: call.request, needs, body: Arc::from(&raw.bytes[..]) }
}
