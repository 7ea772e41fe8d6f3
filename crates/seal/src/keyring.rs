//! Whose keys: a master key, and under it a data key for each tenant and subject, made on first use, destroyed on
//! erasure. Keys live apart from what a database backup contains. The files are in `files`, one line in `record`.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use mainstay_vocabulary::{SessionId, Tenant};

use crate::{
    Entropy, Error, KeyId, Sealer,
    cipher::{self, Purpose},
    key::DataKey,
};
use files::Files;
use record::{Lookup, Record, Roots};

mod disk;
mod files;
mod record;

/// Most keys in one keyring, destroyed ones included: the file is then 54 MB and rewritten within a second or so.
/// More subjects than that want a key service.
const MAX_KEYS: usize = 262_144;

/// Master key, data keys and digest keys. Share it by `Arc`.
pub struct Keyring {
    roots: Roots,
    digest_root: [u8; 32],
    node: [u8; 32],
    held: RwLock<Held>,
    origin: Origin,
}

#[derive(Default)]
struct Held {
    subjects: HashMap<Lookup, Arc<DataKey>>,
    keys: BTreeMap<KeyId, Arc<DataKey>>,
}

enum Origin {
    Files(Mutex<Files>),
    Seed([u8; 32]),
}

impl Keyring {
    /// Opens the key files in `dir` or creates them: `master.key` and `data.keys`, readable by their owner only. A
    /// creation that a crash cut off is taken up; a file that is missing beside the other one is an error.
    ///
    /// # Errors
    /// `InUse`, `KeysDamaged`, `Unavailable`.
    pub fn open(dir: &Path, entropy: &dyn Entropy) -> Result<Self, Error> {
        let (files, master, records) = Files::open(dir, entropy)?;
        let ring = Self::under(&master, Origin::Files(Mutex::new(files)));
        for record in records {
            ring.remember(record.lookup, record.key);
        }
        Ok(ring)
    }

    /// A keyring in memory only, for tests and simulation. The same seed gives the same keys again, also for a key id
    /// that this instance has not met, so that a simulated process can start anew; it never answers `Unknown`, and
    /// what was destroyed is forgotten with the instance.
    pub fn ephemeral(seed: [u8; 32]) -> Self {
        let master = cipher::derive(&seed, Purpose::EphemeralMaster, &[]);
        Self::under(&master, Origin::Seed(seed))
    }

    fn under(master: &[u8; 32], origin: Origin) -> Self {
        Self {
            roots: Roots::new(master),
            digest_root: cipher::derive(master, Purpose::DigestRoot, &[]),
            node: cipher::derive(master, Purpose::Node, &[]),
            held: RwLock::default(),
            origin,
        }
    }

    /// The sealer of one session of a subject. The first one makes the subject's data key, which is on disk before
    /// this returns: call it where a sync may be waited for.
    ///
    /// # Errors
    /// `Destroyed` if the subject was erased: it gets no other key. `Full`, `Unavailable`.
    pub fn sealer(
        &self,
        tenant: &Tenant,
        subject: &str,
        session: SessionId,
        entropy: &dyn Entropy,
    ) -> Result<Sealer, Error> {
        let lookup = self.roots.lookup(tenant, subject);
        let key = match self.key_of(&lookup) {
            Some(key) => key,
            None => self.make(lookup, entropy)?,
        };
        Sealer::new(key, session)
    }

    /// The sealer of one session by the key id that stands in what it stored.
    ///
    /// # Errors
    /// `Destroyed` if the subject was erased, `Unknown` if the key is not of this keyring.
    pub fn opener(&self, key: KeyId, session: SessionId) -> Result<Sealer, Error> {
        let held = self.read().keys.get(&key).cloned();
        let key = match (held, &self.origin) {
            (Some(key), _) => key,
            (None, Origin::Seed(seed)) => Arc::new(seeded_key(seed, key)),
            (None, Origin::Files(_)) => return Err(Error::Unknown),
        };
        Sealer::new(key, session)
    }

    /// Destroys a subject's data key: all that it sealed is unreadable for ever, here and through sealers handed out
    /// before. Its id stays listed. Destroying again does nothing.
    ///
    /// # Errors
    /// `Unknown` if the subject never had a key. After `Unavailable` it may or may not have happened: try again.
    pub fn destroy(&self, tenant: &Tenant, subject: &str) -> Result<(), Error> {
        let lookup = self.roots.lookup(tenant, subject);
        match &self.origin {
            Origin::Seed(seed) => {
                let key = self.key_of(&lookup).unwrap_or_else(|| self.seeded(seed, lookup));
                self.bury(lookup, &key);
            }
            Origin::Files(files) => {
                let mut files = lock(files);
                let key = self.key_of(&lookup).ok_or(Error::Unknown)?;
                if key.check().is_ok() {
                    files.replace(key.id, Record::tombstone(lookup, key.id, &self.roots).line)?;
                    self.bury(lookup, &key);
                }
            }
        }
        Ok(())
    }

    /// The keys that were destroyed, for whoever checks an erasure.
    pub fn destroyed(&self) -> Vec<KeyId> {
        self.read().keys.values().filter(|key| key.check().is_err()).map(|key| key.id).collect()
    }

    /// Keyed digest of `parts` within `domain`, for idempotency scopes, requests and prompts: HMAC-SHA256 under the
    /// tenant's digest key, each part behind its length. It does not change when subjects are erased.
    pub fn digest(&self, tenant: &Tenant, domain: &str, parts: &[&[u8]]) -> [u8; 32] {
        let key = cipher::derive(&self.digest_root, Purpose::Digest, tenant.0.as_bytes());
        cipher::digest(&key, [domain.as_bytes()].into_iter().chain(parts.iter().copied()))
    }

    /// A secret that every process under the same master key has and nobody else: nodes of one cluster sign what they
    /// send each other with it. It opens nothing that is stored.
    pub const fn node_key(&self) -> [u8; 32] {
        self.node
    }

    /// Makes the key of a subject that had none a moment ago.
    fn make(&self, lookup: Lookup, entropy: &dyn Entropy) -> Result<Arc<DataKey>, Error> {
        let files = match &self.origin {
            Origin::Seed(seed) => return Ok(self.seeded(seed, lookup)),
            Origin::Files(files) => files,
        };
        let mut files = lock(files);
        if let Some(key) = self.key_of(&lookup) {
            return Ok(key);
        }
        let record = Record::draw(lookup, &self.roots, entropy);
        files.append(record.key.id, record.line)?;
        Ok(self.remember(lookup, record.key))
    }

    /// The key of a subject of an ephemeral ring.
    fn seeded(&self, seed: &[u8; 32], lookup: Lookup) -> Arc<DataKey> {
        let id = cipher::derive_name(seed, Purpose::EphemeralId, &lookup);
        self.remember(lookup, seeded_key(seed, KeyId::from_bytes(id)))
    }

    fn remember(&self, lookup: Lookup, key: DataKey) -> Arc<DataKey> {
        let key = Arc::new(key);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.subjects.insert(lookup, Arc::clone(&key));
        held.keys.insert(key.id, Arc::clone(&key));
        key
    }

    /// Puts a tombstone in the key's place; sealers that still hold it learn of it too.
    fn bury(&self, lookup: Lookup, key: &DataKey) {
        key.mark_destroyed();
        self.remember(lookup, DataKey::tombstone(key.id));
    }

    fn key_of(&self, lookup: &Lookup) -> Option<Arc<DataKey>> {
        self.read().subjects.get(lookup).cloned()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.read().keys.len()).finish_non_exhaustive()
    }
}

fn seeded_key(seed: &[u8; 32], id: KeyId) -> DataKey {
    DataKey::live(id, cipher::derive(seed, Purpose::EphemeralKey, id.as_bytes()))
}

fn lock(files: &Mutex<Files>) -> MutexGuard<'_, Files> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
