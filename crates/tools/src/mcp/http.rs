//! The HTTP client that MCP's transport sends through: guarded, without redirects and proxies, and with the idempotency
//! key of a call as a header too.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage},
    transport::streamable_http_client::{
        StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse, StreamableHttpResponseLimits,
    },
};
use sse_stream::{Error as SseError, Sse};

use super::link::KEY;
use crate::{
    egress::{Guard, Guarded},
    seam::{Failure, FailureKind},
};

/// The header of a call's idempotency key.
const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

type Error = StreamableHttpError<reqwest::Error>;

#[derive(Clone)]
pub(super) struct Client {
    client: reqwest::Client,
    guard: Guard,
}

impl Client {
    pub(super) fn new(guard: Guard, connect: Duration) -> Result<Self, Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("mainstay/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Guarded(guard.clone())))
            .connect_timeout(connect)
            .build();
        let client = client.map_err(|error| Failure::new(FailureKind::NotSent, format!("no HTTP client: {error}")))?;
        Ok(Self { client, guard })
    }

    /// An address that is a number never comes to the resolver: it is checked each time.
    fn check(&self, uri: &str) -> Result<(), Error> {
        let checked = self.guard.check(uri);
        checked
            .map(drop)
            .map_err(|refused| Error::Io(std::io::Error::new(std::io::ErrorKind::PermissionDenied, refused)))
    }
}

/// The key of the call that a message makes.
fn key(message: &ClientJsonRpcMessage) -> Option<HeaderValue> {
    let JsonRpcMessage::Request(request) = message else { return None };
    let ClientRequest::CallToolRequest(call) = &request.request else { return None };
    let key = call.params.meta.as_ref()?.0.0.get(KEY)?.as_str()?;
    HeaderValue::from_str(key).ok()
}

/// The operator's or client's headers as they are sent.
pub(super) fn headers(headers: &BTreeMap<String, String>) -> Result<HashMap<HeaderName, HeaderValue>, Failure> {
    let read = |(name, value): (&String, &String)| {
        let wrong =
            |what: &str| Failure::new(FailureKind::NotSent, format!("the {what} of the header {name:?} is not valid"));
        let header = HeaderName::try_from(name.as_str()).map_err(|_| wrong("name"))?;
        Ok((header, HeaderValue::try_from(value.as_str()).map_err(|_| wrong("value"))?))
    };
    headers.iter().map(read).collect()
}

impl StreamableHttpClient for Client {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Error> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session_id, auth_header, custom_headers, limits).await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        mut custom_headers: HashMap<HeaderName, HeaderValue>,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Error> {
        self.check(&uri)?;
        if let Some(key) = key(&message) {
            custom_headers.insert(HEADER, key);
        }
        let client = &self.client;
        client.post_message_with_response_limits(uri, message, session_id, auth_header, custom_headers, limits).await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Error> {
        self.check(&uri)?;
        self.client.delete_session(uri, session_id, auth_header, custom_headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Error> {
        self.check(&uri)?;
        self.client.get_stream(uri, session_id, last_event_id, auth_header, custom_headers).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        max_sse_event_size: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Error> {
        self.check(&uri)?;
        let client = &self.client;
        let stream = client.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            max_sse_event_size,
        );
        stream.await
    }
}
