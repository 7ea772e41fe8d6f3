//! Whoever serves a model, hidden behind one seam: a request in the shared vocabulary goes in, a stream of chunks
//! comes out. Knows neither journal nor session nor tools; spawns no task; keeps nothing between two inferences
//! but pooled connections. Start with `seam`; each provider is a folder of its own.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod anthropic;
pub mod download;
mod error;
pub mod http;
#[cfg(feature = "local")]
mod local;
pub mod openai;
pub mod openai_chat;
pub mod openai_responses;
pub mod peer;
pub mod post;
pub mod reach;
mod scripted;
mod seam;

pub use error::Error;
pub use openai_chat::dialect::Dialect;
pub use seam::{ChunkStream, Kind, LocalOptions, Provider, Reply, Secret, Settings, Timeouts, build};
