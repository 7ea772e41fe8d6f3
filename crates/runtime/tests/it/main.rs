//! The engine through its public API, over the in-memory store and a script.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fault;
mod faulty;
mod house;
mod turn;
