//! HTTP through the guard: one request, its response's head in time, its body bounded. Follows no redirect by
//! itself. Knows no protocol above HTTP.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;

use crate::{
    Error,
    egress::{Cause, Connector, Guard},
};

/// A connection that nobody uses closes after this.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes of a response's head: hyper's own bound is its buffer, 400 KiB; nobody sends more than this in earnest.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Headers of a response.
const MAX_HEADERS: usize = 128;

/// Whether bytes of a request may have left. Shared between a call and its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left(Arc<AtomicBool>);

impl Left {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Why there is no response, or no whole one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// No connection: nothing was sent.
    #[error(transparent)]
    Connect(#[from] Error),
    /// Sent, and the answer did not come in time.
    #[error("no answer in time")]
    Slow,
    /// Sent, and the answer broke off or is none.
    #[error("the answer broke off: {0}")]
    Torn(String),
    /// The answer is longer than is read.
    #[error("the answer is longer than {0} bytes")]
    Huge(usize),
}

/// A body that tells when it begins to leave.
pub(crate) struct Sending {
    bytes: Option<Bytes>,
    left: Left,
}

impl Sending {
    pub(crate) fn new(bytes: impl Into<Bytes>, left: Left) -> Self {
        Self { bytes: Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()), left }
    }

    pub(crate) fn has_bytes(&self) -> bool {
        self.bytes.is_some()
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.left.set();
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// A client with pooled connections, all of one cause.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<Connector, Sending>,
}

impl Http {
    /// `idle` is how many unused connections are kept for each server.
    pub(crate) fn new(guard: Arc<Guard>, cause: Cause, idle: usize) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(idle)
            .http1_max_headers(MAX_HEADERS)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(Connector { guard, cause });
        Self { client }
    }

    /// Sends a request whose address was made by [`crate::egress::target::Target`]; returns when the response's head
    /// is there.
    pub(crate) async fn send(
        &self,
        request: Request<Sending>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Broken> {
        match timeout(patience, self.client.request(request)).await {
            Err(_) => Err(Broken::Slow),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(why)) => Err(broken(&why)),
        }
    }
}

fn broken(why: &(dyn std::error::Error + 'static)) -> Broken {
    let mut deepest = why;
    let mut current = Some(why);
    while let Some(error) = current {
        if let Some(error) = error.downcast_ref::<Error>() {
            return Broken::Connect(error.clone());
        }
        deepest = error;
        current = error.source();
    }
    Broken::Torn(deepest.to_string())
}

/// Reads a body, no more than `most` bytes of it, waiting `patience` for each part.
pub(crate) async fn read(body: &mut Incoming, most: usize, patience: Duration) -> Result<Vec<u8>, Broken> {
    if body.size_hint().lower() > most as u64 {
        return Err(Broken::Huge(most));
    }
    let mut bytes = Vec::new();
    while let Some(part) = next(body, patience).await? {
        if part.len() > most - bytes.len() {
            return Err(Broken::Huge(most));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// The next bytes of a body; `None` at its end.
pub(crate) async fn next(body: &mut Incoming, patience: Duration) -> Result<Option<Bytes>, Broken> {
    loop {
        match timeout(patience, body.frame()).await {
            Err(_) => return Err(Broken::Slow),
            Ok(None) => return Ok(None),
            Ok(Some(Err(why))) => return Err(broken(&why)),
            Ok(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}
