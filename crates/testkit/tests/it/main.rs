//! The stores against the conformance suite and against each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup;
mod differential;
mod memory;
mod postgres;
mod postgres_whole;
mod scratch;
mod sqlite;
