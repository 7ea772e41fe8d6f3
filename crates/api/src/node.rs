//! What nodes of one cluster ask of each other. Not for clients: every request is signed by a node with the same keys.

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use futures_util::StreamExt;
use mainstay_runtime::{node::Refused, peer};

use crate::{body::Raw, error::Error, state::AppState};

pub(crate) fn routes() -> Router<AppState> {
    Router::new().route(peer::SUBMIT, post(submit)).route(peer::FOLLOW, post(follow))
}

async fn submit(State(state): State<AppState>, headers: HeaderMap, body: Raw) -> Result<Response, Error> {
    let answer = state.engine.take_errand(signature(&headers), &body.bytes).await.map_err(refused)?;
    Ok(([(CONTENT_TYPE, "application/json")], answer).into_response())
}

async fn follow(State(state): State<AppState>, headers: HeaderMap, body: Raw) -> Result<Response, Error> {
    let lines = state.engine.let_follow(signature(&headers), &body.bytes).map_err(refused)?;
    let mut response = Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn signature(headers: &HeaderMap) -> &str {
    headers.get(peer::SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Stranger(why) => {
            tracing::warn!(why, "a request between nodes was refused");
            Error::new(StatusCode::UNAUTHORIZED, "invalid_request_error", format!("Not a node of this cluster: {why}."))
                .with_code("invalid_api_key")
        }
        Refused::Elsewhere => {
            let message = "This node does not drive the session.";
            Error::new(StatusCode::MISDIRECTED_REQUEST, "server_error", message).with_code("unavailable")
        }
    }
}
