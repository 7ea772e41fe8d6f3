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
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn comments_come_only_between_frames_and_a_stop_ends_the_stream() {
        runtime().block_on(async {
            let stop = tokio::sync::watch::Sender::new(false);
            let frames =
                stream::iter([Bytes::from("data: 1\n\n"), Bytes::from("data: 2\n\n")]).chain(stream::pending());
            let chunks = chunks(frames, Duration::from_millis(1), stop.subscribe());
            let mut chunks = std::pin::pin!(chunks);
            let mut next = async || chunks.next().await.map(|chunk| chunk.unwrap());
            assert_eq!(next().await.unwrap(), "data: 1\n\n");
            assert_eq!(next().await.unwrap(), "data: 2\n\n");
            assert_eq!(next().await.unwrap(), KEEP_ALIVE);
            assert_eq!(next().await.unwrap(), KEEP_ALIVE);
            stop.send_replace(true);
            assert_eq!(next().await, None);
        });
    }

    #[test]
    fn frames_are_asked_for_one_by_one_and_dropped_with_the_response() {
        use std::sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        };
        runtime().block_on(async {
            let made = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&made);
            let frames = stream::unfold(count, |count| async move {
                count.fetch_add(1, Ordering::Relaxed);
                Some((Bytes::from("data: x\n\n"), count))
            });
            let response = response(frames, &Settings::default());
            assert_eq!(response.headers()["cache-control"], "no-store");
            let mut body = response.into_body().into_data_stream();
            for taken in 1..=3 {
                assert_eq!(body.next().await.unwrap().unwrap(), "data: x\n\n");
                assert_eq!(made.load(Ordering::Relaxed), taken, "nothing is made ahead of the client");
            }
            drop(body);
            assert_eq!(Arc::strong_count(&made), 1);
        });
    }
}
