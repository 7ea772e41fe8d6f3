//! One tool call: its request with key and progress token, the steps as they come, and its cancellation when nobody
//! listens any more.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, stream};
use rmcp::{
    RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, ClientRequest, GetExtensions as _, InputRequest, InputRequiredResult,
        InputResponses, RequestMetaObject, ServerResult,
    },
    service::{PeerRequestOptions, RequestHandle, ServiceError},
};
use serde_json::json;
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
/// How often a server may ask for something before it answers.
const MAX_ROUNDS: usize = 5;
/// Before a server is asked again that only wanted time.
const AGAIN: Duration = Duration::from_millis(500);
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
    let mut round = Round { peer, heard, steps, left, call, responses: None, state: None };
    for _ in 0..MAX_ROUNDS {
        let answer = round.answer().await;
        inner.used();
        match answer.map_err(|error| failure::of_request(name, error, round.left.get()))? {
            ServerResult::InputRequiredResult(wanted) => round.decline(wanted, name).await?,
            result => {
                let said = |failure: Failure| Failure { message: failure::named(name, &failure.message), ..failure };
                return convert::result(result).map_err(said);
            }
        }
    }
    let words = format!("it asked for input more than {MAX_ROUNDS} times");
    Err(Failure::new(FailureKind::Unknown, failure::named(name, &words)))
}

/// A call that a server may answer by asking for something first (2026-07-28): the same request, sent once more with
/// what it asked for.
struct Round {
    peer: Peer,
    heard: Heard,
    steps: mpsc::Sender<Step>,
    left: Left,
    call: Call,
    responses: Option<InputResponses>,
    state: Option<String>,
}

impl Round {
    async fn answer(&self) -> Result<ServerResult, ServiceError> {
        let Call { tool, arguments, idempotency_key, meta, .. } = self.call.clone();
        let mut meta = meta;
        meta.retain(|key, _| !key.starts_with(RESERVED) && key != "progressToken");
        meta.insert(META_KEY.to_owned(), idempotency_key.clone().into());
        let mut params = CallToolRequestParams::new(tool).with_arguments(arguments);
        params.input_responses = self.responses.clone();
        params.request_state = self.state.clone();
        let mut request = CallToolRequest::new(params);
        request.extensions_mut().insert(Travelling { left: self.left.clone(), idempotency_key });
        let options = PeerRequestOptions::no_options().with_meta(RequestMetaObject::from(meta));
        let handle = self.peer.send_cancellable_request(ClientRequest::CallToolRequest(request), options).await?;
        let _listening: Listening = self.heard.listen(handle.progress_token.clone(), self.steps.clone());
        let mut asked = Asked { handle: Some(handle) };
        let Some(handle) = asked.handle.as_mut() else { return Err(ServiceError::TransportClosed) };
        let answer = (&mut handle.rx).await;
        asked.handle = None;
        // Progress that came before the answer is handled by tasks of the SDK, which may be a turn behind.
        for _ in 0..MAX_TURNS {
            tokio::task::yield_now().await;
        }
        answer.unwrap_or(Err(ServiceError::TransportClosed))
    }

    /// Nobody can be asked while a tool runs: what a person would be asked for is declined, there are no roots, and
    /// a model is not lent.
    async fn decline(&mut self, wanted: InputRequiredResult, name: &str) -> Result<(), Failure> {
        let requests = wanted.input_requests.unwrap_or_default();
        if requests.is_empty() {
            tokio::time::sleep(AGAIN).await;
        }
        let mut responses = InputResponses::new();
        for (key, request) in requests {
            let response = match request {
                InputRequest::Elicitation(_) => json!({ "action": "decline" }),
                InputRequest::ListRoots(_) => json!({ "roots": [] }),
                _ => {
                    let words = "it asks for input that nobody here can give";
                    return Err(Failure::new(FailureKind::Rejected, failure::named(name, words)));
                }
            };
            responses.insert(key, response);
        }
        self.responses = (!responses.is_empty()).then_some(responses);
        self.state = wanted.request_state;
        Ok(())
    }
}
