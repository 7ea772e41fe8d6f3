//! Which keyring: the files of the data directory, or a database of keys that the nodes of a cluster share under a
//! master key that each is given. Joins `seal`, which knows no database, and `store`, which knows no keys.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use mainstay_seal::{Entropy, Error, Filed, Heard, KeyId, Keyring, Lookup, Records};
use mainstay_store::{
    postgres::{self, KeyRow, KeyTable, Options},
    sqlite::{self, Others},
};
use mainstay_vocabulary::Timestamp;

use crate::config::Config;

/// Opens the keys that are configured.
///
/// # Errors
/// Where they cannot be opened; says what is wrong.
pub(crate) async fn open(config: &Config, entropy: &dyn Entropy) -> Result<Arc<Keyring>> {
    if let Some(ring) = shared(config)? {
        return Ok(ring);
    }
    let dir = dir(&config.data_dir);
    if !dir.join("master.key").exists() && !dir.join("data.keys").exists() {
        must_need_none(&config.data_dir).await?;
    }
    Ok(Arc::new(Keyring::open(&dir, entropy).context("opening the keys")?))
}

/// New keys beside sessions that others sealed would open nothing of them, and stand in the way of the right ones.
async fn must_need_none(data_dir: &Path) -> Result<()> {
    if !data_dir.join("mainstay.db").exists() {
        return Ok(());
    }
    let store = sqlite::look(data_dir.to_owned(), Others::Allowed);
    let store = store.with_context(|| format!("opening the store in {}", data_dir.display()))?;
    let sessions = store.standing(Timestamp(0)).await?.sessions;
    if sessions > 0 {
        bail!(
            "{} holds {sessions} sessions and no keys to read them: mainstay restore --keys brings the keys",
            data_dir.display()
        );
    }
    Ok(())
}

/// The keys as they are now, whoever uses them; nothing is written.
///
/// # Errors
/// Where they cannot be read.
pub(crate) fn look(config: &Config) -> Result<Arc<Keyring>> {
    match shared(config)? {
        Some(ring) => Ok(ring),
        None => Ok(Arc::new(Keyring::look(&dir(&config.data_dir))?)),
    }
}

/// Where the key files of a data directory are.
pub(crate) fn dir(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("keys")
}

fn shared(config: &Config) -> Result<Option<Arc<Keyring>>> {
    let keys = &config.file.keys;
    if keys.url.is_empty() {
        return Ok(None);
    }
    let Some(master) = &keys.master_key else { bail!("keys.master_key is not set") };
    let master = master.read(&config.environment).context("reading the master key")?;
    let table = postgres::open_keys(Options::new(&keys.url)).context("opening the database of keys")?;
    let ring = Keyring::shared(&master, Arc::new(Table(table))).context("opening the database of keys")?;
    Ok(Some(ring))
}

/// A database as a home for records.
struct Table(KeyTable);

impl Records for Table {
    fn since(&self, revision: u64, limit: usize) -> Result<Vec<Filed>, Error> {
        Ok(self.0.since(revision, limit).map_err(unreachable)?.into_iter().map(filed).collect())
    }

    fn find(&self, lookup: &Lookup) -> Result<Option<Filed>, Error> {
        Ok(self.0.find(*lookup).map_err(unreachable)?.map(filed))
    }

    fn find_key(&self, key: KeyId) -> Result<Option<Filed>, Error> {
        Ok(self.0.find_key(*key.as_bytes()).map_err(unreachable)?.map(filed))
    }

    fn insert(&self, lookup: &Lookup, key: KeyId, line: &str) -> Result<Filed, Error> {
        self.0.insert(*lookup, *key.as_bytes(), line.to_owned()).map(filed).map_err(unreachable)
    }

    fn replace(&self, lookup: &Lookup, key: KeyId, line: &str) -> Result<(), Error> {
        self.0.replace(*lookup, *key.as_bytes(), line.to_owned()).map_err(unreachable)
    }

    fn watch(&self, heard: Heard) {
        self.0.watch(Box::new(move |rows| heard(&rows.iter().cloned().map(filed).collect::<Vec<_>>())));
    }
}

fn filed(row: KeyRow) -> Filed {
    Filed { revision: row.revision, lookup: row.lookup, key: KeyId::from_bytes(row.id), line: row.line }
}

fn unreachable(error: mainstay_store::Error) -> Error {
    Error::Unreachable { reason: error.to_string() }
}
