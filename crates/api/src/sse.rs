//! Server-sent events. One chunk per frame; a frame is asked for only when the client can take it, so a slow client
//! holds one batch of frames and no more, and one that leaves drops its stream.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::state::Settings;

/// Sent between frames while nothing happens.
const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// A response whose body is `frames`: each item is one whole frame, ending with an empty line. Ends when `frames` ends
/// or the server stops.
pub(crate) fn response(frames: impl Stream<Item = Bytes> + Send + 'static, settings: &Settings) -> Response {
    let keep_alive = Duration::from_millis(settings.keep_alive_ms);
    let mut response = Body::from_stream(chunks(frames, keep_alive, settings.stop.subscribe())).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn chunks(
    frames: impl Stream<Item = Bytes> + Send + 'static,
    keep_alive: Duration,
    stop: tokio::sync::watch::Receiver<bool>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let start = (Box::pin(frames), stop);
    stream::unfold(start, move |(mut frames, mut stop)| async move {
        let chunk = tokio::select! {
            biased;
            frame = frames.next() => frame?,
            _ = stop.wait_for(|stop| *stop) => return None,
            () = tokio::time::sleep(keep_alive) => KEEP_ALIVE,
        };
        Some((Ok(chunk), (frames, stop)))
    })
}
