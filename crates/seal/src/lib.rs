//! Sealing: authenticated encryption of what a session stores, the hash chain over its events, and the key files.
//! Knows nothing of events, stores or sessions beyond their ids: what it seals are bytes to it.
//! Start with `envelope` (the format and the chain), then `sealer` (one session's keys), then `keyring` (whose keys).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod cipher;
mod envelope;
mod error;
mod key;
mod keyring;
mod records;
mod sealer;
#[cfg(test)]
mod testing;

pub use envelope::{Hash, Header, Inspected, Opened, inspect, verify_chain};
pub use error::Error;
pub use key::KeyId;
pub use keyring::Keyring;
pub use records::{Filed, Heard, Lookup, MemoryRecords, Records};
pub use sealer::{MAX_PLAINTEXT, Sealer};

/// Where randomness comes from: outside, so that a simulation can replay a run. Outside of simulations it must be the
/// operating system's generator: nonces and keys are drawn from it.
pub trait Entropy: Send + Sync {
    /// Overwrites all of `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}
