//! Errors in OpenAI's shape, and the one place where the runtime's errors and a session's refusals get a status.

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use mainstay_session::Refusal;
use mainstay_wire::fields::Invalid;
use serde_json::json;

/// Seconds after which a refused client may try again.
const RETRY_AFTER_S: u32 = 1;

/// The code of the one conflict that goes away by waiting.
const BUSY: &str = "session_busy";

/// What a client is told. `message` is safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// `type` in the body.
    pub(crate) kind: &'static str,
    /// `code` in the body.
    pub(crate) code: Option<&'static str>,
    /// Path of the field that is wrong.
    pub(crate) param: Option<String>,
    /// One or two sentences.
    pub(crate) message: String,
    /// Whether the rest of the request may not have been read, so that the connection ends.
    pub(crate) closes: bool,
}

impl Error {
    /// Any error without a code.
    pub(crate) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code: None, param: None, message: message.into(), closes: false }
    }

    /// 400: the request is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// 400: an operation or parameter of the vendor's API that is not served.
    pub(crate) fn unsupported(what: &str) -> Self {
        Self::invalid(format!("{what} is not served by this server.")).with_code("unsupported_operation")
    }

    /// 404: no such object, or not the caller's.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found_error", message).with_code("not_found")
    }

    /// 409: the object does not stand as the request needs it; the same request will not do later either.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict_error", message).with_code("conflict")
    }

    /// 413: the body is too large.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message).with_code("request_too_large")
    }

    /// 503: try again soon.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).with_code("unavailable")
    }

    /// 500: a fault here.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message).with_code("internal_error")
    }

    /// 401: no key was sent.
    pub(crate) fn no_key() -> Self {
        Self::unauthorized("No API key was sent. Put it into the Authorization header as 'Bearer KEY'.")
    }

    /// 401: the key is not known.
    pub(crate) fn wrong_key() -> Self {
        Self::unauthorized("The API key is not valid.")
    }

    fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message).with_code("invalid_api_key")
    }

    /// The same with a `code`.
    pub(crate) fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The same, naming the field.
    pub(crate) fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The same; the connection ends after it.
    pub(crate) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }
}

impl From<mainstay_runtime::Error> for Error {
    fn from(error: mainstay_runtime::Error) -> Self {
        use mainstay_runtime::Error as Runtime;
        match error {
            Runtime::NotFound => Self::not_found("There is no such object."),
            Runtime::Refused(refusal) => refusal.into(),
            Runtime::IdempotencyMismatch => {
                let message = "The Idempotency-Key was used before with another request.";
                Self::conflict(message).with_code("idempotency_key_reused")
            }
            Runtime::Full => {
                let message = "The server's disk is full; nothing was accepted.";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "server_error", message).with_code("storage_full")
            }
            Runtime::Unavailable(message) => Self::unavailable(message),
            Runtime::Elsewhere => Self::unavailable("No node drives the session just now; try again."),
            Runtime::Overloaded(what) => {
                let message = format!("Too much at once: {what}. Try again later.");
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message).with_code("overloaded")
            }
            Runtime::Corrupt(message) => {
                tracing::error!(%message, "a session's journal cannot be read");
                Self::internal("The session cannot be read.").with_code("corrupt")
            }
            Runtime::TooLarge(what) => Self::too_large(format!("{what} is too large.")),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::not_found("There is no such object."),
            Refusal::Exists => Self::conflict("The object exists already."),
            Refusal::Busy => Self::conflict("A turn is running; try again when it is over.").with_code(BUSY),
            Refusal::NotHead => Self::conflict("Something newer follows the named turn."),
            Refusal::TurnNotFound => Self::not_found("There is no such turn."),
            Refusal::ItemNotFound => Self::not_found("There is no such item."),
            Refusal::AgentNotFound => Self::not_found("There is no such agent."),
            Refusal::AgentChanged => Self::conflict("The agent has a newer version than the one that was named."),
            Refusal::Archived => Self::conflict("It is archived and takes no change.").with_code("archived"),
            Refusal::NothingToCancel => Self::conflict("Nothing is running that could be cancelled."),
            // The text and code that openai-python takes for "not yet" and tries again.
            Refusal::CallNotOpen(call) => {
                Self::invalid(format!("Unknown pending tool call: {}", call.0)).with_code("invalid_request_error")
            }
            Refusal::CallOfAnotherTurn(call) => {
                Self::invalid(format!("The function call {} belongs to another turn.", call.0)).with_param("turn_id")
            }
            Refusal::CallsUnanswered(calls) => {
                let calls: Vec<_> = calls.iter().map(|call| call.0.as_str()).collect();
                Self::invalid(format!("No tool output found for function call {}.", calls.join(", ")))
            }
            Refusal::ApprovalNotOpen(_) => {
                Self::conflict("Nobody is asked this, or it was answered before.").with_code("approval_not_open")
            }
            Refusal::NotApprover(approvers) => {
                let message = format!("Only these may answer: {}.", approvers.join(", "));
                Self::new(StatusCode::FORBIDDEN, "permission_error", message).with_code("not_an_approver")
            }
            Refusal::NotUnknown(_) => {
                let message = "There is no such call, or its outcome is known.";
                Self::conflict(message).with_code("outcome_known")
            }
            Refusal::TooMany(what) => Self::invalid(format!("Too many: {what}.")).with_code("limit_reached"),
            Refusal::Invalid(message) => Self::invalid(message),
            Refusal::NotKept => {
                let message = "Nothing of the session was stored, and it is no longer in memory.";
                Self::not_found(message).with_code("not_stored")
            }
            Refusal::Stale => Self::unavailable("The session changed meanwhile; try again."),
        }
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        let error = Self::invalid(invalid.message).with_code(invalid.code);
        if invalid.param.is_empty() { error } else { error.with_param(invalid.param) }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = json!({ "error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        }});
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        if self.status == StatusCode::CONFLICT && self.code != Some(BUSY) {
            // The vendor's SDKs repeat a 409 unless told not to.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // For those who give it another vendor's shape.
        response.extensions_mut().insert(self);
        response
    }
}
