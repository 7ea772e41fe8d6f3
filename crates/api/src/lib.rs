//! The HTTP edge: routes, keys, bodies, server-sent events. Turns requests into commands by `wire` and hands them to
//! the engine; keeps no state of its own. Must not know a backend's or provider's name. Start with `router`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod agents;
mod auth;
mod body;
mod conversations;
mod drain;
mod error;
mod files;
mod gateway;
mod health;
mod idempotency;
mod json;
mod managed;
mod models;
mod native;
mod node;
mod path;
mod query;
mod responses;
mod router;
mod serve;
mod sse;
mod state;

pub use router::router;
pub use serve::{Served, serve};
pub use state::Settings;
