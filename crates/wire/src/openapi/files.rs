//! Schemas of files and uploads.

use serde_json::{Value, json};

use super::schema::{
    any_object, choice, constant, count, deleted, list, nullable, object, page, reference, seconds, text,
};
use crate::files::PURPOSES;

/// All of them.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let expiry = object([
        ("anchor", constant("created_at")),
        ("seconds", json!({ "type": "integer", "minimum": 3_600, "maximum": 2_592_000 })),
    ]);
    let form = object([("purpose", choice(&PURPOSES)), ("file", content()), ("expires_after?", expiry.clone())]);
    let upload_body = object([
        ("filename", name()),
        ("purpose", choice(&PURPOSES)),
        ("mime_type", text()),
        ("bytes", json!({ "type": "integer", "minimum": 1, "maximum": mainstay_session::file::MAX_FILE })),
        ("expires_after?", nullable(expiry)),
    ]);
    let part =
        object([("id", text()), ("object", constant("upload.part")), ("created_at", seconds()), ("upload_id", text())]);
    vec![
        ("File", file()),
        ("FileList", page("File")),
        ("FileDeleted", deleted("file")),
        ("FileForm", form),
        ("UploadBody", upload_body),
        ("Upload", upload()),
        ("PartForm", object([("data", content())])),
        ("UploadPart", part),
        ("CompletionBody", object([("part_ids", list(text()))])),
    ]
}

fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 512 })
}

fn content() -> Value {
    json!({ "type": "string", "contentMediaType": "application/octet-stream" })
}

fn file() -> Value {
    object([
        ("id", text()),
        ("object", constant("file")),
        ("bytes", count()),
        ("created_at", seconds()),
        ("expires_at", nullable(seconds())),
        ("filename", text()),
        ("purpose", choice(&PURPOSES)),
        ("status", constant("processed")),
        ("status_details", nullable(any_object())),
    ])
}

fn upload() -> Value {
    object([
        ("id", text()),
        ("object", constant("upload")),
        ("bytes", count()),
        ("created_at", seconds()),
        ("expires_at", seconds()),
        ("filename", text()),
        ("purpose", choice(&PURPOSES)),
        ("status", choice(&["pending", "completed", "cancelled"])),
        ("file", nullable(reference("File"))),
    ])
}
