//! `backup` and `restore`: the store in one folder, the keys in another, never together.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use data_encoding::HEXLOWER;
use mainstay_store::sqlite::{self, Backup, Others};
use serde_json::json;

use super::{Address, keys, telling, wait};
use crate::{
    Options,
    config::{self, Config},
    models::{say, size},
};

/// What `backup` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mainstay backup /backups/today              the store; the server may run meanwhile
  mainstay backup --keys /vault/today         the keys, to be kept apart from it
  mainstay restore /backups/today --data DIR  into an empty data directory

A backup is a folder; `sha256sum -c SHA256SUMS` in it verifies it too.")]
pub(crate) struct BackupArguments {
    /// A folder that does not exist yet.
    #[arg(value_name = "FOLDER")]
    into: PathBuf,
    /// Back up the keys instead: the key files and the first API key. Whoever has both backups can read everything.
    #[arg(long)]
    keys: bool,
    /// Print events as lines of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// What `restore` takes.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// A backup.
    #[arg(value_name = "FOLDER")]
    from: PathBuf,
    /// It is a backup of keys.
    #[arg(long)]
    keys: bool,
    /// Print events as lines of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// Backs up the store that is configured, or its keys.
pub(crate) fn backup(arguments: &BackupArguments) -> Result<()> {
    let config = config::load(&arguments.options)?;
    let into = &arguments.into;
    if arguments.keys {
        let files = keys::copy(&config.data_dir, into)?;
        tell(arguments.json, "keys are backed up", into, &json!({ "event": "backed_up", "keys": files }));
        return Ok(());
    }
    let store = Address::of(&config).look(Others::Allowed)?;
    let seen = telling("backup", "copied", arguments.json);
    let done = wait(store.backup(into.clone(), seen));
    done.with_context(|| format!("backing up {} into {}", Address::of(&config), into.display()))?;
    let found = sqlite::read_backup(into)?;
    if arguments.json {
        say(&as_json("backed_up", &found, &json!({})).to_string());
        return Ok(());
    }
    say(&format!("{} in {}", in_words(&found), into.display()));
    eprintln!("The keys are not in it: mainstay backup --keys writes them elsewhere.");
    Ok(())
}

/// Restores a store, or its keys.
pub(crate) fn restore(arguments: &RestoreArguments) -> Result<()> {
    let config = config::load(&arguments.options)?;
    let (from, into) = (&arguments.from, &config.data_dir);
    if arguments.keys {
        let files = keys::put(from, into)?;
        tell(arguments.json, "keys are restored", into, &json!({ "event": "restored", "keys": files }));
        return Ok(());
    }
    let seen = telling("restore", "verified and copied", arguments.json);
    let restored = sqlite::restore(from, into.clone(), &seen);
    let restored = restored.with_context(|| format!("restoring {} into {}", from.display(), into.display()))?;
    let missing = missing(&config);
    if arguments.json {
        say(&as_json("restored", &restored, &json!({ "missing": missing })).to_string());
        return Ok(());
    }
    say(&format!("{} in {}", in_words(&restored), into.display()));
    for (what, why) in missing {
        eprintln!("Missing: {what}: {why}");
    }
    Ok(())
}

/// What a restored data directory lacks, and what that means.
fn missing(config: &Config) -> Vec<(String, &'static str)> {
    let files = [
        ("keys/master.key", "nothing of the store can be read without it; mainstay restore --keys brings it"),
        ("keys/data.keys", "nothing of the store can be read without it; mainstay restore --keys brings it"),
        ("api-key", "the next start makes another first API key; mainstay restore --keys brings the old one"),
    ];
    let lacks = |name: &str| !config.data_dir.join(name).exists();
    files.into_iter().filter(|(name, _)| lacks(name)).map(|(name, why)| (name.to_owned(), why)).collect()
}

fn as_json(event: &str, found: &Backup, rest: &serde_json::Value) -> serde_json::Value {
    let mut whole = json!({
        "event": event, "sessions": found.sessions, "files": found.files, "bytes": found.bytes,
        "sha256sums": HEXLOWER.encode(&found.sums),
    });
    if let (Some(whole), Some(rest)) = (whole.as_object_mut(), rest.as_object()) {
        whole.extend(rest.clone());
    }
    whole
}

fn in_words(found: &Backup) -> String {
    format!("{} sessions, {} files, {}, verified:", found.sessions, found.files, size(found.bytes))
}

fn tell(as_json: bool, what: &str, place: &std::path::Path, event: &serde_json::Value) {
    match as_json {
        true => say(&event.to_string()),
        false => say(&format!("{what}: {}", place.display())),
    }
}
