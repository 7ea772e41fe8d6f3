//! Where wrapped data keys live: files beside the data of one process, or a database that several share. A record is a
//! line that only the master key can make, bound to whose key it is; whoever keeps it can neither read nor swap it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Error, KeyId};

/// Keyed digest of a tenant and subject: under which name a key is filed.
pub type Lookup = [u8; 32];

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// Grows with every change; the order of changes.
    pub revision: u64,
    /// Whose key.
    pub lookup: Lookup,
    /// Its id.
    pub key: KeyId,
    /// The wrapped key or tombstone.
    pub line: String,
}

/// Hears of records as they change.
pub type Heard = Box<dyn Fn(&[Filed]) + Send + Sync>;

/// A home for records. Verbs block until what they say is durable.
pub trait Records: Send + Sync {
    /// Records that changed after `revision`, in the order of their changes, at most `limit`.
    ///
    /// # Errors
    /// `Unavailable`, `Unreachable`.
    fn since(&self, revision: u64, limit: usize) -> Result<Vec<Filed>, Error>;

    /// The record of a subject.
    ///
    /// # Errors
    /// `Unavailable`, `Unreachable`.
    fn find(&self, lookup: &Lookup) -> Result<Option<Filed>, Error>;

    /// The record of a key.
    ///
    /// # Errors
    /// `Unavailable`, `Unreachable`.
    fn find_key(&self, key: KeyId) -> Result<Option<Filed>, Error>;

    /// Files a record unless the subject has one; answers the one that it has then.
    ///
    /// # Errors
    /// `Full`, `Unavailable`, `Unreachable`.
    fn insert(&self, lookup: &Lookup, key: KeyId, line: &str) -> Result<Filed, Error>;

    /// Puts a tombstone in the place of a key.
    ///
    /// # Errors
    /// `Unavailable`, `Unreachable`: it may or may not have happened.
    fn replace(&self, lookup: &Lookup, key: KeyId, line: &str) -> Result<(), Error>;

    /// From now on tells of changes that others make, where there are others.
    fn watch(&self, _heard: Heard) {}
}

/// Records in memory, for tests: two keyrings that share them are two nodes.
#[derive(Debug, Default)]
pub struct MemoryRecords(Mutex<(u64, BTreeMap<Lookup, Filed>)>);

impl MemoryRecords {
    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<Lookup, Filed>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, lookup: &Lookup, key: KeyId, line: &str) -> Filed {
        let (revision, records) = &mut *self.lock();
        *revision += 1;
        let filed = Filed { revision: *revision, lookup: *lookup, key, line: line.to_owned() };
        records.insert(*lookup, filed.clone());
        filed
    }
}

impl Records for MemoryRecords {
    fn since(&self, revision: u64, limit: usize) -> Result<Vec<Filed>, Error> {
        let mut found: Vec<_> = self.lock().1.values().filter(|filed| filed.revision > revision).cloned().collect();
        found.sort_by_key(|filed| filed.revision);
        found.truncate(limit);
        Ok(found)
    }

    fn find(&self, lookup: &Lookup) -> Result<Option<Filed>, Error> {
        Ok(self.lock().1.get(lookup).cloned())
    }

    fn find_key(&self, key: KeyId) -> Result<Option<Filed>, Error> {
        Ok(self.lock().1.values().find(|filed| filed.key == key).cloned())
    }

    fn insert(&self, lookup: &Lookup, key: KeyId, line: &str) -> Result<Filed, Error> {
        match self.find(lookup)? {
            Some(filed) => Ok(filed),
            None => Ok(self.put(lookup, key, line)),
        }
    }

    fn replace(&self, lookup: &Lookup, key: KeyId, line: &str) -> Result<(), Error> {
        self.put(lookup, key, line);
        Ok(())
    }
}
