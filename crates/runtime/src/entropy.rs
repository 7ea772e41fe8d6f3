//! Randomness: the only place that asks the operating system for it.

use mainstay_seal::Entropy;
use ring::rand::{SecureRandom, SystemRandom};

/// The operating system's generator.
#[derive(Debug)]
pub struct System(SystemRandom);

impl Default for System {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks for randomness")]
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy for System {
    #[allow(clippy::expect_used, reason = "without randomness nothing may be sealed")]
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes).expect("the operating system has no randomness");
    }
}
