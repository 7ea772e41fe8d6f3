//! OpenAI's Files and Uploads: what is asked, what is shown. An upload and the file that it becomes are one journal.

use mainstay_session::{
    State,
    event::FileHead,
    file::{MAX_FILE, StoredFile},
};
use mainstay_vocabulary::{ItemId, Object, Sequence, SessionId, Timestamp};
use serde_json::{Value, json};

use crate::fields::{Fields, Invalid};

/// What files may be kept for; the vendor's list.
pub const PURPOSES: [&str; 7] = ["assistants", "batch", "evals", "fine-tune", "user_data", "vision", "input_file"];
/// Longest name, bytes.
const MAX_NAME: usize = 512;
/// Shortest and longest time that a file may be kept, seconds; the vendor's limits.
const KEPT_S: (u64, u64) = (3_600, 2_592_000);
/// How long an upload may take, milliseconds; the vendor's hour.
const UPLOAD_MS: u64 = 3_600_000;
/// Most parts that one completion names.
const MAX_PARTS: usize = mainstay_session::file::MAX_PARTS;
/// Media types by the end of a name, where nobody said.
const MEDIA_TYPES: [(&str, &str); 12] = [
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("md", "text/markdown"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("txt", "text/plain"),
    ("webp", "image/webp"),
];

/// The text of a file's id.
pub fn file_id(file: SessionId) -> String {
    format!("file_{file}")
}

/// The text of an upload's id.
pub fn upload_id(file: SessionId) -> String {
    format!("upload_{file}")
}

/// The text of the id of an upload's part: its first piece and how many there are.
pub fn part_id(file: SessionId, first: Sequence, pieces: u32) -> String {
    format!("part_{}", ItemId { session: file, sequence: first, ordinal: pieces })
}

/// What a form says of a file, before its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    purpose: Option<String>,
    anchor: Option<String>,
    kept_s: Option<String>,
}

impl Form {
    /// Takes a field of the form.
    ///
    /// # Errors
    /// The field is not served.
    pub fn take(&mut self, name: &str, value: String) -> Result<(), Invalid> {
        match name {
            "purpose" => self.purpose = Some(value),
            "expires_after[anchor]" => self.anchor = Some(value),
            "expires_after[seconds]" => self.kept_s = Some(value),
            other => return Err(Invalid::unserved(other)),
        }
        Ok(())
    }

    /// Whether all is known that must be before the content is taken.
    pub const fn is_ready(&self) -> bool {
        self.purpose.is_some()
    }

    /// What the file is to be.
    ///
    /// # Errors
    /// Names the field that is wrong or missing.
    pub fn head(&self, name: &str, media_type: Option<&str>, now: Timestamp) -> Result<FileHead, Invalid> {
        let purpose = check_purpose(self.purpose.clone())?;
        let kept_s = match &self.kept_s {
            None => None,
            Some(text) => {
                let seconds = text.parse().map_err(|_| Invalid::kind("expires_after.seconds", "an integer"))?;
                Some(check_kept(self.anchor.as_deref(), seconds)?)
            }
        };
        let name = check_name(name.to_owned(), "file")?;
        Ok(head(Head { name, purpose, media_type: media_type.map(str::to_owned), announced: None }, kept_s, now))
    }
}

/// Reads the body that begins an upload.
///
/// # Errors
/// Names the parameter that is wrong.
pub fn read_upload(object: Object, now: Timestamp) -> Result<FileHead, Invalid> {
    let mut fields = Fields::root(object);
    let name = check_name(fields.needed_text("filename")?, "filename")?;
    let purpose = check_purpose(fields.text("purpose")?)?;
    let media_type = Some(fields.needed_text("mime_type")?);
    let announced = Some(fields.count("bytes", 1..=MAX_FILE)?.ok_or_else(|| Invalid::missing("bytes"))?);
    let kept_s = match fields.fields("expires_after")? {
        None => None,
        Some(mut after) => {
            let anchor = after.text("anchor")?;
            let seconds =
                after.count("seconds", 0..=u64::MAX)?.ok_or_else(|| Invalid::missing("expires_after.seconds"))?;
            Some(check_kept(anchor.as_deref(), seconds)?)
        }
    };
    if let Some(unknown) = fields.rest().keys().next() {
        return Err(Invalid::unserved(unknown));
    }
    Ok(head(Head { name, purpose, media_type, announced }, kept_s, now))
}

/// Reads the body that completes an upload: sequences of its pieces.
///
/// # Errors
/// Names the parameter that is wrong.
pub fn read_completion(object: Object, file: SessionId) -> Result<Vec<Sequence>, Invalid> {
    let mut fields = Fields::root(object);
    let ids = fields.list("part_ids", MAX_PARTS)?.ok_or_else(|| Invalid::missing("part_ids"))?;
    if let Some(unknown) = fields.rest().keys().next() {
        return Err(Invalid::unserved(unknown));
    }
    let mut pieces = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        let part: Option<ItemId> = id.as_str().and_then(|id| id.strip_prefix("part_")?.parse().ok());
        let Some(part) = part.filter(|part| part.session == file && part.ordinal as usize <= MAX_PARTS) else {
            let message = "It is not the id of a part of this upload.";
            return Err(Invalid::value(format!("part_ids[{index}]"), message));
        };
        pieces.extend((0..u64::from(part.ordinal)).map(|piece| Sequence(part.sequence.0.saturating_add(piece))));
        if pieces.len() > MAX_PARTS {
            return Err(Invalid::value("part_ids", format!("A file may have at most {MAX_PARTS} pieces.")));
        }
    }
    Ok(pieces)
}

struct Head {
    name: String,
    purpose: String,
    media_type: Option<String>,
    announced: Option<u64>,
}

fn head(head: Head, kept_s: Option<u64>, now: Timestamp) -> FileHead {
    let Head { name, purpose, media_type, announced } = head;
    // What clients send when they do not know.
    let said = media_type.filter(|kind| kind != "application/octet-stream");
    let media_type = said.or_else(|| media_type_of(&name).map(str::to_owned));
    FileHead {
        name,
        purpose,
        media_type,
        announced,
        expires_at: kept_s.map(|seconds| now.plus_ms(seconds.saturating_mul(1_000))),
        whole_by: Some(now.plus_ms(UPLOAD_MS)),
    }
}

fn media_type_of(name: &str) -> Option<&'static str> {
    let (_, end) = name.rsplit_once('.')?;
    MEDIA_TYPES.iter().find(|(known, _)| end.eq_ignore_ascii_case(known)).map(|(_, kind)| *kind)
}

fn check_purpose(purpose: Option<String>) -> Result<String, Invalid> {
    let purpose = purpose.ok_or_else(|| Invalid::missing("purpose"))?;
    if PURPOSES.contains(&purpose.as_str()) {
        return Ok(purpose);
    }
    Err(Invalid::value("purpose", format!("Expected one of {}.", PURPOSES.join(", "))))
}

fn check_name(name: String, param: &str) -> Result<String, Invalid> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Invalid::value(param, format!("A file's name has 1 to {MAX_NAME} bytes.")));
    }
    Ok(name)
}

fn check_kept(anchor: Option<&str>, seconds: u64) -> Result<u64, Invalid> {
    if anchor != Some("created_at") {
        return Err(Invalid::value("expires_after.anchor", "Expected created_at."));
    }
    if !(KEPT_S.0..=KEPT_S.1).contains(&seconds) {
        let message = format!("A file is kept from {} to {} seconds.", KEPT_S.0, KEPT_S.1);
        return Err(Invalid::value("expires_after.seconds", message));
    }
    Ok(seconds)
}

/// A stored file; `None` if the session is none that is whole.
pub fn file(state: &State) -> Option<Value> {
    let stored = state.file.as_ref().filter(|stored| stored.is_whole)?;
    Some(json!({
        "id": file_id(state.session), "object": "file", "bytes": stored.bytes(),
        "created_at": state.created_at.seconds(),
        "expires_at": stored.head.expires_at.map(Timestamp::seconds),
        "filename": stored.head.name, "purpose": stored.head.purpose, "status": "processed", "status_details": null,
    }))
}

/// An upload; `None` if the session is none.
pub fn upload(state: &State) -> Option<Value> {
    let stored = state.file.as_ref()?;
    let status = match (stored.is_whole, state.deleted) {
        (_, true) => "cancelled",
        (true, false) => "completed",
        (false, false) => "pending",
    };
    Some(json!({
        "id": upload_id(state.session), "object": "upload", "bytes": announced(stored),
        "created_at": state.created_at.seconds(),
        "expires_at": stored.head.whole_by.map_or(0, Timestamp::seconds),
        "filename": stored.head.name, "purpose": stored.head.purpose, "status": status,
        "file": if state.deleted { None } else { file(state) },
    }))
}

fn announced(stored: &StoredFile) -> u64 {
    stored.head.announced.unwrap_or_else(|| stored.bytes())
}

/// A part of an upload.
pub fn part(state: &State, first: Sequence, pieces: u32) -> Value {
    json!({
        "id": part_id(state.session, first, pieces), "object": "upload.part",
        "created_at": state.active_at.seconds(), "upload_id": upload_id(state.session),
    })
}

#[cfg(test)]
mod tests {
    use mainstay_vocabulary::Shard;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn form(fields: &[(&str, &str)]) -> Form {
        let mut form = Form::default();
        fields.iter().for_each(|(name, value)| form.take(name, (*value).to_owned()).unwrap());
        form
    }

    #[test]
    fn a_form_says_what_a_file_is() {
        let form = form(&[
            ("purpose", "user_data"),
            ("expires_after[anchor]", "created_at"),
            ("expires_after[seconds]", "3600"),
        ]);
        let head = form.head("A.PDF", Some("application/octet-stream"), NOW).unwrap();
        assert_eq!(head.media_type.as_deref(), Some("application/pdf"), "told by the name");
        assert_eq!(head.expires_at, Some(NOW.plus_ms(3_600_000)));
        assert_eq!(form.head("a.bin", Some("image/png"), NOW).unwrap().media_type.as_deref(), Some("image/png"));
    }

    #[test]
    fn refusals_name_the_field() {
        let refused = |fields: &[(&str, &str)], name: &str| form(fields).head(name, None, NOW).unwrap_err().param;
        assert_eq!(refused(&[], "a"), "purpose");
        assert_eq!(refused(&[("purpose", "fun")], "a"), "purpose");
        assert_eq!(refused(&[("purpose", "vision")], ""), "file");
        assert_eq!(refused(&[("purpose", "vision"), ("expires_after[seconds]", "x")], "a"), "expires_after.seconds");
        assert_eq!(refused(&[("purpose", "vision"), ("expires_after[seconds]", "9")], "a"), "expires_after.anchor");
        assert_eq!(Form::default().take("more", String::new()).unwrap_err().param, "more");
        let upload = |body: Value| read_upload(body.as_object().cloned().unwrap(), NOW).unwrap_err().param;
        assert_eq!(upload(json!({ "filename": "a", "purpose": "vision", "mime_type": "a/b" })), "bytes");
        let much = json!({ "filename": "a", "purpose": "vision", "mime_type": "a/b", "bytes": MAX_FILE + 1 });
        assert_eq!(upload(much), "bytes");
    }

    #[test]
    fn parts_are_named_by_their_place() {
        let file = SessionId::new(Shard(0), [7; 16]);
        let other = SessionId::new(Shard(0), [8; 16]);
        let read = |ids: Value| read_completion(json!({ "part_ids": ids }).as_object().cloned().unwrap(), file);
        let ids = json!([part_id(file, Sequence(9), 2), part_id(file, Sequence(3), 1)]);
        assert_eq!(read(ids).unwrap(), [Sequence(9), Sequence(10), Sequence(3)]);
        for wrong in [json!("x"), json!(3), json!(part_id(other, Sequence(3), 1)), json!(file_id(file))] {
            assert_eq!(read(json!([wrong])).unwrap_err().param, "part_ids[0]");
        }
        assert_eq!(read(json!([part_id(file, Sequence(3), u32::MAX)])).unwrap_err().param, "part_ids[0]");
    }
}
