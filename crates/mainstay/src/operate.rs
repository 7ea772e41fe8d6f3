//! Verbs of whoever operates a store: back it up, restore it, verify it, look at it, move it. They need no server and
//! disturb none. Start with `Address`: which store is meant.

mod backup;
mod copy;
mod db;
mod keys;

use std::{
    fmt,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use mainstay_store::{
    Error,
    postgres::{self, Options},
    sqlite::{self, Others},
    whole::{Migrated, Receiver, Seen, Whole},
};

use crate::{config::Config, models::Progress};

pub(crate) use backup::{BackupArguments, RestoreArguments, backup, restore};
pub(crate) use copy::{StoreVerb, store};
pub(crate) use db::{DbVerb, db};
pub(crate) use keys::{KeysVerb, keys};

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A data directory.
    Folder(PathBuf),
    /// A cluster's database.
    Database(String),
}

impl Address {
    /// As it stands on a command line.
    fn parse(text: &str) -> Result<Self> {
        if is_database(text) {
            return Ok(Self::Database(text.to_owned()));
        }
        if text.contains("://") {
            bail!("{} names no store: a data directory or postgres://…", text.split("://").next().unwrap_or_default());
        }
        Ok(Self::Folder(PathBuf::from(text.strip_prefix("sqlite:").unwrap_or(text))))
    }

    /// The store that the configuration names.
    fn of(config: &Config) -> Self {
        let url = &config.file.store.url;
        if is_database(url) { Self::Database(url.clone()) } else { Self::Folder(config.data_dir.clone()) }
    }

    /// Opens it to be read.
    fn look(&self, others: Others) -> Result<Arc<dyn Whole>> {
        match self {
            Self::Folder(dir) => sqlite::look(dir.clone(), others),
            Self::Database(url) => postgres::look(Options::new(url), others == Others::Refused),
        }
        .with_context(|| format!("opening {self}"))
    }

    /// Opens it to be copied into.
    fn receive(&self) -> Result<Arc<dyn Receiver>> {
        match self {
            Self::Folder(dir) => sqlite::receive(dir.clone()),
            Self::Database(url) => postgres::receive(Options::new(url)),
        }
        .with_context(|| format!("opening {self}"))
    }

    fn migrate(&self) -> Result<Migrated> {
        match self {
            Self::Folder(dir) => sqlite::migrate(dir.clone()),
            Self::Database(url) => postgres::migrate(Options::new(url)),
        }
        .with_context(|| format!("migrating {self}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(dir) => dir.display().fmt(out),
            // Without who asks and the password.
            Self::Database(url) => {
                let place = url.split_once("://").map_or(&**url, |(_, rest)| rest);
                let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
                write!(out, "postgres://{}", place.split('?').next().unwrap_or_default())
            }
        }
    }
}

fn is_database(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// Waits for a verb of a store.
fn wait<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting threads")?;
    Ok(runtime.block_on(work)?)
}

/// What hears of bytes and tells the operator.
fn telling(name: &str, doing: &'static str, as_json: bool) -> Seen {
    let mut progress = Progress::of(name.to_owned(), as_json);
    progress.begin(doing, 0, None);
    let progress = Mutex::new((progress, None));
    Arc::new(move |bytes, total| {
        let mut held = progress.lock().unwrap_or_else(PoisonError::into_inner);
        if held.1 != Some(total) {
            held.0.begin(doing, 0, Some(total).filter(|total| *total > 0));
            held.1 = Some(total);
        }
        held.0.advance(bytes);
    })
}
