//! What comes back of a stateless inference, metered: however it ends, it is booked once.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};
use mainstay_providers::ChunkStream;
use mainstay_session::event::{InferenceOutcome, Settled};
use mainstay_vocabulary::{
    Tenant,
    inference::{Chunk, Delta, Failure, FailureKind, Finished},
};

use super::{Ticket, book};
use crate::{
    engine::{Caller, Inner},
    meter::{self, Size},
    route::Deployment,
};

/// What an inference brings back, in order; ends after `Finished` or an error.
pub struct Chunks {
    /// Came before the inference was handed out.
    first: Option<Chunk>,
    upstream: ChunkStream,
    meter: Option<Meter>,
}

impl Chunks {
    /// Waits for the first chunk: a failure before it may be tried again elsewhere.
    pub(super) async fn begin(mut upstream: ChunkStream, mut meter: Meter) -> Result<Self, Failure> {
        let first = upstream.next().await.unwrap_or_else(|| Err(broken()));
        match first {
            Ok(first) => {
                meter.note(&first);
                Ok(Self { first: Some(first), upstream, meter: Some(meter) })
            }
            Err(failure) => {
                meter.settle(Err(&failure));
                Err(failure)
            }
        }
    }

    fn book(&mut self, chunk: &Result<Chunk, Failure>) {
        let result = match chunk {
            Ok(Chunk::Finished(finished)) => Ok(finished),
            Ok(Chunk::Delta(_) | Chunk::Frame(_)) => {
                if let (Some(meter), Ok(chunk)) = (&mut self.meter, chunk) {
                    meter.note(chunk);
                }
                return;
            }
            Err(failure) => Err(failure),
        };
        if let Some(meter) = self.meter.take() {
            meter.settle(result);
        }
    }
}

impl Stream for Chunks {
    type Item = Result<Chunk, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.meter.is_none() && self.first.is_none() {
            return Poll::Ready(None);
        }
        let chunk = match self.first.take() {
            Some(first) => Ok(first),
            None => match self.upstream.poll_next_unpin(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(chunk) => chunk.unwrap_or_else(|| Err(broken())),
            },
        };
        self.book(&chunk);
        Poll::Ready(Some(chunk))
    }
}

/// Books an inference once, at the latest when it is dropped.
pub(super) struct Meter {
    inner: Arc<Inner>,
    tenant: Tenant,
    deployment: Deployment,
    ticket: Ticket,
    written: u64,
    is_settled: bool,
}

impl Meter {
    pub(super) fn new(inner: &Arc<Inner>, caller: &Caller, deployment: &Deployment, ticket: Ticket) -> Self {
        let (inner, tenant, deployment) = (Arc::clone(inner), caller.tenant.clone(), deployment.clone());
        Self { inner, tenant, deployment, ticket, written: 0, is_settled: false }
    }

    pub(super) const fn number(&self) -> u64 {
        self.ticket.number
    }

    /// Whether the lease is still the one under which the intent stands: asked just before the request is sent.
    pub(super) fn is_permitted(&self) -> bool {
        self.inner.is_running() && self.inner.leases.permits(self.ticket.lease.shard, self.ticket.lease.epoch)
    }

    /// The lease moved on: nothing is sent.
    pub(super) fn lapse(self) -> Failure {
        let message = "the lease moved on before the request was sent".to_owned();
        let failure = Failure { kind: FailureKind::Connect, message, retry_after_ms: None };
        self.settle(Err(&failure));
        failure
    }

    fn note(&mut self, chunk: &Chunk) {
        if let Chunk::Delta(Delta::Text { text, .. }) = chunk {
            self.written += text.len() as u64;
        }
    }

    pub(super) fn settle(mut self, result: Result<&Finished, &Failure>) {
        let outcome = match result {
            Ok(finished) => InferenceOutcome::Finished(finished.stop.clone()),
            // An upstream's message may quote the prompt, and the journal of the gateway holds no content.
            Err(failure) => InferenceOutcome::Failed(Failure { message: String::new(), ..failure.clone() }),
        };
        let nothing_sent = matches!(result, Err(failure) if failure.kind == FailureKind::Connect);
        self.send(outcome, result.ok(), nothing_sent);
    }

    fn send(&mut self, outcome: InferenceOutcome, finished: Option<&Finished>, nothing_sent: bool) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        let size = Size { prompt: self.ticket.prompt_bytes, written: self.written };
        let receipt =
            if nothing_sent { meter::nothing() } else { meter::receipt(Some(&self.deployment), finished, size) };
        book::settle(&self.inner, &self.tenant, Settled { number: self.ticket.number, outcome, receipt });
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.send(InferenceOutcome::Cancelled, None, false);
    }
}

fn broken() -> Failure {
    let message = "the inference ended without an outcome".to_owned();
    Failure { kind: FailureKind::Broken, message, retry_after_ms: None }
}
