//! What tests share: requests, the model file if there is one, and a stream read to its end.

use std::{path::PathBuf, sync::Arc};

use futures_util::StreamExt;
use mainstay_vocabulary::{
    Content, Item, ItemKind, Role,
    inference::{Chunk, Delta, Failure, Finished, Reasoning, Request, Sampling, TextFormat},
    tool::ToolChoice,
};

use super::{ChunkStream, Engine, Options};

/// The small model that most tests use, and where it is looked for.
const MODEL: (&str, &str) = ("MAINSTAY_TEST_MODEL", "target/models/smollm2-135m-instruct.gguf");

/// One that knows how to call tools.
const TOOL_MODEL: (&str, &str) = ("MAINSTAY_TEST_TOOL_MODEL", "target/models/qwen2.5-coder-0.5b-instruct.gguf");

pub(crate) fn request(input: Vec<Arc<Item>>) -> Request {
    Request {
        upstream_model: "small".to_owned(),
        deployment: "test".to_owned(),
        instructions: None,
        input,
        prefix: None,
        tools: Arc::from([]),
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: None,
        sampling: Sampling { max_output_tokens: Some(24), ..Sampling::default() },
        reasoning: Reasoning::default(),
        text: TextFormat::Text,
        idempotency_key: "key".to_owned(),
        service_tier: None,
        extra: None,
        verbatim: None,
    }
}

pub(crate) fn said(role: Role, text: &str) -> Arc<Item> {
    Arc::new(Item::Message { role, content: vec![Content::Text(text.to_owned())], phase: None })
}

/// One question to the model.
pub(crate) fn asked(text: &str) -> Request {
    request(vec![said(Role::User, text)])
}

/// What a test was told from outside.
#[allow(clippy::disallowed_methods, reason = "a test's only way to be told where the model is and how long to try")]
pub(crate) fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The small model's file; says so where there is none.
pub(crate) fn model_file() -> Option<PathBuf> {
    file(MODEL)
}

fn file((name, usual): (&str, &str)) -> Option<PathBuf> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = told(name).map_or_else(|| root.join(usual), PathBuf::from);
    if file.exists() {
        return Some(file);
    }
    println!("SKIPPED: no model at {}; set {name}", file.display());
    None
}

/// An engine with the small model; `None` where its file is missing.
pub(crate) fn engine(parallel: u32) -> Option<Engine> {
    model_file().map(|file| start(file, parallel))
}

/// An engine with the model that calls tools; `None` where its file is missing.
pub(crate) fn tool_engine() -> Option<Engine> {
    file(TOOL_MODEL).map(|file| start(file, 1))
}

fn start(file: PathBuf, parallel: u32) -> Engine {
    let models = vec![("small".to_owned(), file)];
    let options = Options { models, threads: None, context_tokens: Some(1024), parallel: Some(parallel) };
    Engine::start(options).unwrap()
}

/// What an inference gave.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) text: String,
    /// Names and arguments of calls.
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) finished: Finished,
}

/// Reads a stream to its end.
pub(crate) async fn read(mut stream: ChunkStream) -> Result<Told, Failure> {
    let (mut text, mut calls, mut kinds) = (String::new(), Vec::new(), Vec::new());
    while let Some(chunk) = stream.next().await {
        match chunk? {
            Chunk::Delta(Delta::Started { index, kind }) => {
                assert_eq!(index as usize, kinds.len());
                if let ItemKind::ToolCall { name, .. } = &kind {
                    calls.push((name.clone(), String::new()));
                }
                kinds.push(kind);
            }
            Chunk::Delta(Delta::Text { index, text: more }) => match &kinds[index as usize] {
                ItemKind::ToolCall { .. } => calls.last_mut().unwrap().1.push_str(&more),
                _ => text.push_str(&more),
            },
            Chunk::Delta(Delta::Done { .. }) => {}
            other @ (Chunk::Frame(_) | Chunk::Delta(Delta::Logprobs { .. })) => panic!("{other:?} was not asked for"),
            Chunk::Finished(finished) => {
                assert!(stream.next().await.is_none());
                return Ok(Told { text, calls, finished });
            }
        }
    }
    panic!("the stream ended without its end");
}
