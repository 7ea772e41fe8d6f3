//! What tests share: stores to test against. Never a dependency of what is shipped.

pub mod store;
