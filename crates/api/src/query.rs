//! The query string of a request, read before its handler.

use std::ops::Deref;

use axum::{extract::FromRequestParts, http::request::Parts};
pub(crate) use mainstay_wire::query::Times;

use crate::error::Error;

/// The parameters of a request, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(mainstay_wire::query::Query);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Ok(Self(mainstay_wire::query::Query::parse(parts.uri.query().unwrap_or_default())?))
    }
}

impl Deref for Query {
    type Target = mainstay_wire::query::Query;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
