//! One inference over HTTP as a stream of chunks. Knows phases and their timeouts; what is sent and what the bytes
//! mean is the format's. Spawns nothing: a dropped stream drops its call.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use mainstay_vocabulary::inference::{Chunk, Failure, Request};
use reqwest::{
    Response,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::{Sleep, sleep, timeout};

use super::{
    account::{Account, Outgoing, too_slow},
    decode::Decoder,
    failure,
};
use crate::{ChunkStream, Timeouts};

/// Names an attempt to the upstream, where it cares.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How long the end of a response is awaited after its last event, so that its connection can serve again.
const LINGER: Duration = Duration::from_millis(100);

/// How long more is awaited once the reason to stop is known: usage and the last event follow at once or never.
const AFTER_STOP: Duration = Duration::from_secs(5);

/// One inference, ready to be made.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) outgoing: Outgoing,
    pub(crate) decoder: Decoder,
    /// Response headers that a receipt keeps, and what it calls them.
    pub(crate) reported: &'static [(&'static str, &'static str)],
}

/// Makes an inference once the stream is polled: `encode` is asked only then.
pub(crate) fn infer<E>(account: Arc<Account>, request: Request, encode: E) -> ChunkStream
where
    E: FnOnce(&Request) -> Result<Ask, Failure> + Send + 'static,
{
    let asked = Phase::Asked(Box::new(move || encode(&request)));
    let call = Call { account, queue: VecDeque::new(), phase: asked };
    Box::pin(stream::try_unfold(call, |mut call| async move {
        let chunk = call.next().await?;
        Ok(chunk.map(|chunk| (chunk, call)))
    }))
}

/// Adds the name of an attempt, where it has one: a stateless inference is made once and has none.
pub(crate) fn name_attempt(headers: &mut HeaderMap, request: &Request) {
    if request.idempotency_key.is_empty() {
        return;
    }
    if let Ok(key) = HeaderValue::from_str(&request.idempotency_key) {
        headers.insert(IDEMPOTENCY_KEY, key);
    }
}

/// One inference.
struct Call {
    account: Arc<Account>,
    /// Decoded, not yet taken.
    queue: VecDeque<Chunk>,
    phase: Phase,
}

enum Phase {
    Asked(Box<dyn FnOnce() -> Result<Ask, Failure> + Send>),
    Opening(Box<Ask>),
    Reading(Box<Reading>),
    Ended(Option<Failure>),
}

impl Call {
    async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        loop {
            if let Some(chunk) = self.queue.pop_front() {
                return Ok(Some(chunk));
            }
            match std::mem::replace(&mut self.phase, Phase::Ended(None)) {
                Phase::Asked(encode) => self.phase = Phase::Opening(Box::new(encode()?)),
                Phase::Opening(ask) => {
                    let reading = open(&self.account, *ask).await?;
                    self.phase = Phase::Reading(Box::new(reading));
                }
                Phase::Reading(reading) => self.read(reading).await,
                Phase::Ended(failure) => return failure.map_or(Ok(None), Err),
            }
        }
    }

    async fn read(&mut self, mut reading: Box<Reading>) {
        let mut chunks = Vec::new();
        self.phase = match reading.step(&mut chunks).await {
            Ok(Progress::More) => Phase::Reading(reading),
            Ok(Progress::End) => Phase::Ended(None),
            Err(failure) => Phase::Ended(Some(self.account.own(failure))),
        };
        self.queue.extend(chunks);
    }
}

/// Sends the request and waits for a good response's headers.
async fn open(account: &Account, ask: Ask) -> Result<Reading, Failure> {
    let Ask { outgoing, mut decoder, reported } = ask;
    let response = account.send(outgoing).await?;
    for (header, name) in reported {
        if let Some(text) = response.headers().get(*header).and_then(|value| value.to_str().ok()) {
            decoder.report(name, text);
        }
    }
    let timeouts = account.timeouts;
    let first_token = Some(Box::pin(sleep(timeouts.first_token)));
    Ok(Reading { response, decoder, first_token, timeouts })
}

/// A response that is being read.
struct Reading {
    response: Response,
    decoder: Decoder,
    /// Runs until the first delta.
    first_token: Option<Pin<Box<Sleep>>>,
    timeouts: Timeouts,
}

enum Progress {
    More,
    End,
}

impl Reading {
    async fn step(&mut self, out: &mut Vec<Chunk>) -> Result<Progress, Failure> {
        match self.bytes().await {
            Ok(Some(bytes)) => {
                self.decoder.push(&bytes, out)?;
                if out.iter().any(|chunk| !matches!(chunk, Chunk::Frame(_))) {
                    self.first_token = None;
                }
                if !self.decoder.is_done() {
                    return Ok(Progress::More);
                }
                self.drain().await;
            }
            Ok(None) => {}
            // The model had ended; only the end of the stream is missing.
            Err(_) if self.decoder.has_stop() => {}
            Err(failure) => return Err(failure),
        }
        self.decoder.finish(out)?;
        Ok(Progress::End)
    }

    async fn bytes(&mut self) -> Result<Option<Bytes>, Failure> {
        let limits = self.timeouts;
        let read = if self.decoder.has_stop() {
            timeout(AFTER_STOP, self.response.chunk()).await.map_err(|_| too_slow("no end", AFTER_STOP))?
        } else if let Some(first_token) = &mut self.first_token {
            tokio::select! {
                biased;
                read = self.response.chunk() => read,
                () = first_token => return Err(too_slow("no first token", limits.first_token)),
            }
        } else {
            timeout(limits.idle, self.response.chunk()).await.map_err(|_| too_slow("nothing more", limits.idle))?
        };
        read.map_err(failure::of_transport)
    }

    /// Reads to the end of the response, which a well-behaved server has sent together with its last event.
    async fn drain(&mut self) {
        let to_end = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        // Too slow or broken costs the connection, nothing else.
        let _ = timeout(LINGER, to_end).await;
    }
}
