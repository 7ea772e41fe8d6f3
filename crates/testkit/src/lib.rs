//! What tests share: stores to test against, servers for them, and the seeded simulation. Never a dependency of what is shipped.

pub mod postgres;
pub mod simulation;
pub mod store;
