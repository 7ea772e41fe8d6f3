//! Failures of stateless inferences as statuses and bodies, in either vendor's shape.

use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use mainstay_runtime::gateway::Refused;
use mainstay_vocabulary::inference::{Failure, FailureKind};
use mainstay_wire::{fields::Invalid, managed};
use serde_json::{Value, json};

use crate::error::Error;

/// What a client is told; `needs` is the parameter that only its own format can carry.
pub(super) fn refused(refused: Refused, needs: Option<&str>) -> Response {
    match refused {
        Refused::UnknownModel(model) => {
            let message = format!("The requested model '{model}' does not exist.");
            Error::not_found(message).with_code("model_not_found").with_param("model").into_response()
        }
        Refused::NeedsFormat { .. } => Error::from(Invalid::unserved(needs.unwrap_or_default())).into_response(),
        Refused::Engine(error) => Error::from(error).into_response(),
        Refused::Failed(failure) => {
            let mut response = failed(&failure).into_response();
            if let Some(wait) = failure.retry_after_ms {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.div_ceil(1_000)));
            }
            response
        }
    }
}

/// An upstream's failure as an error of ours.
pub(super) fn failed(failure: &Failure) -> Error {
    let (status, kind, code) = match failure.kind {
        FailureKind::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_request"),
        FailureKind::ContextLength => (StatusCode::BAD_REQUEST, "invalid_request_error", "context_length_exceeded"),
        FailureKind::NotFound => (StatusCode::NOT_FOUND, "not_found_error", "upstream_not_found"),
        FailureKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded"),
        FailureKind::Quota => (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", "insufficient_quota"),
        FailureKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "server_error", "upstream_timeout"),
        FailureKind::Authentication => (StatusCode::BAD_GATEWAY, "server_error", "upstream_authentication"),
        FailureKind::Connect | FailureKind::Broken | FailureKind::Upstream | FailureKind::Protocol => {
            (StatusCode::BAD_GATEWAY, "server_error", "upstream_error")
        }
    };
    Error::new(status, kind, failure.message.clone()).with_code(code)
}

/// An error inside a stream of Chat Completions.
pub(super) fn chat_frame(failure: &Failure) -> String {
    let error = failed(failure);
    let body = json!({ "error": {
        "message": error.message, "type": error.kind, "param": error.param, "code": error.code,
    }});
    format!("data: {body}\n\n")
}

/// An error inside a stream of Messages.
pub(super) fn messages_frame(failure: &Failure) -> String {
    format!("event: error\ndata: {}\n\n", anthropic(&failed(failure)))
}

fn anthropic(error: &Error) -> Value {
    managed::error::body(error.status.as_u16(), (&error.message, error.code, error.param.as_deref()), None)
}
