//! Files and uploads, relative to `/v1`. Content is stored piece by piece as it arrives, so that a large file costs no
//! more memory than a small one.

mod content;
mod file;
pub(crate) mod form;
mod upload;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use mainstay_runtime::Caller;
use mainstay_session::{State, event::Kind};
use mainstay_vocabulary::SessionId;

use crate::{error::Error, state::AppState};

/// Its routes.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/files", post(file::create).get(file::list))
        .route("/files/{file_id}", get(file::retrieve).delete(file::delete))
        .route("/files/{file_id}/content", get(content::read))
        .route("/uploads", post(upload::create))
        .route("/uploads/{upload_id}/parts", post(upload::add_part))
        .route("/uploads/{upload_id}/complete", post(upload::complete))
        .route("/uploads/{upload_id}/cancel", post(upload::cancel))
        // Bounded by the size of a file instead.
        .layer(DefaultBodyLimit::disable())
}

/// The journal that a path names, of a file that is whole.
async fn find(state: &AppState, caller: &Caller, id: &str) -> Result<Arc<State>, Error> {
    let found = find_any(state, caller, read_id(id, "file_").ok_or_else(no_file)?).await?;
    let is_whole = found.file.as_ref().is_some_and(|file| file.is_whole);
    if is_whole { Ok(found) } else { Err(no_file()) }
}

async fn find_any(state: &AppState, caller: &Caller, file: SessionId) -> Result<Arc<State>, Error> {
    let found = state.engine.state(caller, file).await.map_err(|error| match error {
        mainstay_runtime::Error::NotFound => no_file(),
        other => other.into(),
    })?;
    if found.kind == Kind::File && found.file.is_some() { Ok(found) } else { Err(no_file()) }
}

fn read_id(id: &str, prefix: &str) -> Option<SessionId> {
    id.strip_prefix(prefix)?.parse().ok()
}

fn no_file() -> Error {
    Error::not_found("There is no such file.")
}
