//! Stored files in a prompt: references become `data:` URLs just before a request is sent, never at rest.

use std::sync::Arc;

use data_encoding::BASE64;
use mainstay_session::event::{Event, Kind};
use mainstay_vocabulary::{
    Content, Item, Principal, SessionId, Tenant,
    inference::{Failure, FailureKind, Request},
    item::ToolOutput,
};

use crate::{
    engine::{Caller, Inner},
    error::Error,
};

/// What a reference begins with; the file's id follows.
const SCHEME: &str = "mainstay:";
/// Most bytes of files in one prompt: they are held in memory, written as base64.
const MAX_ATTACHED: u64 = 64 << 20;
/// What a model is told of a file that is not there (any more).
const GONE: &str = "[The file that stood here is not stored any more.]";

/// Whether any item refers to a stored file.
pub(crate) fn refers(input: &[Arc<Item>]) -> bool {
    input.iter().any(|item| contents(item).iter().any(|content| reference(content).is_some()))
}

/// Puts the files' content in the place of their references; `caller` must be able to see them.
///
/// # Errors
/// `TooLarge`: together they are more than a prompt may hold. `Unavailable`, `Corrupt`.
pub(crate) async fn attach(inner: &Arc<Inner>, caller: &Caller, input: &mut [Arc<Item>]) -> Result<(), Error> {
    let mut left = MAX_ATTACHED;
    for item in input {
        if !contents(item).iter().any(|content| reference(content).is_some()) {
            continue;
        }
        let mut whole = Item::clone(item);
        for content in contents_mut(&mut whole) {
            if let Some(file) = reference(content) {
                *content = read(inner, caller, (file, content), &mut left).await?;
            }
        }
        *item = Arc::new(whole);
    }
    Ok(())
}

/// The request with its files, on behalf of a session of `tenant`.
///
/// # Errors
/// A failure that says what is wrong with the files.
pub(crate) async fn whole(inner: Arc<Inner>, tenant: Tenant, mut request: Request) -> Result<Request, Failure> {
    let caller = Caller { tenant, principal: Principal(Arc::from("runtime")) };
    match attach(&inner, &caller, &mut request.input).await {
        Ok(()) => Ok(request),
        Err(error) => {
            let kind = match error {
                Error::TooLarge(_) => FailureKind::InvalidRequest,
                _ => FailureKind::Connect,
            };
            Err(Failure { kind, message: error.to_string(), retry_after_ms: None })
        }
    }
}

async fn read(
    inner: &Arc<Inner>,
    caller: &Caller,
    (file, content): (SessionId, &Content),
    left: &mut u64,
) -> Result<Content, Error> {
    let stored = match inner.view(caller, file).await {
        Ok(view) if view.state.kind == Kind::File => view.state,
        Ok(_) | Err(Error::NotFound) => return Ok(Content::Text(GONE.to_owned())),
        Err(error) => return Err(error),
    };
    let Some(stored) = stored.file.as_ref().filter(|stored| stored.is_whole) else {
        return Ok(Content::Text(GONE.to_owned()));
    };
    *left = left.checked_sub(stored.bytes()).ok_or(Error::TooLarge("the content of all attached files".into()))?;
    let mut bytes = Vec::new();
    for (sequence, _) in &stored.parts {
        bytes.extend(part(inner, &caller.tenant, file, *sequence).await?);
    }
    let media_type = stored.head.media_type.as_deref().unwrap_or("application/octet-stream");
    let url = format!("data:{media_type};base64,{}", BASE64.encode(&bytes));
    Ok(match content {
        Content::Image { detail, .. } => Content::Image { url, detail: detail.clone() },
        Content::File { name, .. } => Content::File {
            url,
            name: name.clone().or_else(|| Some(stored.head.name.clone())),
            media_type: stored.head.media_type.clone(),
        },
        other => other.clone(),
    })
}

/// One piece of a file.
pub(crate) async fn part(
    inner: &Arc<Inner>,
    tenant: &Tenant,
    file: SessionId,
    sequence: mainstay_vocabulary::Sequence,
) -> Result<Vec<u8>, Error> {
    let before = mainstay_vocabulary::Sequence(sequence.0.saturating_sub(1));
    let recorded = inner.journal.read(tenant, file, before, 1).await?;
    match recorded.first().map(|recorded| &*recorded.event) {
        Some(Event::FilePart(part)) => BASE64
            .decode(part.content.as_bytes())
            .map_err(|_| Error::Corrupt(format!("file {file}, piece {}: is no base64", sequence.0))),
        _ => Err(Error::NotFound),
    }
}

fn reference(content: &Content) -> Option<SessionId> {
    match content {
        Content::Image { url, .. } | Content::File { url, .. } => url.strip_prefix(SCHEME)?.parse().ok(),
        Content::Text(_) | Content::Refusal(_) | Content::Other(_) => None,
    }
}

fn contents(item: &Item) -> &[Content] {
    match item {
        Item::Message { content, .. } | Item::ToolResult { output: ToolOutput::Content(content), .. } => content,
        _ => &[],
    }
}

fn contents_mut(item: &mut Item) -> &mut [Content] {
    match item {
        Item::Message { content, .. } | Item::ToolResult { output: ToolOutput::Content(content), .. } => content,
        _ => &mut [],
    }
}
