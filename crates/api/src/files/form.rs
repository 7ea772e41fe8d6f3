//! Forms with a file's content: fields first, then pieces as they arrive, each within bounds of size and time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{
        FromRequest, Request,
        multipart::{Field, Multipart, MultipartError},
    },
    http::header::CONTENT_TYPE,
};
use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use futures_util::stream;
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
/// How long a piece that is there already may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most fields of one form.
pub(super) const MAX_FIELDS: usize = 16;

/// How long a piece of a form may take to arrive.
pub(super) fn idle(state: &AppState) -> Duration {
    Duration::from_millis(state.settings.body_idle_ms)
}

/// The next field of a form.
pub(super) async fn next<'a>(idle: Duration, form: &'a mut Multipart) -> Result<Option<Field<'a>>, Error> {
    within(idle, form.next_field()).await
}

/// A field's text.
pub(super) async fn text(idle: Duration, mut field: Field<'_>) -> Result<String, Error> {
    let name = field.name().unwrap_or_default().to_owned();
    let mut text = BytesMut::new();
    while let Some(piece) = within(idle, field.chunk()).await? {
        if text.len() + piece.len() > MAX_FIELD {
            return Err(Error::invalid("The field is too long.").with_param(name));
        }
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text.to_vec()).map_err(|_| Error::invalid("The field is no UTF-8.").with_param(name))
}

/// A field's whole content, if it is no longer than `most`.
pub(super) async fn whole(idle: Duration, field: &mut Field<'_>, most: usize) -> Result<Option<Bytes>, Error> {
    let mut content = BytesMut::new();
    while let Some(piece) = within(idle, field.chunk()).await? {
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
        let piece = within(idle(state), field.chunk()).await?;
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

async fn within<T>(idle: Duration, reading: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Error> {
    let read = timeout(idle, reading).await.map_err(|_| {
        let message = "The body did not arrive in time.";
        Error::new(axum::http::StatusCode::REQUEST_TIMEOUT, "invalid_request_error", message)
            .with_code("request_timeout")
            .closing()
    })?;
    read.map_err(|error| Error::invalid(format!("The form cannot be read: {}.", error.body_text())).closing())
}

/// What a form says, as the routes of files read it: name, name of the file, and text or content of each field. For
/// those who bring hostile bytes.
///
/// # Errors
/// It is no form, or beyond a bound.
pub async fn read(content_type: &str, pieces: Vec<Bytes>) -> Result<Vec<(String, Option<String>, Bytes)>, String> {
    let told = |error: Error| error.message;
    let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
    let request =
        Request::builder().header(CONTENT_TYPE, content_type).body(body).map_err(|wrong| wrong.to_string())?;
    let mut form = Multipart::from_request(request, &()).await.map_err(|refused| refused.body_text())?;
    let mut fields = Vec::new();
    for _ in 0..MAX_FIELDS {
        let Some(mut field) = next(PATIENCE, &mut form).await.map_err(told)? else { break };
        let (name, file) = (field.name().unwrap_or_default().to_owned(), field.file_name().map(str::to_owned));
        let content = match file {
            None => Bytes::from(text(PATIENCE, field).await.map_err(told)?),
            Some(_) => match whole(PATIENCE, &mut field, MAX_PART).await.map_err(told)? {
                Some(content) => content,
                None => return Err("The content is too long.".to_owned()),
            },
        };
        fields.push((name, file, content));
    }
    Ok(fields)
}
