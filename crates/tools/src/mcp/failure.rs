//! What an error of the SDK says about the effect.

use rmcp::{
    RoleClient,
    model::{ErrorCode, ErrorData},
    service::{ClientInitializeError, ServiceError},
    transport::{
        DynamicTransportError,
        streamable_http_client::{AuthRequiredError, HttpStatusError, InsufficientScopeError, StreamableHttpError},
    },
};

use super::{convert::cut, wire::WireError};
use crate::{Failure, FailureKind};

/// Bytes of a server's own words that are repeated.
const MAX_WORDS_BYTES: usize = 2 * 1024;
/// Errors inside of errors that are looked at.
const MAX_CHAIN: usize = 16;
/// "A person must open an address first" (2025-11-25): nothing was done.
const URL_ELICITATION_REQUIRED: ErrorCode = ErrorCode(-32042);
/// Answers that say: not done.
const NOT_DONE: [ErrorCode; 9] = [
    ErrorCode::PARSE_ERROR,
    ErrorCode::INVALID_REQUEST,
    ErrorCode::METHOD_NOT_FOUND,
    ErrorCode::INVALID_PARAMS,
    ErrorCode::RESOURCE_NOT_FOUND,
    ErrorCode::UNSUPPORTED_PROTOCOL_VERSION,
    ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY,
    ErrorCode::HEADER_MISMATCH,
    URL_ELICITATION_REQUIRED,
];

/// A request's end without a result. `left` says whether any of it may have left this process.
pub(super) fn of_request(server: &str, error: ServiceError, left: bool) -> Failure {
    let (kind, words) = match error {
        ServiceError::McpError(error) => of_answer(&error),
        ServiceError::TransportSend(error) => of_transport(&error),
        ServiceError::TransportClosed => {
            (FailureKind::Unknown, "the connection closed before an answer came".to_owned())
        }
        ServiceError::Timeout { .. } => (FailureKind::Unknown, "no answer in time".to_owned()),
        ServiceError::Cancelled { .. } => (FailureKind::Unknown, "it was given up before an answer came".to_owned()),
        other => (FailureKind::Unknown, other.to_string()),
    };
    let kind = if left || kind == FailureKind::Rejected { kind } else { FailureKind::NotSent };
    Failure::new(kind, named(server, &words))
}

/// A session that did not come about: whatever was wanted was not sent.
pub(super) fn of_connect(server: &str, error: &ClientInitializeError) -> Failure {
    let words = match error {
        ClientInitializeError::TransportError { error, .. } => of_transport(error).1,
        ClientInitializeError::JsonRpcError(error) => of_answer(error).1,
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => {
            return of_connect(server, fallback);
        }
        ClientInitializeError::ConnectionClosed(_) => "the connection closed during the handshake".to_owned(),
        ClientInitializeError::ExpectedInitResponse(_) | ClientInitializeError::ExpectedInitResult(_) => {
            "the handshake was answered by something else".to_owned()
        }
        other => cut(other.to_string(), MAX_WORDS_BYTES),
    };
    Failure::new(FailureKind::NotSent, named(server, &words))
}

pub(super) fn named(server: &str, words: &str) -> String {
    format!("MCP server `{server}`: {words}")
}

fn of_answer(error: &ErrorData) -> (FailureKind, String) {
    let kind = if NOT_DONE.contains(&error.code) { FailureKind::Rejected } else { FailureKind::Unknown };
    let words = cut(error.message.to_string(), MAX_WORDS_BYTES);
    (kind, format!("it answered error {}: {words}", error.code.0))
}

fn of_transport(error: &DynamicTransportError) -> (FailureKind, String) {
    let mut current: Option<&(dyn std::error::Error + 'static)> = Some(error.error.as_ref());
    for _ in 0..MAX_CHAIN {
        let Some(error) = current else { break };
        if let Some(wire) = error.downcast_ref::<WireError>() {
            return (wire.kind(), wire.to_string());
        }
        if error.is::<AuthRequiredError>() {
            return (FailureKind::Rejected, "it wants authorization (HTTP 401)".to_owned());
        }
        if error.is::<InsufficientScopeError>() {
            return (FailureKind::Rejected, "the authorization does not suffice (HTTP 403)".to_owned());
        }
        if let Some(status) = error.downcast_ref::<HttpStatusError>() {
            return of_status(status.status);
        }
        if let Some(found) = error.downcast_ref::<StreamableHttpError<WireError>>().and_then(of_http) {
            return found;
        }
        current = error.source();
    }
    (FailureKind::Unknown, "the connection broke".to_owned())
}

fn of_http(error: &StreamableHttpError<WireError>) -> Option<(FailureKind, String)> {
    let (kind, words) = match error {
        StreamableHttpError::Client(wire) => (wire.kind(), wire.to_string()),
        StreamableHttpError::HttpStatus(status) => return Some(of_status(status.status)),
        StreamableHttpError::SessionExpired => (FailureKind::Rejected, "its session expired (HTTP 404)".to_owned()),
        StreamableHttpError::ReinitializationFailed(error) => {
            (FailureKind::Rejected, format!("its session expired and a new one failed: {}", of_answer(error).1))
        }
        StreamableHttpError::AuthRequired(_) | StreamableHttpError::InsufficientScope(_) => return None,
        StreamableHttpError::Sse(_) => (FailureKind::Unknown, "its event stream cannot be read".to_owned()),
        StreamableHttpError::Deserialize(_) => (FailureKind::Unknown, "its answer is no JSON-RPC message".to_owned()),
        other => (FailureKind::Unknown, cut(other.to_string(), MAX_WORDS_BYTES)),
    };
    Some((kind, words))
}

/// What an HTTP status without a JSON-RPC answer says.
pub(super) fn of_status(status: u16) -> (FailureKind, String) {
    let kind = match status {
        400..=407 | 410..=417 | 421..=431 | 300..=399 => FailureKind::Rejected,
        _ => FailureKind::Unknown,
    };
    (kind, format!("it answered HTTP {status}"))
}

/// Keeps the SDK's role out of the other files' signatures.
pub(super) type Peer = rmcp::Peer<RoleClient>;
