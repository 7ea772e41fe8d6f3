//! The engine through its public API, over the in-memory store and a script.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod automation;
mod cluster;
mod compaction;
mod fault;
mod faulty;
mod gateway;
mod hands;
mod house;
mod turn;
mod webhook;
