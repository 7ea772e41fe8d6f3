//! A file's content, read piece by piece. Never shown in place: what a file holds is not to be run by a browser.

use axum::{
    body::Body,
    extract::State,
    http::{
        HeaderValue,
        header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;

use super::find;
use crate::{auth::Authenticated, error::Error, path::Ids, state::AppState};

pub(super) async fn read(
    Authenticated(caller): Authenticated,
    State(state): State<AppState>,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    let found = find(&state, &caller, &id).await?;
    let Some(file) = &found.file else { return Err(super::no_file()) };
    let length = file.bytes();
    let parts: Vec<_> = file.parts.iter().map(|(sequence, _)| *sequence).collect();
    let start = (state, caller, found.session, parts.into_iter());
    let pieces = stream::try_unfold(start, |(state, caller, file, mut parts)| async move {
        let Some(part) = parts.next() else { return Ok::<_, mainstay_runtime::Error>(None) };
        let piece = state.engine.file_part(&caller, file, part).await?;
        Ok(Some((Bytes::from(piece), (state, caller, file, parts))))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
