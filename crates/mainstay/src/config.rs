//! Configuration: defaults, then a file, then the environment, then flags. The only place that reads the environment.
//! Refuses what it does not know, with file, line and reason. Start with `load`.

mod check;
mod environment;
mod origin;
mod price;
mod print;
mod shape;
#[cfg(test)]
mod tests;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue, Deserializer},
};

use crate::Options;
use check::Check;
pub(crate) use environment::Environment;
pub(crate) use origin::{Origin, Origins};
pub(crate) use price::Price;
pub(crate) use print::{Arguments as PrintArguments, print};
pub(crate) use shape::{Deployment, File, McpServer, Provider, Secret, Server, Store, Webhook};

/// The one source of defaults, and of their documentation.
const DEFAULTS: &str = include_str!("config.default.toml");

/// The file's name in the user's configuration directory.
const FILE: &str = "mainstay.toml";

/// The merged configuration.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) file: File,
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    /// The file that was read, if any.
    pub(crate) path: Option<PathBuf>,
    pub(crate) environment: Environment,
    pub(crate) origins: Origins,
    merged: Table,
}

/// Merges all sources.
///
/// # Errors
/// Where a source cannot be read or says what cannot be; the message says where.
pub(crate) fn load(options: &Options) -> Result<Config> {
    load_in(options, Environment::read())
}

/// Merges all sources in an environment.
pub(crate) fn load_in(options: &Options, environment: Environment) -> Result<Config> {
    let path = path(options, &environment)?;
    merge(path, options, environment)
}

/// Merges all sources but a file, wherever one may be.
pub(crate) fn without_file(options: &Options, environment: Environment) -> Result<Config> {
    merge(None, options, environment)
}

fn merge(path: Option<PathBuf>, options: &Options, environment: Environment) -> Result<Config> {
    let mut merged = defaults()?;
    let mut origins = Origins::default();
    if let Some(path) = &path {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        overlay(&mut merged, read(path, &text, &mut origins)?);
    }
    for over in environment.overrides(&defaults()?)? {
        origins.note(format!("{}.{}", over.section, over.name), Origin::Variable(over.variable));
        set(&mut merged, (&over.section, &over.name), over.value);
    }
    let listen = options.listen.map(|listen| ("listen", "--listen", listen.to_string()));
    let data = options.data.as_ref().map(|data| ("data_dir", "--data", data.display().to_string()));
    for (name, flag, value) in [listen, data].into_iter().flatten() {
        origins.note(format!("server.{name}"), Origin::Flag(flag));
        set(&mut merged, ("server", name), Value::String(value));
    }
    let mut file: File = Value::Table(merged.clone()).try_into().context("the merged configuration")?;
    if let Some(folder) = path.as_deref().and_then(Path::parent) {
        file.relative_to(folder);
    }
    let listen = Check { file: &file, origins: &origins }.all()?;
    let data_dir = data_dir(&file.server.data_dir, &environment)?;
    Ok(Config { file, listen, data_dir, path, environment, origins, merged })
}

impl Config {
    /// Variables that look like a setting's and are none's.
    pub(crate) fn strangers(&self) -> Vec<String> {
        defaults().map(|defaults| self.environment.strangers(&defaults)).unwrap_or_default()
    }
}

fn defaults() -> Result<Table> {
    DEFAULTS.parse().context("the compiled-in defaults")
}

/// The file to read: the one that is named, else the user's own where there is one.
fn path(options: &Options, environment: &Environment) -> Result<Option<PathBuf>> {
    let named = options.config.clone().or_else(|| environment.get("MAINSTAY_CONFIG").map(PathBuf::from));
    match named {
        Some(path) => Ok(Some(std::path::absolute(&path).with_context(|| format!("the file {}", path.display()))?)),
        None => Ok(user_path(environment).filter(|path| path.exists())),
    }
}

/// Where the user's own file is, whether it exists or not.
pub(crate) fn user_path(environment: &Environment) -> Option<PathBuf> {
    let home = || Some(Path::new(environment.get("HOME")?).join(".config"));
    let base = environment.get("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)?;
    Some(base.join("mainstay").join(FILE))
}

/// Reads a file by itself and refuses what does not fit the shape, naming line and reason.
fn read(path: &Path, text: &str, origins: &mut Origins) -> Result<Table> {
    let mut table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => bail!("{}: {error}", path.display()),
    };
    origins.note_file(path, text, table.get_ref());
    complete(table.get_mut(), DeTable::parse(DEFAULTS).context("the compiled-in defaults")?.into_inner());
    if let Err(mut error) = File::deserialize(Deserializer::from(table)) {
        error.set_input(Some(text));
        bail!("{}: {error}", path.display());
    }
    text.parse().with_context(|| path.display().to_string())
}

/// Adds what a file leaves out, so that its own values keep their places in its text.
fn complete<'a>(table: &mut DeTable<'a>, defaults: DeTable<'a>) {
    for (name, value) in defaults {
        match table.get_mut(&name).map(Spanned::get_mut) {
            None => {
                table.insert(name, value);
            }
            Some(DeValue::Table(inner)) => {
                if let DeValue::Table(defaults) = value.into_inner() {
                    complete(inner, defaults);
                }
            }
            Some(_) => {}
        }
    }
}

fn overlay(base: &mut Table, over: Table) {
    for (name, value) in over {
        match (base.get_mut(&name), value) {
            (Some(Value::Table(inner)), Value::Table(table)) => overlay(inner, table),
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}

fn set(merged: &mut Table, (section, name): (&str, &str), value: Value) {
    let section_of_one = Table::from_iter([(name.to_owned(), value)]);
    overlay(merged, Table::from_iter([(section.to_owned(), Value::Table(section_of_one))]));
}

fn data_dir(configured: &str, environment: &Environment) -> Result<PathBuf> {
    if !configured.is_empty() {
        return std::path::absolute(configured).with_context(|| format!("server.data_dir = {configured:?}"));
    }
    let home = || Some(Path::new(environment.get("HOME")?).join(".local/share"));
    let base = environment.get("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    let base = base.context("neither XDG_DATA_HOME nor HOME is set: name a data directory with --data DIR")?;
    Ok(base.join("mainstay"))
}
