//! The command line as a client of a server's HTTP API: `chat` and `sessions`. Must not know the runtime or the store,
//! and reads no environment: the binary hands it what it found. Start with `chat`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod approvals;
pub mod chat;
mod clean;
mod client;
mod clock;
mod error;
mod feed;
mod figure;
mod http;
mod memory;
mod printer;
mod reach;
mod screen;
pub mod sessions;
mod sse;
mod table;

pub use error::{EXIT_CODES, Error, Exit};
pub use reach::{Reach, Surroundings};
