//! Requests to the server, with its refusals as errors that say what to do.

use std::time::Duration;

use reqwest::{
    Client, Method, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    clean,
    error::{Error, Exit, Result},
    reach::Server,
    sse::{Decoder, Event},
};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for an answer, or the head of one that streams.
const ANSWER: Duration = Duration::from_secs(60);
/// Longest silence of a stream: three times the server's keep-alive.
const SILENCE: Duration = Duration::from_secs(45);
/// Largest answer, bytes.
const MAX_ANSWER: usize = 64 << 20;
/// Waits between attempts, milliseconds; after them, an hour's worth of patience is not this program's.
pub(crate) const WAITS_MS: [u64; 24] = [
    100, 200, 400, 800, 1_500, 2_000, 2_000, 2_000, 2_000, 2_000, 3_000, 3_000, 3_000, 3_000, 3_000, 3_000, 5_000,
    5_000, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000,
];

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client,
    pub(crate) server: Server,
}

/// A body of events.
pub(crate) struct Events {
    response: Response,
    decoder: Decoder,
}

impl Http {
    /// Connects nothing yet.
    pub(crate) fn new(server: Server) -> Result<Self> {
        // Fails only where a provider is installed already, and then that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        if let Some(key) = &server.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
                .map_err(|_| Error::new(Exit::Refused, "the API key has characters that no key has"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = Client::builder()
            .user_agent(concat!("mainstay/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .connect_timeout(CONNECT)
            // A person thinks longer than a server keeps a connection.
            .pool_max_idle_per_host(0);
        if server.url.scheme() == "http" {
            // Redirects are not followed, so no certificate is ever checked: the system's store need not be loaded.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| Error::new(Exit::Failed, format!("no HTTP client: {error}")))?;
        Ok(Self { client, server })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.whole(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.whole(self.request(Method::DELETE, path)).await
    }

    /// A change. Repeated under one key while the server is away or busy, so that it happens once.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let key = crate::clock::idempotency_key();
        let mut waits = WAITS_MS.iter();
        loop {
            let request = self.request(Method::POST, path).header("idempotency-key", &key);
            let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
            match self.whole(request).await {
                Err(error) if error.exit == Exit::Unreachable => match waits.next() {
                    Some(wait) => sleep(Duration::from_millis(*wait)).await,
                    None => return Err(error),
                },
                other => return other,
            }
        }
    }

    /// Follows a session: from right after an event, or from now on.
    pub(crate) async fn events(&self, session: &str, after: Option<&str>) -> Result<Events> {
        let path = format!("/v1/agents/sessions/{session}/events?include_obfuscation=false");
        let mut request = self.request(Method::GET, &path).header(ACCEPT, "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = self.send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response).await);
        }
        Ok(Events { response, decoder: Decoder::default() })
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let base = self.server.url.as_str().trim_end_matches('/');
        self.client.request(method, format!("{base}{path}"))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        match timeout(ANSWER, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.server.unreachable(&root(&error))),
            Err(_) => Err(self.server.unreachable("no answer in time")),
        }
    }

    async fn whole(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let bytes = self.body(response).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| {
            Error::new(Exit::Failed, format!("{} does not answer as a Mainstay server does", self.server.url))
        })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let piece = timeout(SILENCE, response.chunk()).await;
            match piece.map_err(|_| self.server.unreachable("the answer broke off"))? {
                Ok(Some(piece)) if bytes.len() + piece.len() <= MAX_ANSWER => bytes.extend_from_slice(&piece),
                Ok(Some(_)) => return Err(Error::new(Exit::Failed, "the answer is larger than any answer should be")),
                Ok(None) => return Ok(bytes),
                Err(error) => return Err(self.server.unreachable(&root(&error))),
            }
        }
    }

    /// What a status that is no success means.
    async fn refusal(&self, response: Response) -> Error {
        let status = response.status();
        let bytes = self.body(response).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let said = body["error"]["message"].as_str().map_or_else(|| format!("HTTP {status}"), clean::one_line);
        match status.as_u16() {
            401 | 403 => Error::new(Exit::Refused, said).advise(&self.server.key_advice),
            404 if body["error"].is_object() => Error::new(Exit::NotFound, said),
            404 => Error::new(Exit::Failed, format!("{} is no Mainstay server", self.server.url)),
            429 | 502..=504 => Error::new(Exit::Unreachable, format!("the server is busy or stopping: {said}")),
            507 => Error::new(Exit::Refused, said).advise("Make room on the server's disk; what it holds is safe."),
            400..=499 => Error::new(Exit::Refused, said),
            _ => Error::new(Exit::Failed, format!("the server failed: {said}")),
        }
    }
}

impl Events {
    /// The next event. `None` where the stream ends, breaks off, or is silent for too long: it can be resumed.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            match self.decoder.next() {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                Err(_) => return None,
            }
            let piece = timeout(SILENCE, self.response.chunk()).await.ok()?.ok()??;
            self.decoder.push(&piece).ok()?;
        }
    }
}

/// The innermost cause: the outer ones repeat the address.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    clean::one_line(&cause.to_string())
}

/// The body that sends a message into a session.
pub(crate) fn message(text: &str) -> Value {
    json!({ "events": [{ "type": "agent.session.input.message", "input": text }] })
}

/// The body that cancels what a session does.
pub(crate) fn cancel() -> Value {
    json!({ "events": [{ "type": "agent.session.input.cancel" }] })
}
