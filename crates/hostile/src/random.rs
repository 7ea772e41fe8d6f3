//! Choices that follow from the input alone: the same bytes are checked the same way for ever.

/// Xorshift.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by what was said (FNV-1a).
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mixed = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |state: u64, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self(mixed | 1)
    }

    /// The next choice among so many; 0 among none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}
