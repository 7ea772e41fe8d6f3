//! The two key files. `data.keys` is made first, empty, and `master.key` after it, so that whatever is missing tells a
//! creation that a crash cut off from a file that was lost. A new key is appended; an erasure rewrites the file.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    MAX_KEYS, disk,
    record::{Record, Roots, WIDTH},
};
use crate::{
    Entropy, Error, KeyId,
    cipher::{self, Purpose},
    records::{Filed, Lookup, Records},
};

/// First line of `data.keys`.
const TITLE: &str = "mainstay data keys 1\n";
/// What `master.key` begins with; the key, a check of it and a line feed follow.
const MASTER_TITLE: &str = "mainstay master key 1 ";
/// Characters of `master.key`.
const MASTER_LENGTH: usize = MASTER_TITLE.len() + 2 * (32 + CHECK) + 1;
/// Bytes of the check that tells a damaged master key from damaged data keys.
const CHECK: usize = 8;
/// Most bytes of `data.keys`.
const DATA_LIMIT: usize = TITLE.len() + MAX_KEYS * WIDTH;

/// The key files of an open keyring, and a copy of their lines to rewrite them from.
pub(super) struct Files {
    data: PathBuf,
    lines: BTreeMap<KeyId, String>,
    ids: HashMap<Lookup, KeyId>,
    /// The end of `data.keys` may hold a torn line, so that the next write must rewrite it.
    torn: bool,
    /// Keeps other processes out while it lives.
    _lock: File,
}

impl Files {
    /// Opens or creates both files; returns the master key and what was filed.
    pub(super) fn open(dir: &Path, entropy: &dyn Entropy) -> Result<(Self, [u8; 32], Vec<Record>), Error> {
        let lock = disk::own_dir(dir)?;
        let (master, data) = (dir.join("master.key"), dir.join("data.keys"));
        disk::remove_temporary(&master)?;
        disk::remove_temporary(&data)?;
        let text = match (disk::read(&master, MASTER_LENGTH)?, disk::read(&data, DATA_LIMIT)?) {
            (Some(text), _) => text,
            (None, None) => {
                disk::replace(&data, [TITLE].into_iter())?;
                create_master(&master, entropy)?
            }
            (None, Some(filed)) if filed == TITLE.as_bytes() => create_master(&master, entropy)?,
            (None, Some(_)) => return Err(damaged(&master, "it is missing, and there are keys under it")),
        };
        let master_key = read_master(&text).ok_or_else(|| damaged(&master, "it is not as it was written"))?;
        let filed = disk::read(&data, DATA_LIMIT)?.ok_or_else(|| damaged(&data, "it is missing"))?;
        let (records, torn) = read_data(&filed, &Roots::new(&master_key)).map_err(|reason| damaged(&data, reason))?;
        disk::settle(&master)?;
        disk::settle(&data)?;
        let lines = records.iter().map(|record| (record.key.id, record.line.clone())).collect();
        let ids = records.iter().map(|record| (record.lookup, record.key.id)).collect();
        Ok((Self { data, lines, ids, torn, _lock: lock }, master_key, records))
    }

    /// Reads both files as they are, whoever has them open: a line that is just being appended counts as torn.
    pub(super) fn look(dir: &Path) -> Result<([u8; 32], Vec<Record>), Error> {
        let (master, data) = (dir.join("master.key"), dir.join("data.keys"));
        let text = disk::read(&master, MASTER_LENGTH)?.ok_or_else(|| damaged(&master, "it is missing"))?;
        let master_key = read_master(&text).ok_or_else(|| damaged(&master, "it is not as it was written"))?;
        let filed = disk::read(&data, DATA_LIMIT)?.ok_or_else(|| damaged(&data, "it is missing"))?;
        let (records, _) = read_data(&filed, &Roots::new(&master_key)).map_err(|reason| damaged(&data, reason))?;
        Ok((master_key, records))
    }

    /// Files a new key; on disk when this returns.
    fn append(&mut self, id: KeyId, line: String) -> Result<(), Error> {
        if self.lines.len() >= MAX_KEYS {
            return Err(Error::Full);
        }
        if self.lines.contains_key(&id) {
            let source = std::io::Error::other("the entropy gave a key id that is taken");
            return Err(disk::unavailable("draw a key for", &self.data)(source));
        }
        if self.torn {
            return self.replace(id, line);
        }
        let appended = disk::append(&self.data, &line);
        match appended {
            Ok(()) => drop(self.lines.insert(id, line)),
            Err(_) => self.torn = true,
        }
        appended
    }

    /// Rewrites the file with another line for one key; nothing of the old line stays in it.
    fn replace(&mut self, id: KeyId, line: String) -> Result<(), Error> {
        let before = self.lines.insert(id, line);
        let lines = [TITLE].into_iter().chain(self.lines.values().map(String::as_str));
        let replaced = disk::replace(&self.data, lines);
        self.torn = replaced.is_err();
        if replaced.is_err() {
            match before {
                Some(line) => self.lines.insert(id, line),
                None => self.lines.remove(&id),
            };
        }
        replaced
    }
}

/// The files as a home for records. Nobody else changes them while they are open.
pub(super) struct FileRecords(Mutex<Files>);

impl FileRecords {
    pub(super) const fn new(files: Files) -> Self {
        Self(Mutex::new(files))
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records for FileRecords {
    fn since(&self, _: u64, _: usize) -> Result<Vec<Filed>, Error> {
        Ok(Vec::new())
    }

    fn find(&self, lookup: &Lookup) -> Result<Option<Filed>, Error> {
        let files = self.lock();
        let filed = |key: &KeyId| files.lines.get(key).map(|line| filed(lookup, *key, line));
        Ok(files.ids.get(lookup).and_then(filed))
    }

    fn find_key(&self, _: KeyId) -> Result<Option<Filed>, Error> {
        // All keys of files are in memory.
        Ok(None)
    }

    fn insert(&self, lookup: &Lookup, key: KeyId, line: &str) -> Result<Filed, Error> {
        let mut files = self.lock();
        if let Some(taken) = files.ids.get(lookup)
            && let Some(line) = files.lines.get(taken)
        {
            return Ok(filed(lookup, *taken, line));
        }
        files.append(key, line.to_owned())?;
        files.ids.insert(*lookup, key);
        Ok(filed(lookup, key, line))
    }

    fn replace(&self, _: &Lookup, key: KeyId, line: &str) -> Result<(), Error> {
        self.lock().replace(key, line.to_owned())
    }
}

fn filed(lookup: &Lookup, key: KeyId, line: &str) -> Filed {
    Filed { revision: 0, lookup: *lookup, key, line: line.to_owned() }
}

/// The master key of a text such as `master.key` holds.
pub(super) fn master_of(text: &[u8]) -> Option<[u8; 32]> {
    read_master(text)
}

/// A new master key as such a text.
pub(super) fn draw_master(entropy: &dyn Entropy) -> String {
    let mut key = [0; 32];
    entropy.fill(&mut key);
    format!("{MASTER_TITLE}{}{}\n", cipher::hex(&key), cipher::hex(&check(&key)))
}

fn damaged(file: &Path, reason: &'static str) -> Error {
    Error::KeysDamaged { file: file.into(), reason }
}

fn create_master(file: &Path, entropy: &dyn Entropy) -> Result<Vec<u8>, Error> {
    let text = draw_master(entropy);
    disk::replace(file, [text.as_str()].into_iter())?;
    Ok(text.into_bytes())
}

fn read_master(text: &[u8]) -> Option<[u8; 32]> {
    let fields = text.strip_prefix(MASTER_TITLE.as_bytes())?.strip_suffix(b"\n")?;
    let (key, checked) = fields.split_at_checked(64)?;
    let key = cipher::unhex(key)?;
    (cipher::unhex(checked)? == check(&key)).then_some(key)
}

fn check(key: &[u8; 32]) -> [u8; CHECK] {
    cipher::derive_name(key, Purpose::MasterCheck, &[])
}

/// The records of `data.keys`, and whether its last line was torn by a crash while it was appended: that key was
/// given to nobody, so the line is dropped. Torn means shorter than a line, or with zeroes where nothing was written;
/// anything else that does not read is damage.
fn read_data(filed: &[u8], roots: &Roots) -> Result<(Vec<Record>, bool), &'static str> {
    if filed.len() > DATA_LIMIT {
        return Err("it is too long");
    }
    let lines = filed.strip_prefix(TITLE.as_bytes()).ok_or("it does not begin as a file of data keys")?;
    let (mut records, mut ids, mut lookups) = (Vec::new(), HashSet::new(), HashSet::new());
    for (index, line) in lines.chunks(WIDTH).enumerate() {
        let is_last = (index + 1) * WIDTH >= lines.len();
        let Some(record) = Record::read(line, roots) else {
            let is_torn = is_last && (line.len() < WIDTH || line.contains(&0));
            return if is_torn { Ok((records, true)) } else { Err("a line is not as it was written") };
        };
        if !ids.insert(record.key.id) || !lookups.insert(record.lookup) {
            return Err("a key stands in it twice");
        }
        records.push(record);
    }
    Ok((records, false))
}
