//! Path parameters, with errors in the wire's shape.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::error::Error;

/// The parameters of the route, in order: one value or a tuple.
pub(crate) struct Ids<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Ids<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let found = Path::<T>::from_request_parts(parts, state).await;
        found.map(|Path(ids)| Self(ids)).map_err(|_| Error::invalid("The path is not properly encoded."))
    }
}
