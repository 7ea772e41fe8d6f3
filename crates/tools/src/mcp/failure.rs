//! What an error of the transport or server says of the effect. In doubt it says that nobody knows.

use std::{error::Error as StdError, io};

use rmcp::{
    model::ErrorCode,
    service::{ClientInitializeError, ServiceError},
    transport::streamable_http_client::StreamableHttpError,
};

use crate::{
    egress::Refused,
    seam::{Failure, FailureKind},
};

/// Longest message that is kept of an error, bytes.
const MAX_MESSAGE: usize = 500;

/// A connection could not be made: nothing of a call was sent.
pub(super) fn of_start(error: &ClientInitializeError, server: &str) -> Failure {
    let why = start(error);
    Failure::new(FailureKind::NotSent, format!("the MCP server {server:?} cannot be reached: {why}"))
}

fn start(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => chain(error.error.as_ref()),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => start(fallback),
        other => chain(other),
    }
}

/// A request failed.
pub(super) fn of_call(error: &ServiceError, server: &str) -> Failure {
    let kind = match error {
        ServiceError::McpError(error) => match error.code {
            ErrorCode::METHOD_NOT_FOUND
            | ErrorCode::INVALID_PARAMS
            | ErrorCode::INVALID_REQUEST
            | ErrorCode::PARSE_ERROR => FailureKind::Rejected,
            _ => FailureKind::Unknown,
        },
        ServiceError::TransportSend(error) => of_transport(error.error.as_ref()),
        _ => FailureKind::Unknown,
    };
    Failure::new(kind, format!("the MCP server {server:?}: {}", chain(error)))
}

/// Whether the connection is of no more use.
pub(super) const fn breaks(error: &ServiceError) -> bool {
    !matches!(error, ServiceError::McpError(_) | ServiceError::Timeout { .. } | ServiceError::Cancelled { .. })
}

fn of_transport(error: &(dyn StdError + Send + Sync + 'static)) -> FailureKind {
    let http = causes(error).into_iter().find_map(|at| at.downcast_ref::<StreamableHttpError<reqwest::Error>>());
    http.map_or(FailureKind::Unknown, of_http)
}

fn of_http(error: &StreamableHttpError<reqwest::Error>) -> FailureKind {
    match error {
        StreamableHttpError::Client(error) if error.is_connect() || error.is_builder() => FailureKind::NotSent,
        StreamableHttpError::Client(error) => match error.status() {
            Some(status) if status.is_client_error() => FailureKind::Rejected,
            _ => FailureKind::Unknown,
        },
        StreamableHttpError::HttpStatus(error) if error.status == 429 => FailureKind::NotSent,
        StreamableHttpError::AuthRequired(_) | StreamableHttpError::InsufficientScope(_) => FailureKind::Rejected,
        StreamableHttpError::SessionExpired | StreamableHttpError::ReservedHeaderConflict(_) => FailureKind::NotSent,
        StreamableHttpError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => FailureKind::NotSent,
        StreamableHttpError::UnexpectedServerResponse(text) if is_client_error(text) => FailureKind::Rejected,
        _ => FailureKind::Unknown,
    }
}

/// Whether the text begins with a status that says that the request was at fault.
fn is_client_error(text: &str) -> bool {
    let status = text.strip_prefix("HTTP ").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    status.and_then(|status| status.parse::<u16>().ok()).is_some_and(|status| (400..500).contains(&status))
}

/// An error and its causes, outermost first. The transport does not hand on the cause of the HTTP client's error.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut all = Vec::new();
    let mut next = Some(error);
    while let Some(at) = next {
        all.push(at);
        next = match at.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
            Some(StreamableHttpError::Client(error)) => Some(error),
            Some(StreamableHttpError::Io(error)) => Some(error),
            _ => at.source(),
        };
    }
    all
}

/// What went wrong, in one line: the cause, without the layers that carried it.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let all = causes(error);
    if let Some(refused) = all.iter().find_map(|at| refusal(*at)) {
        return refused.0.clone();
    }
    let is_http = |at: &&(dyn StdError + 'static)| at.is::<StreamableHttpError<reqwest::Error>>();
    let from = all.iter().position(is_http).unwrap_or(0);
    let mut text = all.get(from).map(ToString::to_string).unwrap_or_default();
    for at in all.iter().skip(from + 1) {
        let more = at.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
    }
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// The guard's refusal, also where an I/O error carries it.
fn refusal<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Refused> {
    let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.downcast_ref().or_else(|| carried?.downcast_ref())
}
