//! Whoever serves a model, hidden behind one seam: a request in the shared vocabulary goes in, a stream of chunks
//! comes out. Knows neither journal nor session nor tools; spawns no task; keeps nothing between two inferences
//! but pooled connections. Start with `seam`; each provider is a folder of its own.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod error;
pub mod openai_chat;
mod scripted;
mod seam;

pub use error::Error;
pub use openai_chat::dialect::Dialect;
pub use seam::{ChunkStream, Kind, Provider, Reply, Secret, Settings, Timeouts, build};
