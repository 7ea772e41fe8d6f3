//! Drives sessions: the only crate that knows tokio, the clock and every hand. Must not know HTTP, command lines or a
//! backend's name. Start with `driver` (one session's loop), then `engine` (what the edge may ask).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod catch_up;
pub mod clock;
mod commit;
mod driver;
mod engine;
pub mod entropy;
mod error;
pub mod fault;
mod follow;
mod hub;
mod journal;
mod lease;
mod meter;
mod perform;
mod prompt;
mod query;
mod recovery;
pub mod route;
pub mod task;

pub use engine::{Accepted, Caller, Engine, Idempotent, Keys, Model, Parts};
pub use error::Error;
pub use follow::{Follow, From};
pub use mainstay_store::seam::Direction;
pub use query::Listing;
