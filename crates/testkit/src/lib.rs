//! What tests share: stores to test against, and the seeded simulation. Never a dependency of what is shipped.

pub mod simulation;
pub mod store;
