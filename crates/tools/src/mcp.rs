//! Servers of the Model Context Protocol as places with tools: streamable HTTP and stdio, specifications 2025-11-25
//! and 2026-07-28. The SDK (`rmcp`) is hidden here. Start with [`McpServer`].

mod auth;
mod call;
mod convert;
mod failure;
mod handler;
mod question;
mod server;
mod settings;
mod stdio;
mod subscription;
mod wire;

pub use auth::{OAuth, OAuthClient, StoredTokens, Tokens};
pub(crate) use convert::cut;
pub use server::McpServer;
pub use settings::{Protocol, Reach, Secret, Settings, Timeouts};
