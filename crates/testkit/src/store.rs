//! Stores for tests: the in-memory model that says what every backend must do, one conformance suite for all of them,
//! and a seeded differential test that holds a backend to the model. Start with `memory`.

pub mod conformance;
pub mod differential;
pub mod memory;
pub mod random;
pub mod sample;
pub mod wait;

pub use memory::Memory;
