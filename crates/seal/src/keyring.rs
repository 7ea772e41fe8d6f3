//! Whose keys: a master key, and under it a data key for each tenant and subject, made on first use, destroyed on
//! erasure. Keys live apart from what a database backup contains. The files are in `files`, one line in `record`.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use mainstay_vocabulary::{SessionId, Tenant};

use crate::{
    Entropy, Error, KeyId, Sealer,
    cipher::{self, Purpose},
    key::DataKey,
    records::{Filed, Lookup, Records},
};
use files::{FileRecords, Files};
use record::{Record, Roots};

mod disk;
mod files;
mod record;

/// Most keys in one keyring, destroyed ones included: the file is then 54 MB and rewritten within a second or so.
/// More subjects than that want a key service.
const MAX_KEYS: usize = 262_144;
/// Records that are read from a database at once.
const PAGE: usize = 1_000;
/// Under this name a database remembers which master key it is under. No subject's digest is all zeroes.
const MASTER_LOOKUP: Lookup = [0; 32];

/// Master key, data keys and digest keys. Share it by `Arc`.
pub struct Keyring {
    roots: Roots,
    digest_root: [u8; 32],
    node: [u8; 32],
    held: RwLock<Held>,
    origin: Origin,
    /// The last change of the records that this keyring has taken in.
    revision: AtomicU64,
}

#[derive(Default)]
struct Held {
    subjects: HashMap<Lookup, Arc<DataKey>>,
    keys: BTreeMap<KeyId, Arc<DataKey>>,
}

enum Origin {
    Kept(Arc<dyn Records>),
    /// Read once, never written.
    Looked,
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
        let ring = Self::under(&master, Origin::Kept(Arc::new(FileRecords::new(files))));
        for record in records {
            ring.remember(record.lookup, record.key);
        }
        Ok(ring)
    }

    /// Reads the key files in `dir` as they are at this moment, also while a server has them open. Such a keyring opens
    /// what was sealed; it makes and destroys no key: both answer `Unknown`.
    ///
    /// # Errors
    /// `KeysDamaged` where a file is missing or not as it was written, `Unavailable`.
    pub fn look(dir: &Path) -> Result<Self, Error> {
        let (master, records) = Files::look(dir)?;
        let ring = Self::under(&master, Origin::Looked);
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
            revision: AtomicU64::new(0),
        }
    }

    /// Opens the keys that a cluster keeps in a database of its own, under a master key that each node is given: the
    /// text of a `master.key`. All keys are loaded now and followed from now on; a miss is looked up. What another node
    /// destroys is destroyed here as soon as the records tell of it.
    ///
    /// # Errors
    /// `RecordsDamaged` where the text is no master key or the records are under another one, `Unreachable`.
    pub fn shared(master: &str, records: Arc<dyn Records>) -> Result<Arc<Self>, Error> {
        let text = format!("{}\n", master.trim());
        let master = files::master_of(text.as_bytes());
        let master = master.ok_or(Error::RecordsDamaged { reason: "the master key is not as it was made" })?;
        let ring = Arc::new(Self::under(&master, Origin::Kept(Arc::clone(&records))));
        let mine = Record::tombstone(MASTER_LOOKUP, KeyId::from_bytes([0; 8]), &ring.roots);
        if records.insert(&MASTER_LOOKUP, mine.key.id, &mine.line)?.line != mine.line {
            return Err(Error::RecordsDamaged { reason: "its keys are under another master key" });
        }
        ring.refresh()?;
        let weak = Arc::downgrade(&ring);
        records.watch(Box::new(move |changed| {
            if let Some(ring) = weak.upgrade() {
                // A record that was tampered with is refused by whoever asks for it.
                let _ = ring.hear(changed);
            }
        }));
        Ok(ring)
    }

    /// A new master key, as the text of a file.
    pub fn draw_master(entropy: &dyn Entropy) -> String {
        files::draw_master(entropy)
    }

    /// Files the keys and tombstones of key files in `dir`, which must be under the same master key. Answers how many
    /// there are; a subject that has a key here already keeps it.
    ///
    /// # Errors
    /// `RecordsDamaged` where the files are under another master key; what the files and the records answer.
    pub fn import(&self, dir: &Path) -> Result<usize, Error> {
        let Origin::Kept(records) = &self.origin else { return Err(Error::Unknown) };
        let (master, filed) = Files::look(dir)?;
        if cipher::derive(&master, Purpose::Node, &[]) != self.node {
            return Err(Error::RecordsDamaged { reason: "the key files are under another master key" });
        }
        for record in &filed {
            self.take(&records.insert(&record.lookup, record.key.id, &record.line)?)?;
            if record.key.check().is_err() {
                records.replace(&record.lookup, record.key.id, &record.line)?;
            }
        }
        self.refresh()?;
        Ok(filed.len())
    }

    /// Takes in what changed in the records since this was last done.
    ///
    /// # Errors
    /// `RecordsDamaged`, `Unreachable`.
    pub fn refresh(&self) -> Result<(), Error> {
        let Origin::Kept(records) = &self.origin else { return Ok(()) };
        loop {
            let changed = records.since(self.revision.load(Ordering::Acquire), PAGE)?;
            if changed.is_empty() {
                return Ok(());
            }
            self.hear(&changed)?;
        }
    }

    fn hear(&self, changed: &[Filed]) -> Result<(), Error> {
        for filed in changed {
            if filed.lookup != MASTER_LOOKUP {
                self.take(filed)?;
            }
            self.revision.fetch_max(filed.revision, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Takes in one record: a key, or the end of one.
    fn take(&self, filed: &Filed) -> Result<Arc<DataKey>, Error> {
        let record = Record::read(filed.line.as_bytes(), &self.roots);
        let record = record.filter(|record| record.lookup == filed.lookup && record.key.id == filed.key);
        let record = record.ok_or(Error::RecordsDamaged { reason: "a key is not as it was filed, or another's" })?;
        match record.key.check() {
            Ok(()) => Ok(self.remember(record.lookup, record.key)),
            Err(_) => {
                if let Some(held) = self.key_of(&record.lookup) {
                    held.mark_destroyed();
                }
                Ok(self.put(record.lookup, record.key))
            }
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
            (None, Origin::Kept(records)) => self.take(&records.find_key(key)?.ok_or(Error::Unknown)?)?,
            (None, Origin::Looked) => return Err(Error::Unknown),
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
            Origin::Looked => return Err(Error::Unknown),
            Origin::Kept(records) => {
                let key = match self.key_of(&lookup) {
                    Some(key) => key,
                    None => self.take(&records.find(&lookup)?.ok_or(Error::Unknown)?)?,
                };
                if key.check().is_ok() {
                    records.replace(&lookup, key.id, &Record::tombstone(lookup, key.id, &self.roots).line)?;
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
        let records = match &self.origin {
            Origin::Seed(seed) => return Ok(self.seeded(seed, lookup)),
            Origin::Kept(records) => records,
            Origin::Looked => return Err(Error::Unknown),
        };
        if self.read().keys.len() >= MAX_KEYS {
            return Err(Error::Full);
        }
        let record = Record::draw(lookup, &self.roots, entropy);
        self.take(&records.insert(&lookup, record.key.id, &record.line)?)
    }

    /// The key of a subject of an ephemeral ring.
    fn seeded(&self, seed: &[u8; 32], lookup: Lookup) -> Arc<DataKey> {
        let id = cipher::derive_name(seed, Purpose::EphemeralId, &lookup);
        self.remember(lookup, seeded_key(seed, KeyId::from_bytes(id)))
    }

    /// Holds a key, or the one that is held already: sealers share it, so that an end of it reaches all of them.
    fn remember(&self, lookup: Lookup, key: DataKey) -> Arc<DataKey> {
        match self.key_of(&lookup).filter(|held| held.id == key.id) {
            Some(held) => held,
            None => self.put(lookup, key),
        }
    }

    fn put(&self, lookup: Lookup, key: DataKey) -> Arc<DataKey> {
        let key = Arc::new(key);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.subjects.insert(lookup, Arc::clone(&key));
        held.keys.insert(key.id, Arc::clone(&key));
        key
    }

    /// Puts a tombstone in the key's place; sealers that still hold it learn of it too.
    fn bury(&self, lookup: Lookup, key: &DataKey) {
        key.mark_destroyed();
        self.put(lookup, DataKey::tombstone(key.id));
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

#[cfg(test)]
mod tests;
