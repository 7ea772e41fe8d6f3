//! Drives sessions: the only crate that knows tokio, the clock and every hand. Must not know HTTP, command lines or a
//! backend's name. Start with `driver` (one session's loop), then `engine` (what the edge may ask).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod attach;
pub mod automation;
mod catch_up;
pub mod clock;
mod commit;
mod conversation;
mod driver;
mod engine;
pub mod entropy;
mod error;
pub mod fault;
mod follow;
pub mod gateway;
pub mod hands;
mod hub;
mod journal;
mod lease;
mod membership;
mod meter;
pub mod node;
pub mod peer;
mod perform;
mod place;
mod prompt;
mod query;
mod recovery;
mod relay;
pub mod route;
mod saved;
pub mod task;
pub mod verify;
pub mod webhook;

pub use engine::{Accepted, Caller, Cluster, Engine, Idempotent, Keys, Model, Parts};
pub use error::Error;
pub use follow::{Follow, From};
pub use mainstay_store::seam::Direction;
pub use prompt::request_of;
pub use query::Listing;
