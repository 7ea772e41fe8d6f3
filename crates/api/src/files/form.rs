//! Forms with a file's content: fields first, then pieces as they arrive, each within bounds of size and time.

use std::{sync::Arc, time::Duration};

use axum::extract::multipart::{Field, Multipart, MultipartError};
use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use mainstay_runtime::Caller;
use mainstay_session::{
    Command, State,
    event::{FileHead, FilePart, Kind},
    file::MAX_PART,
};
use mainstay_vocabulary::{Sequence, SessionId};
use tokio::time::timeout;

use crate::{error::Error, state::AppState};

/// Longest text field, bytes.
const MAX_FIELD: usize = 4_096;
/// Most fields of one form.
pub(super) const MAX_FIELDS: usize = 16;

/// The next field of a form.
pub(super) async fn next<'a>(state: &AppState, form: &'a mut Multipart) -> Result<Option<Field<'a>>, Error> {
    within(state, form.next_field()).await
}

/// A field's text.
pub(super) async fn text(state: &AppState, mut field: Field<'_>) -> Result<String, Error> {
    let name = field.name().unwrap_or_default().to_owned();
    let mut text = BytesMut::new();
    while let Some(piece) = within(state, field.chunk()).await? {
        if text.len() + piece.len() > MAX_FIELD {
            return Err(Error::invalid("The field is too long.").with_param(name));
        }
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text.to_vec()).map_err(|_| Error::invalid("The field is no UTF-8.").with_param(name))
}

/// A field's whole content, if it is no longer than `most`.
pub(super) async fn whole(state: &AppState, field: &mut Field<'_>, most: usize) -> Result<Option<Bytes>, Error> {
    let mut content = BytesMut::new();
    while let Some(piece) = within(state, field.chunk()).await? {
        if content.len() + piece.len() > most {
            return Ok(None);
        }
        content.extend_from_slice(&piece);
    }
    Ok(Some(content.freeze()))
}

/// Begins a file's journal.
pub(super) async fn begin(state: &AppState, caller: &Caller, head: FileHead) -> Result<Arc<State>, Error> {
    let engine = &state.engine;
    let file = engine.session_id(caller, None, None);
    let create = Command::begin(Kind::File);
    engine.submit(caller, file, create, None).await?;
    Ok(engine.submit(caller, file, Command::BeginFile(head), None).await?.state)
}

/// Where the pieces of one field were stored: the first, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) first: Sequence,
    pub(super) pieces: u32,
}

/// Stores content that was read already.
pub(super) async fn store_whole(
    state: &AppState,
    caller: &Caller,
    file: SessionId,
    content: &[u8],
) -> Result<(), Error> {
    for piece in content.chunks(MAX_PART) {
        add(state, caller, file, piece).await?;
    }
    Ok(())
}

/// Stores a field's content as it arrives. The pieces stand one after the other: nobody else adds meanwhile, or the
/// whole field is refused.
pub(super) async fn store(
    state: &AppState,
    caller: &Caller,
    file: SessionId,
    mut field: Field<'_>,
) -> Result<Stored, Error> {
    let mut stored: Option<Stored> = None;
    let mut gathered = BytesMut::new();
    loop {
        let piece = within(state, field.chunk()).await?;
        let is_over = piece.is_none();
        gathered.extend_from_slice(&piece.unwrap_or_default());
        while gathered.len() >= MAX_PART || is_over && (!gathered.is_empty() || stored.is_none()) {
            let content = gathered.split_to(gathered.len().min(MAX_PART));
            let at = add(state, caller, file, &content).await?;
            stored = Some(match stored {
                None => Stored { first: at, pieces: 1 },
                Some(stored) if stored.first.0 + u64::from(stored.pieces) == at.0 => {
                    Stored { pieces: stored.pieces + 1, ..stored }
                }
                Some(_) => {
                    return Err(Error::conflict("Another part was added at the same time; send this one again."));
                }
            });
        }
        if let (true, Some(stored)) = (is_over, stored) {
            return Ok(stored);
        }
    }
}

async fn add(state: &AppState, caller: &Caller, file: SessionId, content: &[u8]) -> Result<Sequence, Error> {
    let part = FilePart { content: Arc::from(BASE64.encode(content)), bytes: content.len() as u64 };
    Ok(state.engine.submit(caller, file, Command::AddFilePart(part), None).await?.first)
}

async fn within<T>(state: &AppState, reading: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Error> {
    let idle = Duration::from_millis(state.settings.body_idle_ms);
    let read = timeout(idle, reading).await.map_err(|_| {
        let message = "The body did not arrive in time.";
        Error::new(axum::http::StatusCode::REQUEST_TIMEOUT, "invalid_request_error", message)
            .with_code("request_timeout")
            .closing()
    })?;
    read.map_err(|error| Error::invalid(format!("The form cannot be read: {}.", error.body_text())).closing())
}
