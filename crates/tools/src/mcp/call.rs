//! One tool call: its request with key and progress token, the steps as they come, and its cancellation when nobody
//! listens any more.

use std::{pin::pin, sync::Arc};

use futures_util::{FutureExt as _, stream};
use rmcp::{
    RoleClient,
    model::{CallToolRequest, CallToolRequestParams, ClientRequest, GetExtensions as _, RequestMetaObject},
    service::{PeerRequestOptions, RequestHandle},
};
use tokio::{sync::mpsc, time::timeout};

use super::{
    convert,
    failure::{self, Peer},
    handler::{Heard, Listening},
    server::Inner,
    wire::Travelling,
};
use crate::{Call, CallStream, Failure, FailureKind, Returned, Step, http::Left};

/// Steps that wait to be read; more is dropped, because only the newest counts.
const MAX_STEPS: usize = 32;
/// How often the SDK's tasks get a turn between an answer and its end.
const MAX_TURNS: usize = 4;
/// The key of `_meta` that carries the idempotency key.
const META_KEY: &str = "mainstay/idempotency_key";
/// What the protocol keeps for itself in `_meta`: no caller may set it.
const RESERVED: &str = "io.modelcontextprotocol/";

/// A request that is cancelled at the server when it is dropped before its answer came.
struct Asked {
    handle: Option<RequestHandle<RoleClient>>,
}

impl Asked {
    fn cancel(&mut self, reason: &str) {
        if let Some(handle) = self.handle.take() {
            // The first poll puts the notification into the connection's queue; nobody waits for it to be sent.
            let _ = handle.cancel(Some(reason.to_owned())).now_or_never();
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.cancel("nobody waits for the result any more");
    }
}

/// Starts a call: nothing happens before the first poll.
pub(super) fn stream(inner: Arc<Inner>, call: Call) -> CallStream {
    let (sender, steps) = mpsc::channel(MAX_STEPS);
    let work = Box::pin(run(inner, call, sender));
    Box::pin(stream::unfold(Some((work, steps, None)), |state| async move {
        let (mut work, mut steps, mut ended) = state?;
        if ended.is_none() {
            tokio::select! {
                biased;
                Some(step) = steps.recv() => return Some((step, Some((work, steps, None)))),
                end = &mut work => ended = Some(end),
            }
        }
        match (steps.try_recv(), ended) {
            (Ok(step), ended) => Some((step, Some((work, steps, ended)))),
            (Err(_), ended) => ended.map(|ended| (Step::Ended(ended), None)),
        }
    }))
}

async fn run(inner: Arc<Inner>, call: Call, steps: mpsc::Sender<Step>) -> Result<Returned, Failure> {
    let left = Left::default();
    let patience = call.timeout;
    let work = pin!(ask(&inner, call, steps, left.clone()));
    match timeout(patience, work).await {
        Ok(ended) => ended,
        Err(_) => {
            let kind = if left.get() { FailureKind::Unknown } else { FailureKind::NotSent };
            Err(Failure::new(kind, failure::named(inner.name(), "no answer in time")))
        }
    }
}

async fn ask(inner: &Inner, call: Call, steps: mpsc::Sender<Step>, left: Left) -> Result<Returned, Failure> {
    let name = inner.name();
    let (peer, heard) = inner.connected().await?;
    let (mut asked, _listening) = send(&peer, (&heard, steps), call, left.clone())
        .await
        .map_err(|error| failure::of_request(name, error, left.get()))?;
    let Some(handle) = asked.handle.as_mut() else {
        return Err(Failure::new(FailureKind::NotSent, "the request is gone"));
    };
    let answer = (&mut handle.rx).await;
    // Progress that came before the answer is handled by tasks of the SDK, which may be a turn behind.
    for _ in 0..MAX_TURNS {
        tokio::task::yield_now().await;
    }
    asked.handle = None;
    inner.used();
    let answer = answer.unwrap_or(Err(rmcp::service::ServiceError::TransportClosed));
    let result = answer.map_err(|error| failure::of_request(name, error, left.get()))?;
    convert::result(result).map_err(|failure| Failure { message: failure::named(name, &failure.message), ..failure })
}

async fn send(
    peer: &Peer,
    (heard, steps): (&Heard, mpsc::Sender<Step>),
    call: Call,
    left: Left,
) -> Result<(Asked, Listening), rmcp::service::ServiceError> {
    let mut meta = call.meta;
    meta.retain(|key, _| !key.starts_with(RESERVED) && key != "progressToken");
    meta.insert(META_KEY.to_owned(), call.idempotency_key.clone().into());
    let params = CallToolRequestParams::new(call.tool).with_arguments(call.arguments);
    let mut request = CallToolRequest::new(params);
    request.extensions_mut().insert(Travelling { left, idempotency_key: call.idempotency_key });
    let options = PeerRequestOptions::no_options().with_meta(RequestMetaObject::from(meta));
    let handle = peer.send_cancellable_request(ClientRequest::CallToolRequest(request), options).await?;
    let listening = heard.listen(handle.progress_token.clone(), steps);
    Ok((Asked { handle: Some(handle) }, listening))
}
