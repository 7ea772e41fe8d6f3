//! Who calls: an API key as `Authorization: Bearer …` or `x-api-key`.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use mainstay_runtime::Caller;

use crate::{error::Error, state::AppState};

/// The caller of a request with a valid key. Put it first among a handler's arguments: without a key, no body is read.
pub(crate) struct Authenticated(pub(crate) Caller);

impl FromRequestParts<AppState> for Authenticated {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let key = key_of(&parts.headers).ok_or_else(Error::no_key)?;
        state.engine.authenticate(key).map(Self).ok_or_else(Error::wrong_key)
    }
}

fn key_of(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let key = bearer.or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()));
    key.filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_either_header() {
        let cases = [
            (Some(("authorization", "Bearer abc")), Some("abc")),
            (Some(("authorization", "bearer  abc ")), Some("abc")),
            (Some(("authorization", "Basic abc")), None),
            (Some(("authorization", "Bearer ")), None),
            (Some(("authorization", "abc")), None),
            (Some(("x-api-key", "abc")), Some("abc")),
            (Some(("x-api-key", "")), None),
            (None, None),
        ];
        for (header, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().unwrap());
            }
            assert_eq!(key_of(&headers), expected, "{header:?}");
        }
    }
}
