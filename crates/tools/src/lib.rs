//! Tools outside of the process: MCP servers, and the guard that every connection to one passes. Must not know sessions,
//! journals or models. Start with `seam`, then `mcp`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod egress;
pub mod mcp;
pub mod seam;

pub use seam::{Call, CallStream, Failure, FailureKind, ListedTool, Listing, Reply, Returned, Step, Toolbox};
