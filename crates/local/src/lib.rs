//! Language models inside the process: GGUF files by llama.cpp, on threads of their own, many inferences side by side,
//! each session's prompt kept in memory between its turns. Knows the vocabulary and nothing else of Mainstay. Without
//! the feature `llama` only `gguf` exists. Start with `engine`, then `scheduler`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod error;
pub mod gguf;

#[cfg(feature = "llama")]
mod engine;
#[cfg(feature = "llama")]
mod grammar;
#[cfg(feature = "llama")]
mod model;
#[cfg(feature = "llama")]
mod output;
#[cfg(feature = "llama")]
mod prompt;
#[cfg(feature = "llama")]
mod sample;
#[cfg(feature = "llama")]
mod scheduler;
#[cfg(feature = "llama")]
mod template;
#[cfg(feature = "llama")]
mod thread;
#[cfg(feature = "llama")]
mod vocabulary;

#[cfg(feature = "llama")]
pub use engine::{ChunkStream, Engine, Options};
pub use error::Error;
