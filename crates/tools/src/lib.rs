//! Tools outside of the process: MCP servers and what they are reached through. Must not know sessions, journals or
//! models. Start with `seam`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod seam;

pub use seam::{Call, CallStream, Failure, FailureKind, ListedTool, Listing, Reply, Returned, Step, Toolbox};
