//! What an agent's calls reach outside: MCP servers, HTTP tools, `fetch`, and the guard that every connection of
//! theirs passes. Knows neither journal nor session nor provider. Start with `seam`; then `egress`, then `mcp`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod digest;
pub mod egress;
mod error;
mod fetch;
mod http;
mod http_tool;
pub mod mcp;
mod seam;

pub use digest::digest;
pub use error::Error;
pub use fetch::Fetch;
pub use http_tool::{Body, Declared, Field, HttpTools, Method};
pub use seam::{
    Annotations, Call, CallStream, Failure, FailureKind, ListedTool, Listing, Reply, Returned, Step, Toolbox,
};
