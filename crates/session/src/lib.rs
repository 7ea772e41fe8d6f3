//! What a session is and how it changes, as pure functions over values. Must not know tokio, time, randomness,
//! stores, providers or HTTP. Start with `turn` (decide, next), then `event` (what is journaled) and `state`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod assembly;
pub mod automation;
pub mod command;
pub mod compaction;
pub mod context;
pub mod effect;
pub mod event;
pub mod feed;
pub mod file;
pub mod registry;
pub mod schedule;
pub mod spec;
pub mod state;
pub mod turn;

pub use command::{Command, Decision, Envelope, Refusal};
pub use event::Event;
pub use spec::Spec;
pub use state::State;
