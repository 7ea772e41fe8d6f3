//! The key files of a data directory, as they are moved to and from where they are kept safe.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use mainstay_seal::Keyring;

use crate::{Options, config, keyring, models::say};

/// The files of a keyring; `data.keys` is copied last, so that it knows at least what the store's backup before it did.
const FILES: [&str; 2] = ["master.key", "data.keys"];
/// The first API key, which is no file of the keyring.
const API_KEY: &str = "api-key";

/// Verbs of keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Write a new master key for a cluster into a file that does not exist, readable by its owner only.
    Draw {
        /// The file; give it to every node, and keep a copy in a place of its own.
        file: std::path::PathBuf,
    },
    /// File the data keys of a data directory in the configured database of keys, under the same master key.
    Import {
        /// The data directory of the embedded store whose keys are brought along.
        from: std::path::PathBuf,
        #[command(flatten)]
        options: Options,
    },
}

/// Runs a verb.
pub(crate) fn keys(verb: &KeysVerb) -> Result<()> {
    match verb {
        KeysVerb::Draw { file } => {
            let entropy = mainstay_runtime::entropy::System::default();
            write_file(file, Keyring::draw_master(&entropy).as_bytes())?;
            say(&format!("a new master key is in {}", file.display()));
        }
        KeysVerb::Import { from, options } => {
            let config = config::load(options)?;
            if config.file.keys.url.is_empty() {
                bail!("keys.url names no database to import into");
            }
            let ring = keyring::look(&config)?;
            let brought = ring.import(&keyring::dir(from)).context("importing the keys")?;
            say(&format!("{brought} keys are in the database of keys"));
        }
    }
    Ok(())
}

/// Copies the keys of a data directory into a folder of its own, readable by its owner only; a server may run.
pub(super) fn copy(data_dir: &Path, into: &Path) -> Result<Vec<&'static str>> {
    let keys = keyring::dir(data_dir);
    if into.exists() {
        bail!("{} exists: name a folder that does not", into.display());
    }
    let unfinished = into.with_added_extension("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    make(&unfinished)?;
    let mut copied = Vec::new();
    for name in FILES {
        put_file(&keys.join(name), &unfinished.join(name))?;
        copied.push(name);
    }
    if data_dir.join(API_KEY).exists() {
        put_file(&data_dir.join(API_KEY), &unfinished.join(API_KEY))?;
        copied.push(API_KEY);
    }
    Keyring::look(&unfinished).context("reading the copy back")?;
    settle(&unfinished)?;
    fs::rename(&unfinished, into).with_context(|| format!("naming {}", into.display()))?;
    settle(into.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(copied)
}

/// Puts a copy of keys into a data directory that has none.
pub(super) fn put(from: &Path, data_dir: &Path) -> Result<Vec<&'static str>> {
    Keyring::look(from).with_context(|| format!("{} is no backup of keys", from.display()))?;
    let keys = keyring::dir(data_dir);
    if let Some(there) = FILES.map(|name| keys.join(name)).into_iter().find(|file| file.exists()) {
        bail!("{} exists: keys are not written over", there.display());
    }
    make(data_dir)?;
    make(&keys)?;
    let mut put = Vec::new();
    // The master key last: without it a server that starts too early refuses instead of making another.
    for name in ["data.keys", "master.key"] {
        put_file(&from.join(name), &keys.join(name))?;
        put.push(name);
    }
    if from.join(API_KEY).exists() && !data_dir.join(API_KEY).exists() {
        put_file(&from.join(API_KEY), &data_dir.join(API_KEY))?;
        put.push(API_KEY);
    }
    settle(&keys)?;
    settle(data_dir)?;
    Ok(put)
}

fn make(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("making {}", dir.display()))
}

fn put_file(from: &Path, to: &Path) -> Result<()> {
    write_file(to, &fs::read(from).with_context(|| format!("reading {}", from.display()))?)
}

fn write_file(to: &Path, bytes: &[u8]) -> Result<()> {
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.with_context(|| format!("writing {}", to.display()))
}

fn settle(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| format!("syncing {}", dir.display()))
}
