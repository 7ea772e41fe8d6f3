//! Money in integers: one US dollar is 10^12 pico-dollars.

use serde::{Deserialize, Serialize};

/// Pico-dollars (10^-12 USD). A price of 1 USD per million tokens is 1,000,000 a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PicoUsd(pub i64);

impl PicoUsd {
    /// Sum, saturating at the ends of the range (9.2 million USD).
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
