//! Tests of the providers from outside: golden pairs of encoder and decoder, hostile bytes, and the HTTP client
//! against a loopback server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a test has no runtime whose tasks and clock it could use")]

mod anthropic;
mod decode;
mod encode;
mod hostile;
mod http;
mod known_failures;
mod responses;
mod scripted;
mod server;

use std::{fs, path::PathBuf, sync::Arc};

use mainstay_providers::http::decode::Decoder;
use mainstay_vocabulary::{
    Item, Object,
    inference::{Chunk, Extra, Failure, Format, Reasoning, Request, Sampling, TextFormat, Verbatim},
    tool::{FunctionTool, ToolChoice},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// A format's decoder and the folder of its golden streams.
struct Codec {
    streams: &'static str,
    decoder: fn() -> Decoder,
}

const CODECS: [Codec; 3] = [
    Codec { streams: "openai_chat/decode", decoder: mainstay_providers::openai_chat::decode::decoder },
    Codec { streams: "openai_responses/decode", decoder: mainstay_providers::openai_responses::decoder },
    Codec {
        streams: "anthropic/decode",
        decoder: || mainstay_providers::anthropic::decode::decoder(false, Object::new()),
    },
];

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
    service_tier: Option<String>,
    extra: Option<Arc<Extra>>,
    verbatim: Option<AskedVerbatim>,
}

/// A client's own request as golden files write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedVerbatim {
    format: Format,
    body: Object,
    streams: bool,
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
            service_tier: self.service_tier,
            extra: self.extra,
            verbatim: self.verbatim.map(|asked| Arc::new(asked.verbatim())),
        }
    }
}

impl AskedVerbatim {
    fn verbatim(self) -> Verbatim {
        let headers = vec![
            ("openai-beta".to_owned(), "responses=v1".to_owned()),
            ("authorization".to_owned(), "Bearer another account's".to_owned()),
        ];
        Verbatim { format: self.format, body: self.body, headers, streams: self.streams }
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
