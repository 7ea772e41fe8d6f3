//! Durable homes for journals behind one seam. Must not know sessions, providers or tools: entries are bytes.
//! Start with `seam`; `whole` is what operators ask; `sqlite` is the embedded backend, `postgres` that of a cluster; the
//! conformance suite is in `testkit`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod check;
pub mod copy;
pub mod error;
pub mod postgres;
mod queue;
pub mod seam;
pub mod sqlite;
mod thread;
pub mod whole;

pub use error::Error;
pub use seam::Store;
