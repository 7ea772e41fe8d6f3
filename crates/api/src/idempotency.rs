//! The `Idempotency-Key` header.

use axum::http::HeaderMap;
use mainstay_runtime::Idempotent;

use crate::{body::Raw, error::Error};

/// Longest key, bytes. Clients send UUIDs.
const MAX_KEY: usize = 255;

/// The client's key with what it covers: the operation, its target and the body. `None` without the header.
pub(crate) fn of(
    headers: &HeaderMap,
    operation: &'static str,
    target: &str,
    raw: &Raw,
) -> Result<Option<Idempotent>, Error> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len())).ok_or_else(|| {
        Error::invalid(format!("Idempotency-Key must be 1 to {MAX_KEY} visible ASCII characters."))
            .with_param("Idempotency-Key")
    })?;
    let (target, key) = (target.to_owned(), key.to_owned());
    Ok(Some(Idempotent { operation, target, key, request: raw.bytes.to_vec() }))
}
