//! The HTTP below the SDK: POSTs, event streams and the end of a session, through the guard, bounded in size and
//! time, with the idempotency key as a header. What a response means for a JSON-RPC message is decided here; what a
//! message means, in the SDK.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest, ErrorData, GetExtensions as _, JsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_client::{
        AuthRequiredError, HttpStatusError, InsufficientScopeError, SseError, StreamableHttpClient,
        StreamableHttpError, StreamableHttpPostResponse, StreamableHttpResponseLimits,
    },
};
use sse_stream::{Sse, SseStream};

use super::{auth::Authorization, failure::of_status, settings::Secret};
use crate::{
    FailureKind,
    http::{Broken, Http, Left, Sending, next, read},
};

/// Bytes of one answer as JSON.
pub(super) const MAX_JSON_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of one event of a stream.
pub(super) const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of an error page that are read.
pub(super) const MAX_ERROR_BYTES: usize = 64 * 1024;
/// Connections to one server that are kept without use.
pub(super) const MAX_IDLE: usize = 4;

/// Until the head of a call's response is there, whatever its own timeout is.
const MAX_CALL: Duration = Duration::from_secs(24 * 3600);
/// How often one request is sent until its token is liked.
const MAX_REFUSALS: usize = 2;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const IDEMPOTENCY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// What travels with a call's request inside the SDK, unseen by the server.
#[derive(Clone, Debug)]
pub(super) struct Travelling {
    pub(super) left: Left,
    pub(super) idempotency_key: String,
}

/// What went wrong below the SDK.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("{0}")]
    Refused(&'static str),
    #[error("{}", of_status(*.0).1)]
    Status(u16),
}

impl WireError {
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Broken(Broken::Connect(_)) | Self::Refused(_) => FailureKind::NotSent,
            Self::Broken(_) => FailureKind::Unknown,
            Self::Status(status) => of_status(*status).0,
        }
    }
}

type Wired<T> = Result<T, StreamableHttpError<WireError>>;
type Events = BoxStream<'static, Result<Sse, SseError>>;

fn client(error: impl Into<WireError>) -> StreamableHttpError<WireError> {
    StreamableHttpError::Client(error.into())
}

/// One server's HTTP.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) http: Http,
    /// The endpoint, as the guard spelled it.
    pub(super) url: Arc<str>,
    pub(super) headers: Arc<[(HeaderName, Secret)]>,
    /// Until a response's head is there.
    pub(super) patience: Duration,
    pub(super) idle: Duration,
    pub(super) authorization: Option<Arc<Authorization>>,
}

/// One request before it is sent.
#[derive(Clone)]
struct Outgoing {
    method: Method,
    session: Option<Arc<str>>,
    last_event: Option<String>,
    headers: HashMap<HeaderName, HeaderValue>,
    body: Bytes,
    travelling: Option<Travelling>,
}

impl Wire {
    /// Sends, with the token that there is. A server that refuses it did nothing: with another one it is asked again.
    async fn send(&self, outgoing: Outgoing) -> Wired<Response<Incoming>> {
        let Some(authorization) = &self.authorization else {
            let response = self.send_with(outgoing, None).await?;
            return refusal(&response).map_or(Ok(response), Err);
        };
        let mut token = authorization.token().await.map_err(|why| client(Broken::Connect(why)))?;
        for _ in 0..MAX_REFUSALS {
            let response = self.send_with(outgoing.clone(), token.as_deref()).await?;
            let Some(error) = refusal(&response) else { return Ok(response) };
            let is_scope = response.status() == StatusCode::FORBIDDEN;
            match authorization.refused(&challenge(&response), is_scope, token.as_deref()).await {
                Some(another) => token = Some(another),
                None => return Err(error),
            }
        }
        Err(client(WireError::Status(StatusCode::UNAUTHORIZED.as_u16())))
    }

    async fn send_with(&self, outgoing: Outgoing, token: Option<&str>) -> Wired<Response<Incoming>> {
        let mut request = Request::builder().method(outgoing.method).uri(&*self.url);
        request = request.header(header::ACCEPT, format!("{JSON}, {EVENTS}"));
        if !outgoing.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, JSON);
        }
        for (name, secret) in self.headers.iter() {
            let mut value = HeaderValue::from_str(secret.expose())
                .map_err(|_| client(WireError::Refused("a header of its settings cannot be sent")))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| client(WireError::Refused("its token cannot be sent")))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        for (name, value) in outgoing.headers {
            request = request.header(name, value);
        }
        if let Some(session) = &outgoing.session {
            request = request.header(SESSION, &**session);
        }
        if let Some(last) = &outgoing.last_event {
            request = request.header(LAST_EVENT, last);
        }
        if let Some(travelling) = &outgoing.travelling {
            request = request.header(IDEMPOTENCY, &travelling.idempotency_key);
        }
        // A call ends by its own timeout; until then its answer may take as long as it likes.
        let patience = if outgoing.travelling.is_some() { MAX_CALL } else { self.patience };
        let left = outgoing.travelling.map(|travelling| travelling.left).unwrap_or_default();
        let request = request
            .body(Sending::new(outgoing.body, left))
            .map_err(|_| client(WireError::Refused("a header cannot be sent as it is")))?;
        self.http.send(request, patience).await.map_err(client)
    }

    fn events(&self, body: Incoming) -> Events {
        let limits = (self.idle, Limit::default());
        let bytes = futures_util::stream::unfold(Some((body, limits)), |state| async move {
            let (mut body, (idle, mut limit)) = state?;
            match next(&mut body, idle).await {
                Ok(Some(bytes)) if limit.passes(&bytes) => Some((Ok(bytes), Some((body, (idle, limit))))),
                Ok(Some(_)) => Some((Err(Broken::Huge(MAX_EVENT_BYTES)), None)),
                Ok(None) => None,
                Err(broken) => Some((Err(broken), None)),
            }
        });
        SseStream::from_bytes_stream(Box::pin(bytes)).boxed()
    }
}

/// Counts the bytes of one event.
#[derive(Default)]
struct Limit {
    bytes: usize,
    in_line: bool,
}

impl Limit {
    fn passes(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match byte {
                b'\n' if self.in_line => self.in_line = false,
                b'\n' => self.bytes = 0,
                b'\r' => {}
                _ => self.in_line = true,
            }
            self.bytes += 1;
            if self.bytes > MAX_EVENT_BYTES {
                return false;
            }
        }
        true
    }
}

fn travelling(message: &ClientJsonRpcMessage) -> Option<Travelling> {
    let JsonRpcMessage::Request(request) = message else { return None };
    let ClientRequest::CallToolRequest(call) = &request.request else { return None };
    call.extensions().get::<Travelling>().cloned()
}

fn challenge(response: &Response<Incoming>) -> String {
    let header = response.headers().get(header::WWW_AUTHENTICATE);
    header.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn is_type(response: &Response<Incoming>, wanted: &str) -> bool {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}

/// 401 and 403, with what they ask for.
fn refusal(response: &Response<Incoming>) -> Option<StreamableHttpError<WireError>> {
    match response.status() {
        StatusCode::UNAUTHORIZED => {
            Some(StreamableHttpError::AuthRequired(AuthRequiredError::new(challenge(response))))
        }
        StatusCode::FORBIDDEN if response.headers().contains_key(header::WWW_AUTHENTICATE) => {
            let error = InsufficientScopeError::new(challenge(response), None);
            Some(StreamableHttpError::InsufficientScope(error))
        }
        _ => None,
    }
}

/// A server that knows no `server/discover` says so in many ways; each means that it is of the older specification.
fn older(message: &ClientJsonRpcMessage, status: StatusCode, body: &[u8]) -> Option<StreamableHttpPostResponse> {
    let JsonRpcMessage::Request(request) = message else { return None };
    let refused = status.is_client_error() && status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN;
    if !refused || !matches!(request.request, ClientRequest::DiscoverRequest(_)) {
        return None;
    }
    let error = match serde_json::from_slice::<ServerJsonRpcMessage>(body) {
        Ok(JsonRpcMessage::Error(error)) => error.error,
        _ => ErrorData::invalid_request(format!("HTTP {status}"), None),
    };
    Some(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::error(error, Some(request.id.clone())), None))
}

impl Wire {
    async fn refused(
        &self,
        message: &ClientJsonRpcMessage,
        mut response: Response<Incoming>,
        had_session: bool,
    ) -> Wired<StreamableHttpPostResponse> {
        let status = response.status();
        if status == StatusCode::NOT_FOUND && had_session {
            return Err(StreamableHttpError::SessionExpired);
        }
        let body = read(response.body_mut(), MAX_ERROR_BYTES, self.idle).await.unwrap_or_default();
        if let Some(older) = older(message, status, &body) {
            return Ok(older);
        }
        if status != StatusCode::FORBIDDEN
            && let Ok(error @ ServerJsonRpcMessage::Error(_)) = serde_json::from_slice(&body)
        {
            return Ok(StreamableHttpPostResponse::Json(error, None));
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(HttpStatusError::new(status.as_u16(), None).into());
        }
        Err(client(WireError::Status(status.as_u16())))
    }

    async fn accepted(
        &self,
        message: &ClientJsonRpcMessage,
        mut response: Response<Incoming>,
    ) -> Wired<StreamableHttpPostResponse> {
        let session = response.headers().get(SESSION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if is_type(&response, EVENTS) {
            return Ok(StreamableHttpPostResponse::Sse(self.events(response.into_body()), session));
        }
        let awaits = matches!(message, JsonRpcMessage::Request(_));
        if !awaits && response.body().size_hint().exact() == Some(0) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if !is_type(&response, JSON) {
            return Err(StreamableHttpError::UnexpectedServerResponse("the answer is neither JSON nor events".into()));
        }
        let body = read(response.body_mut(), MAX_JSON_BYTES, self.idle).await.map_err(client)?;
        match serde_json::from_slice(&body) {
            Ok(message) => Ok(StreamableHttpPostResponse::Json(message, session)),
            Err(_) if !awaits => Ok(StreamableHttpPostResponse::Accepted),
            Err(why) => Err(StreamableHttpError::Deserialize(why)),
        }
    }
}

impl StreamableHttpClient for Wire {
    type Error = WireError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Wired<StreamableHttpPostResponse> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session_id, auth_header, custom_headers, limits).await
    }

    async fn post_message_with_response_limits(
        &self,
        _: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
        _: StreamableHttpResponseLimits,
    ) -> Wired<StreamableHttpPostResponse> {
        let body = serde_json::to_vec(&message)?;
        let had_session = session.is_some();
        let travelling = travelling(&message);
        let outgoing =
            Outgoing { method: Method::POST, session, last_event: None, headers, body: body.into(), travelling };
        let response = self.send(outgoing).await?;
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(StreamableHttpPostResponse::Accepted),
            status if status.is_success() => self.accepted(&message, response).await,
            _ => self.refused(&message, response, had_session).await,
        }
    }

    async fn get_stream(
        &self,
        _: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Wired<Events> {
        let body = Bytes::new();
        let outgoing = Outgoing { method: Method::GET, session, last_event, headers, body, travelling: None };
        let response = self.send(outgoing).await?;
        match response.status() {
            StatusCode::METHOD_NOT_ALLOWED => Err(StreamableHttpError::ServerDoesNotSupportSse),
            status if !status.is_success() => Err(client(WireError::Status(status.as_u16()))),
            _ if !is_type(&response, EVENTS) => Err(StreamableHttpError::UnexpectedContentType(None)),
            _ => Ok(self.events(response.into_body())),
        }
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        session: Arc<str>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Wired<()> {
        let outgoing = Outgoing {
            method: Method::DELETE,
            session: Some(session),
            last_event: None,
            headers,
            body: Bytes::new(),
            travelling: None,
        };
        self.send(outgoing).await.map(drop)
    }
}
