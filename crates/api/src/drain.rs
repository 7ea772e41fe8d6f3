//! Reads what a handler left of a request's body before the answer goes out. A client that only reads after it wrote
//! would otherwise find a reset connection instead of its error. Nothing of it is kept.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{
        HeaderValue,
        header::{CONNECTION, EXPECT},
    },
    middleware::Next,
    response::Response,
};
use futures_util::StreamExt;
use hyper::body::Frame;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::state::Settings;

/// Most bytes of a body that are read and dropped.
const MAX_DISCARDED: usize = 256 << 20;

/// Runs the handler, then reads the rest of the body within bounds; where that is not possible, the connection ends
/// with the answer.
pub(crate) async fn drain(settings: Arc<Settings>, request: Request, next: Next) -> Response {
    // Such a client has sent nothing yet, and will not once it has its answer.
    let waits = request.headers().contains_key(EXPECT);
    let (back, mut left) = oneshot::channel();
    let request = request.map(|body| Body::new(Lent { body, back: Some(back) }));
    let mut response = next.run(request).await;
    let Ok(body) = left.try_recv() else { return response };
    let is_closing = waits || response.headers().contains_key(CONNECTION);
    if is_closing || !discard(body, &settings).await {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether the body came to its end.
async fn discard(body: Body, settings: &Settings) -> bool {
    let idle = Duration::from_millis(settings.body_idle_ms);
    let whole = async {
        let (mut pieces, mut seen) = (body.into_data_stream(), 0);
        loop {
            match timeout(idle, pieces.next()).await {
                Ok(Some(Ok(piece))) if seen <= MAX_DISCARDED => seen += piece.len(),
                Ok(None) => return true,
                _ => return false,
            }
        }
    };
    tokio::select! {
        is_whole = whole => is_whole,
        () = sleep(Duration::from_millis(settings.body_ms)) => false,
    }
}

/// A body that goes back where it came from when it is dropped unread.
struct Lent {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream()
            && let Some(back) = self.back.take()
        {
            // Nobody waits where the connection is gone already.
            let _ = back.send(mem::replace(&mut self.body, Body::empty()));
        }
    }
}
