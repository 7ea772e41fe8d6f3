//! Randomness that a seed repeats.

use std::sync::{Mutex, PoisonError};

use mainstay_seal::Entropy;

use crate::store::random::Random;

/// The same bytes for the same seed, in the same order.
#[derive(Debug)]
pub(super) struct Seeded(Mutex<Random>);

impl Seeded {
    pub(super) const fn new(seed: u64) -> Self {
        Self(Mutex::new(Random::new(seed)))
    }
}

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&random.number().to_le_bytes()[..chunk.len()]);
        }
    }
}
