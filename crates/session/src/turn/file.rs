//! A stored file: begun, filled piece by piece, made whole. After that nothing of it changes.

use std::collections::BTreeSet;

use mainstay_vocabulary::Sequence;

use super::draft::Draft;
use crate::{
    command::Refusal,
    event::{Event, FileHead, FilePart, Kind},
    file::{MAX_FILE, MAX_PART, MAX_PARTS, StoredFile},
};

pub(super) fn begin(draft: &mut Draft<'_>, head: FileHead) -> Result<(), Refusal> {
    if draft.state.kind != Kind::File || draft.state.file.is_some() {
        return Err(Refusal::NotFound);
    }
    if head.announced.is_some_and(|bytes| bytes > MAX_FILE) {
        return Err(Refusal::TooMany("bytes of a file".into()));
    }
    draft.push(Event::FileBegun(head));
    Ok(())
}

pub(super) fn add_part(draft: &mut Draft<'_>, part: FilePart) -> Result<(), Refusal> {
    let file = growing(draft)?;
    let most = file.head.announced.unwrap_or(MAX_FILE).min(MAX_FILE);
    if part.bytes > MAX_PART as u64 || file.bytes().saturating_add(part.bytes) > most {
        return Err(Refusal::TooMany("bytes of a file".into()));
    }
    if file.parts.len() >= MAX_PARTS {
        return Err(Refusal::TooMany("pieces of a file".into()));
    }
    draft.push(Event::FilePart(part));
    Ok(())
}

pub(super) fn complete(draft: &mut Draft<'_>, parts: Option<Vec<Sequence>>) -> Result<(), Refusal> {
    let file = growing(draft)?;
    let parts = parts.unwrap_or_else(|| file.parts.iter().map(|(sequence, _)| *sequence).collect());
    let size = |sequence: &Sequence| file.parts.iter().find(|(place, _)| place == sequence).map(|(_, bytes)| *bytes);
    let sizes: Option<Vec<u64>> = parts.iter().map(size).collect();
    let sizes = sizes.ok_or_else(|| Refusal::Invalid("a named part is not one of this upload".to_owned()))?;
    if parts.iter().collect::<BTreeSet<_>>().len() != parts.len() {
        return Err(Refusal::Invalid("a part is named twice".to_owned()));
    }
    let bytes: u64 = sizes.iter().sum();
    if let Some(announced) = file.head.announced.filter(|announced| *announced != bytes) {
        return Err(Refusal::Invalid(format!("{announced} bytes were announced, and {bytes} came")));
    }
    draft.push(Event::FileCompleted { parts });
    Ok(())
}

fn growing<'a>(draft: &'a Draft<'_>) -> Result<&'a StoredFile, Refusal> {
    match &draft.state.file {
        None => Err(Refusal::NotFound),
        Some(file) if file.is_whole => Err(Refusal::Invalid("the file is whole already".to_owned())),
        Some(file) => Ok(file),
    }
}
