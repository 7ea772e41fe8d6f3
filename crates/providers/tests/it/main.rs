//! Tests of the providers from outside: golden pairs of encoder and decoder, hostile bytes, and the HTTP client
//! against a loopback server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a test has no runtime whose tasks and clock it could use")]

mod decode;
mod encode;
mod hostile;
mod http;
mod scripted;
mod server;

use std::{fs, path::PathBuf, sync::Arc};

use mainstay_vocabulary::{
    Item,
    inference::{Chunk, Failure, Reasoning, Request, Sampling, TextFormat},
    tool::{FunctionTool, ToolChoice},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The files of a golden folder with an extension, sorted.
fn golden(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    assert!(paths.len() >= 10, "golden files are missing");
    paths
}

/// A request as golden files and tests write it; every field may be left out.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    instructions: Option<Arc<str>>,
    input: Vec<Arc<Item>>,
    prefix: Option<String>,
    tools: Vec<FunctionTool>,
    tool_choice: ToolChoice,
    parallel_tool_calls: Option<bool>,
    sampling: Sampling,
    reasoning: Reasoning,
    text: TextFormat,
}

impl Asked {
    fn of(json: Value) -> Request {
        serde_json::from_value::<Self>(json).unwrap().request()
    }

    fn request(self) -> Request {
        Request {
            upstream_model: "m-1".to_owned(),
            deployment: "d-1".to_owned(),
            instructions: self.instructions,
            input: self.input,
            prefix: self.prefix,
            tools: self.tools.into(),
            tool_choice: self.tool_choice,
            parallel_tool_calls: self.parallel_tool_calls,
            sampling: self.sampling,
            reasoning: self.reasoning,
            text: self.text,
            idempotency_key: "key-1".to_owned(),
            extra: None,
            verbatim: None,
        }
    }
}

/// One user message.
fn user(text: &str) -> Request {
    Asked::of(json!({ "input": [{ "message": { "role": "user", "content": [{ "text": text }] } }] }))
}

/// What a stream yielded, a line of JSON each: deltas as the journal writes them, then the end or the failure.
fn lines(chunks: &[Chunk], failure: Option<&Failure>) -> String {
    let chunks = chunks.iter().map(|chunk| match chunk {
        Chunk::Delta(delta) => json!(delta),
        Chunk::Frame(frame) => json!({ "frame": frame }),
        Chunk::Finished(finished) => json!({ "finished": finished }),
    });
    let all = chunks.chain(failure.map(|failure| json!({ "failure": failure })));
    all.map(|line| format!("{line}\n")).collect()
}

/// Concatenated text of a stream's deltas.
fn text(chunks: &[Chunk]) -> String {
    use mainstay_vocabulary::inference::Delta;
    let texts = chunks.iter().filter_map(|chunk| match chunk {
        Chunk::Delta(Delta::Text { text, .. }) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
