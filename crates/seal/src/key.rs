//! Data keys: one for each tenant and subject; what erasure destroys. Their files are in `keyring`.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use data_encoding::HEXLOWER;

use crate::Error;

/// Names a data key; stands in clear in everything sealed under it. Random, so it says nothing of the subject.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// From what `as_bytes` gave.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// All bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A data key, or the memory of one that was destroyed. Shared by the sealers that live off it, so that an erasure
/// reaches those that were handed out before.
pub(crate) struct DataKey {
    pub(crate) id: KeyId,
    secret: [u8; 32],
    destroyed: AtomicBool,
}

impl DataKey {
    pub(crate) const fn live(id: KeyId, secret: [u8; 32]) -> Self {
        Self { id, secret, destroyed: AtomicBool::new(false) }
    }

    pub(crate) const fn tombstone(id: KeyId) -> Self {
        Self { id, secret: [0; 32], destroyed: AtomicBool::new(true) }
    }

    /// The key itself.
    pub(crate) fn secret(&self) -> Result<&[u8; 32], Error> {
        self.check().map(|()| &self.secret)
    }

    /// Refuses once the key was destroyed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.destroyed.load(Ordering::Acquire) { Err(Error::Destroyed) } else { Ok(()) }
    }

    pub(crate) fn mark_destroyed(&self) {
        self.destroyed.store(true, Ordering::Release);
    }
}
