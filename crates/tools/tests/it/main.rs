//! The MCP client against servers that behave, and servers that do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod mcp;
mod server;
