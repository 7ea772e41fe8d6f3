//! The first API key: made at first start, kept in a file that only its owner may read.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result, bail};
use mainstay_seal::{Entropy, Keyring};
use ring::hmac;

use crate::{config::Config, keyring};

/// Its file in the data directory.
const FILE: &str = "api-key";
/// Bytes of a key that are secret.
const SECRET: usize = 24;
/// What every key begins with.
pub(crate) const PREFIX: &str = "msk-";

/// Prints the key; makes it where there is none.
pub(crate) fn print(config: &Config) -> Result<()> {
    let key = match config.file.store.is_shared() {
        true => shared(&*keyring::look(config)?),
        false => ensure(&config.data_dir)?,
    };
    println!("{key}");
    Ok(())
}

/// The first key of a server that starts.
pub(crate) fn first(config: &Config, keyring: &Keyring) -> Result<String> {
    let made = ensure(&config.data_dir)?;
    Ok(if config.file.store.is_shared() { shared(keyring) } else { made })
}

/// The first key of a cluster: the same at every node, because it follows from the master key.
fn shared(keyring: &Keyring) -> String {
    let signer = hmac::Key::new(hmac::HMAC_SHA256, &keyring.node_key());
    let secret = hmac::sign(&signer, b"the first API key");
    format!("{PREFIX}{}", data_encoding::HEXLOWER.encode(&secret.as_ref()[..SECRET]))
}

/// The key of a data directory; made where there is none.
pub(crate) fn ensure(data_dir: &Path) -> Result<String> {
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true).mode(0o700).create(data_dir).with_context(|| format!("making {}", data_dir.display()))?;
    let path = data_dir.join(FILE);
    match read(&path)? {
        Some(key) => Ok(key),
        None => make(data_dir, &path),
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let key = text.trim();
    if key.is_empty() {
        bail!("{} is empty: delete it, and a new key is made at the next start", path.display());
    }
    Ok(Some(key.to_owned()))
}

/// Whole or not at all: written beside, synced, then linked under its name; who comes second takes the first's.
fn make(data_dir: &Path, path: &Path) -> Result<String> {
    let mut secret = [0; SECRET];
    mainstay_runtime::entropy::System::default().fill(&mut secret);
    let key = format!("{PREFIX}{}", data_encoding::HEXLOWER.encode(&secret));
    let beside = data_dir.join(format!("{FILE}.{}", std::process::id()));
    let written = write(&beside, &key).and_then(|()| match fs::hard_link(&beside, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => File::open(data_dir)?.sync_all(),
    });
    let _ = fs::remove_file(&beside);
    written.with_context(|| format!("writing {}", path.display()))?;
    read(path)?.context("the key was removed while it was made")
}

fn write(path: &Path, key: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    writeln!(file, "{key}")?;
    file.sync_all()
}
