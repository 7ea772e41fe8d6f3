//! What a provider said, as each stateless wire shows it: whatever was read can be written, as JSON.

use mainstay_vocabulary::inference::Chunk;
use mainstay_wire::{chat, messages, stateless::Pieces};
use serde_json::Value;

use crate::rules::finished;

/// Writes a stream and a whole answer by both wires.
pub(crate) fn check(chunks: &[Chunk]) {
    let mut pieces = Pieces::default();
    let mut chat = chat::Reply::new("chatcmpl_1", "m-1", 1, chat::Options { include_usage: true });
    let mut messages = messages::Reply::new("msg_1", "m-1", "d-1");
    for chunk in chunks {
        if let Chunk::Delta(delta) = chunk {
            pieces.take(delta);
            frames(&chat.delta(delta));
            frames(&messages.delta(delta));
        }
    }
    let Some(finished) = finished(chunks) else { return };
    frames(&chat.finish(finished));
    frames(&messages.finish(finished));
    let whole = chat::object("chatcmpl_1", 1, "m-1", (&pieces, finished));
    assert!(whole["choices"][0]["message"].is_object(), "an answer without its message");
    let whole = messages::object("msg_1", "m-1", "d-1", (&pieces, finished));
    assert!(whole["content"].is_array(), "an answer without its content");
}

/// Every line of `data` is JSON or the mark of the end; a frame ends with a blank line.
fn frames(text: &str) {
    assert!(text.is_empty() || text.ends_with("\n\n"), "a frame without its end");
    let values = text.lines().filter_map(|line| line.strip_prefix("data: "));
    for value in values.filter(|value| *value != "[DONE]") {
        assert!(serde_json::from_str::<Value>(value).is_ok(), "a frame that is not JSON");
    }
}
