//! The tasks behind `cargo xtask`, one file each. A library so that a test can call `tidy` too.
//! Must not be used by anything that ships.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![allow(clippy::disallowed_methods, reason = "a developer's tool: it times its phases and reads its environment")]

pub mod bench;
pub mod docs;
pub mod openapi;
mod phase;
mod process;
pub mod soak;
pub mod test;
pub mod tidy;
pub mod up;
