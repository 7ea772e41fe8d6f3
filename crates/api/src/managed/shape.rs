//! Gives errors this vendor's shape and every response its request id.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, header::CONTENT_LENGTH},
    middleware::Next,
    response::Response,
};
use mainstay_wire::managed::error;

use crate::{error::Error, router::RequestId};

pub(super) async fn shape(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let mut response = next.run(request).await;
    if let Some(value) = id.as_ref().and_then(|id| HeaderValue::from_str(&id.0).ok()) {
        response.headers_mut().insert("request-id", value);
    }
    let Some(told) = response.extensions_mut().remove::<Error>() else { return response };
    let told_of = (told.message.as_str(), told.code, told.param.as_deref());
    let body = error::body(told.status.as_u16(), told_of, id.as_ref().map(|id| &*id.0));
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body.to_string()))
}
