//! One account on one server: its address, its key, its pooled connections, and requests whose answer is awaited no
//! longer than the settings say. Knows no format.

use std::{fmt, time::Duration};

use mainstay_vocabulary::inference::{Failure, FailureKind};
use reqwest::{
    Response, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::timeout;

use super::failure;
use crate::{Error, Secret, Settings, Timeouts};

/// How long an idle connection is kept: less than the 5 s after which common servers close theirs, because a request
/// sent into a closing connection is lost with an unknown outcome.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// Idle connections kept for each host: as many as burst together, few enough for any server's limit.
const POOL_SIZE: usize = 256;

/// Most bytes read of an error's body.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Most bytes read of an answer that is not an inference: a thousand vectors as text, and no more.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Which header carries the key, and what stands before the key in it.
#[derive(Clone, Debug)]
pub(crate) struct KeyHeader {
    pub(crate) name: HeaderName,
    pub(crate) before: &'static str,
}

/// A request that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) url: Url,
    /// Besides the account's own.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// One account on one server.
pub(crate) struct Account {
    name: String,
    base: Url,
    headers: HeaderMap,
    api_key: Option<Secret>,
    pub(super) timeouts: Timeouts,
    client: reqwest::Client,
}

impl Account {
    /// Connects nothing yet.
    pub(crate) fn new(settings: &Settings, key: &KeyHeader) -> Result<Self, Error> {
        let refused = |reason: &str| Error::Refused(format!("`{}`: {reason}", settings.name));
        let base_url = settings.base_url.as_deref().ok_or_else(|| refused("`base_url` is needed"))?;
        let base = parse(base_url).map_err(refused)?;
        let headers = headers(settings.api_key.as_ref(), key).map_err(refused)?;
        let timeouts = settings.timeouts;
        let client = client(&base, timeouts.connect).map_err(|error| refused(&failure::of_transport(error).message))?;
        let (name, api_key) = (settings.name.clone(), settings.api_key.clone());
        Ok(Self { name, base, headers, api_key, timeouts, client })
    }

    /// An address below the account's; keeps a query such as `?api-version=…`.
    pub(crate) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // `parse` saw to it that the address has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// The server's host name.
    pub(crate) fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Whether the address names no path, not even a version.
    pub(crate) fn is_bare(&self) -> bool {
        matches!(self.base.path(), "" | "/")
    }

    /// Sends a request and waits for a good response's headers.
    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<Response, Failure> {
        let mut headers = self.headers.clone();
        headers.extend(outgoing.headers);
        let sending = self.client.post(outgoing.url).headers(headers).body(outgoing.body).send();
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
        Ok(response)
    }

    /// Sends a request that does not stream and reads its whole answer.
    pub(crate) async fn ask(&self, outgoing: Outgoing) -> Result<Vec<u8>, Failure> {
        let mut response = self.send(outgoing).await?;
        let mut body = Vec::new();
        loop {
            match timeout(self.timeouts.idle, response.chunk()).await {
                Ok(Ok(Some(bytes))) if body.len() + bytes.len() > MAX_ANSWER_BYTES => {
                    return Err(self.own(failure::protocol("an answer longer than any may be")));
                }
                Ok(Ok(Some(bytes))) => body.extend_from_slice(&bytes),
                Ok(Ok(None)) => return Ok(body),
                Ok(Err(error)) => return Err(self.own(failure::of_transport(error))),
                Err(_) => return Err(self.own(too_slow("nothing more", self.timeouts.idle))),
            }
        }
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
    pub(crate) fn own(&self, mut failure: Failure) -> Failure {
        let mut message = format!("{}: {}", self.name, failure.message);
        if let Some(key) = self.api_key.as_ref().map(Secret::expose).filter(|key| !key.is_empty()) {
            message = message.replace(key, "…");
        }
        failure.message = message;
        failure
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

fn parse(base_url: &str) -> Result<Url, &'static str> {
    let url = Url::parse(base_url).map_err(|_| "`base_url` is not an address")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("`base_url` must begin with http or https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`base_url` must not hold a credential; use `api_key`");
    }
    Ok(url)
}

fn headers(api_key: Option<&Secret>, header: &KeyHeader) -> Result<HeaderMap, &'static str> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = api_key {
        let value = HeaderValue::from_str(&format!("{}{}", header.before, key.expose()));
        let mut value = value.map_err(|_| "`api_key` holds characters that a header cannot")?;
        value.set_sensitive(true);
        headers.insert(header.name.clone(), value);
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

/// A phase that took longer than it may.
pub(super) fn too_slow(what: &str, limit: Duration) -> Failure {
    let message = format!("{what} within {} ms", limit.as_millis());
    Failure { kind: FailureKind::Timeout, message, retry_after_ms: None }
}
