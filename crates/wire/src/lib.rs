//! Each vendor's API as pure functions: request to command, journal to their events and objects. Must not know axum,
//! tokio or stores; a wire's types are never journaled. One folder per wire: `types`, `command`, `project`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agents;
pub mod chat;
pub mod conversations;
pub mod embeddings;
pub mod fields;
pub mod files;
pub mod managed;
pub mod messages;
pub mod native;
pub mod openapi;
pub mod query;
pub mod responses;
pub mod stateless;
mod tier;
mod toolset;
pub mod webhook;
