//! What the tests of this crate share: repeatable entropy, folders that go away, ordinary headers.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use mainstay_vocabulary::{Principal, Sequence, SessionId, Shard, Tenant, Timestamp};

use crate::{Entropy, Header, Sealer, cipher, key::DataKey, key::KeyId};

/// The same bytes for the same seed, in the same order.
pub(crate) struct Seeded {
    seed: u64,
    drawn: AtomicU64,
}

impl Seeded {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }

    pub(crate) fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }
}

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let count = self.drawn.fetch_add(1, Ordering::Relaxed).to_le_bytes();
            let block = cipher::digest(&[7; 32], [self.seed.to_le_bytes().as_slice(), count.as_slice()]);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// A new folder, removed at the end of the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mainstay-seal-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn session(number: u8) -> SessionId {
    SessionId::new(Shard(0), [number; 16])
}

pub(crate) fn tenant(name: &str) -> Tenant {
    Tenant(name.into())
}

/// A header such as most events have.
pub(crate) fn header(sequence: u64) -> Header {
    Header {
        sequence: Sequence(sequence),
        kind: 7,
        version: 1,
        at: Timestamp(1_795_000_000_123),
        tenant: tenant("default"),
        principal: Principal("key_0123456789".into()),
        labels: 0,
    }
}

/// A sealer under a key of its own, without a keyring.
pub(crate) fn sealer(key: u8, number: u8) -> Sealer {
    let key = DataKey::live(KeyId::from_bytes([key; 8]), [key; 32]);
    Sealer::new(Arc::new(key), session(number)).unwrap()
}
