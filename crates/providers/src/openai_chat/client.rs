//! Chat Completions over HTTP: one pooled client per account, one call per stream. Knows phases and their
//! timeouts; what the bytes mean is `encode`'s and `decode`'s. Spawns nothing: a dropped stream drops its call.

use std::{collections::VecDeque, fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use mainstay_vocabulary::inference::{Chunk, Failure, FailureKind, Request};
use reqwest::{
    Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::{Sleep, sleep, timeout};

use super::{decode::Decoder, dialect::Dialect, encode::encode, failure};
use crate::{ChunkStream, Error, Provider, Secret, Settings, Timeouts};

/// Names an attempt to the upstream, where it cares.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Response headers that a receipt keeps.
const REPORTED_HEADERS: [(&str, &str); 2] = [("x-request-id", "request_id"), ("x-ms-region", "region")];

/// How long an idle connection is kept: less than the 5 s after which common servers close theirs, because a request
/// sent into a closing connection is lost with an unknown outcome.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// Idle connections kept for each host: as many as burst together, few enough for any server's limit.
const POOL_SIZE: usize = 256;

/// How long the end of a response is awaited after `[DONE]`, so that its connection can serve again.
const LINGER: Duration = Duration::from_millis(100);

/// How long more is awaited once the reason to stop is known: usage and `[DONE]` follow at once or never.
const AFTER_STOP: Duration = Duration::from_secs(5);

/// Most bytes read of an error's body.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// One account on one server.
pub(crate) struct OpenAiChat {
    account: Arc<Account>,
}

struct Account {
    name: String,
    url: Url,
    headers: HeaderMap,
    api_key: Option<Secret>,
    timeouts: Timeouts,
    dialect: Dialect,
    client: reqwest::Client,
}

impl OpenAiChat {
    /// Connects nothing yet.
    pub(crate) fn new(settings: Settings) -> Result<Self, Error> {
        let refused = |reason: &str| Error::Refused(format!("`{}`: {reason}", settings.name));
        let base_url = settings.base_url.as_deref().ok_or_else(|| refused("`base_url` is needed"))?;
        let url = endpoint(base_url).map_err(refused)?;
        let host = url.host_str().unwrap_or_default();
        let dialect = settings.dialect.unwrap_or_else(|| Dialect::of_host(host));
        let headers = headers(settings.api_key.as_ref()).map_err(refused)?;
        let client =
            client(&url, settings.timeouts.connect).map_err(|error| refused(&failure::of_transport(error).message))?;
        let Settings { name, api_key, timeouts, .. } = settings;
        let account = Account { name, url, headers, api_key, timeouts, dialect, client };
        Ok(Self { account: Arc::new(account) })
    }
}

/// Where completions are asked for; keeps a query such as `?api-version=…`.
fn endpoint(base_url: &str) -> Result<Url, &'static str> {
    let mut url = Url::parse(base_url).map_err(|_| "`base_url` is not an address")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("`base_url` must begin with http or https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`base_url` must not hold a credential; use `api_key`");
    }
    let mut path = url.path_segments_mut().map_err(|()| "`base_url` is not an address")?;
    path.pop_if_empty().extend(["chat", "completions"]);
    drop(path);
    Ok(url)
}

fn headers(api_key: Option<&Secret>) -> Result<HeaderMap, &'static str> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = api_key {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose()));
        let mut bearer = bearer.map_err(|_| "`api_key` holds characters that a header cannot")?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

fn client(url: &Url, connect: Duration) -> Result<reqwest::Client, reqwest::Error> {
    // Fails only where a provider is installed already, and then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("mainstay/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(connect)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_SIZE);
    if url.scheme() == "http" {
        // Redirects are not followed, so no certificate is ever checked: the system's store need not be loaded.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

impl Provider for OpenAiChat {
    fn infer(&self, request: Request) -> ChunkStream {
        let call =
            Call { account: self.account.clone(), queue: VecDeque::new(), phase: Phase::Asked(Box::new(request)) };
        Box::pin(stream::try_unfold(call, |mut call| async move {
            let chunk = call.next().await?;
            Ok(chunk.map(|chunk| (chunk, call)))
        }))
    }

    fn continues_prefix(&self) -> bool {
        self.account.dialect.continues_prefix()
    }
}

impl fmt::Debug for OpenAiChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiChat").field("name", &self.account.name).finish_non_exhaustive()
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
    Asked(Box<Request>),
    Reading(Box<Reading>),
    Ended(Option<Failure>),
}

impl Call {
    async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        loop {
            if let Some(chunk) = self.queue.pop_front() {
                return Ok(Some(chunk));
            }
            match &mut self.phase {
                Phase::Asked(request) => {
                    let reading = self.account.open(request).await?;
                    self.phase = Phase::Reading(Box::new(reading));
                }
                Phase::Reading(reading) => {
                    let mut chunks = Vec::new();
                    match reading.step(&mut chunks).await {
                        Ok(Progress::More) => {}
                        Ok(Progress::End) => self.phase = Phase::Ended(None),
                        Err(failure) => self.phase = Phase::Ended(Some(self.account.own(failure))),
                    }
                    self.queue.extend(chunks);
                }
                Phase::Ended(failure) => return failure.take().map_or(Ok(None), Err),
            }
        }
    }
}

impl Account {
    /// Sends the request and waits for a good response's headers.
    async fn open(&self, request: &Request) -> Result<Reading, Failure> {
        let body = encode(request, self.dialect)?;
        let mut headers = self.headers.clone();
        if let Ok(key) = HeaderValue::from_str(&request.idempotency_key) {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        let sending = self.client.post(self.url.clone()).headers(headers).body(body).send();
        // The client bounds connecting by itself; the two together, or a slow connect would eat into the next phase.
        let limit = self.timeouts.connect.saturating_add(self.timeouts.headers);
        let response = match timeout(limit, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.own(failure::of_transport(error))),
            Err(_) => return Err(self.own(too_slow("no response headers", limit))),
        };
        if !response.status().is_success() {
            return Err(self.own(self.refusal(response).await));
        }
        let mut decoder = Decoder::default();
        for (header, name) in REPORTED_HEADERS {
            if let Some(text) = response.headers().get(header).and_then(|value| value.to_str().ok()) {
                decoder.report(name, text);
            }
        }
        let first_token = Some(Box::pin(sleep(self.timeouts.first_token)));
        Ok(Reading { response, decoder, first_token, timeouts: self.timeouts })
    }

    /// Reads an error's body as far as it comes.
    async fn refusal(&self, mut response: Response) -> Failure {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while body.len() < MAX_ERROR_BYTES
            && let Ok(Ok(Some(bytes))) = timeout(self.timeouts.idle, response.chunk()).await
        {
            body.extend_from_slice(&bytes);
        }
        body.truncate(MAX_ERROR_BYTES);
        failure::of_response(status, &headers, &body)
    }

    /// Names the account in a failure, and takes the key out should the upstream have repeated it.
    fn own(&self, mut failure: Failure) -> Failure {
        let mut message = format!("{}: {}", self.name, failure.message);
        if let Some(key) = self.api_key.as_ref().map(Secret::expose).filter(|key| !key.is_empty()) {
            message = message.replace(key, "…");
        }
        failure.message = message;
        failure
    }
}

/// A response that is being read.
struct Reading {
    response: Response,
    decoder: Decoder,
    /// Runs until the first chunk.
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
                if !out.is_empty() {
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

    /// Reads to the end of the response, which a well-behaved server has sent together with `[DONE]`.
    async fn drain(&mut self) {
        let to_end = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        // Too slow or broken costs the connection, nothing else.
        let _ = timeout(LINGER, to_end).await;
    }
}

fn too_slow(what: &str, limit: Duration) -> Failure {
    let message = format!("{what} within {} ms", limit.as_millis());
    Failure { kind: FailureKind::Timeout, message, retry_after_ms: None }
}
