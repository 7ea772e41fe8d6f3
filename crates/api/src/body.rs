//! Request bodies: read whole within bounds of size, time and memory, then parsed as one JSON object.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use mainstay_vocabulary::Object;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{error::Error, state::AppState};

/// Most values in one body: a parsed value takes up to forty times the bytes of its text.
const MAX_VALUES: usize = 1_000_000;

/// The bytes of a body and the memory they are accounted for.
pub(crate) struct Raw {
    /// As sent.
    pub(crate) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

/// A body that is a JSON object.
pub(crate) struct JsonObject {
    /// Parsed.
    pub(crate) object: Object,
    /// As sent; what an idempotency key covers.
    pub(crate) raw: Raw,
}

impl FromRequest<AppState> for Raw {
    type Rejection = Error;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let total = Duration::from_millis(state.settings.body_ms);
        timeout(total, collect(&parts.headers, body, state)).await.map_err(|_| too_slow())?
    }
}

impl FromRequest<AppState> for JsonObject {
    type Rejection = Error;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Error> {
        let raw = Raw::from_request(request, state).await?;
        let object = parse(&raw.bytes)?;
        Ok(Self { object, raw })
    }
}

async fn collect(headers: &HeaderMap, body: Body, state: &AppState) -> Result<Raw, Error> {
    let limit = state.settings.body_limit;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let idle = Duration::from_millis(state.settings.body_idle_ms);
    let mut pieces = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut memory = None;
    while let Some(piece) = timeout(idle, pieces.next()).await.map_err(|_| too_slow())? {
        let piece = piece.map_err(|_| Error::invalid("The body could not be read.").closing())?;
        let length = bytes.len() + piece.len();
        if length > limit {
            return Err(too_large(limit));
        }
        if !reserve(state, &mut memory, length) {
            return Err(Error::unavailable("Too many large requests at once."));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Raw { bytes: bytes.freeze(), _memory: memory })
}

/// Accounts for a message that has arrived whole.
pub(crate) fn account(state: &AppState, length: usize) -> Result<OwnedSemaphorePermit, Error> {
    let mut memory = None;
    let is_there = reserve(state, &mut memory, length);
    memory.filter(|_| is_there).ok_or_else(|| Error::unavailable("Too many large requests at once."))
}

/// Grows `memory` to cover `needed` bytes.
fn reserve(state: &AppState, memory: &mut Option<OwnedSemaphorePermit>, needed: usize) -> bool {
    let held = memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    // Twice the bytes: the buffer grows by doubling.
    let more = (2 * needed / 1_024 + 1).saturating_sub(held);
    let Ok(more) = u32::try_from(more) else { return false };
    let Ok(permit) = std::sync::Arc::clone(&state.bodies).try_acquire_many_owned(more) else { return false };
    match memory {
        Some(memory) => memory.merge(permit),
        None => *memory = Some(permit),
    }
    true
}

fn too_large(limit: usize) -> Error {
    Error::too_large(format!("The body is larger than {limit} bytes."))
}

fn too_slow() -> Error {
    let message = "The body did not arrive in time.";
    Error::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", message).with_code("request_timeout").closing()
}

/// Reads one JSON object. An empty body counts as an empty object.
pub(crate) fn parse(bytes: &[u8]) -> Result<Object, Error> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Object::new());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Error::invalid(format!("The body is not valid UTF-8 at byte {}.", error.valid_up_to()))
            .with_code("invalid_json")
    })?;
    if count_values(text) > MAX_VALUES {
        return Err(Error::too_large(format!("The body holds more than {MAX_VALUES} values.")));
    }
    let value = serde_json::from_str(text)
        .map_err(|error| Error::invalid(format!("The body is not valid JSON: {error}.")).with_code("invalid_json"))?;
    match value {
        serde_json::Value::Object(object) => Ok(object),
        _ => Err(Error::invalid("The body must be a JSON object.").with_code("invalid_json")),
    }
}

/// An upper bound on the values in a JSON text: commas and openings outside strings.
fn count_values(text: &str) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in text.bytes() {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b',' | b'[' | b'{' | b':') => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_json_object_is_taken() {
        assert_eq!(parse(b" \n").unwrap(), Object::new());
        assert_eq!(parse(br#"{"a":1}"#).unwrap()["a"], 1);
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        let long = format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_VALUES));
        let cases: [(&[u8], u16); 8] = [
            (b"[1]", 400),
            (b"null", 400),
            (b"{\"a\":", 400),
            (b"{} x", 400),
            (b"\xff\xfe", 400),
            (b"{\"a\":\"\xff\"}", 400),
            (deep.as_bytes(), 400),
            (long.as_bytes(), 413),
        ];
        for (body, status) in cases {
            assert_eq!(parse(body).unwrap_err().status, status, "{:?}", &body[..body.len().min(20)]);
        }
    }

    #[test]
    fn what_stands_in_strings_is_not_counted() {
        assert_eq!(count_values(r#"{"a":",,[[{{\",","b":[1,2]}"#), 7);
    }
}
