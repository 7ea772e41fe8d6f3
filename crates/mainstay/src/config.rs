//! Configuration: defaults, then a file, then the environment, then flags. The only place that reads the environment.
//! Refuses what it does not know, with file, line and reason.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use mainstay_session::spec::Limits;
use mainstay_vocabulary::place::Place;
use serde::Deserialize;
use toml::{Table, Value};

use crate::Options;

/// The one source of defaults, and of their documentation.
const DEFAULTS: &str = include_str!("config.default.toml");

/// The merged configuration.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) file: File,
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    /// Where each value came from, by dotted name; only what is not a default.
    origins: BTreeMap<String, String>,
    merged: Table,
}

/// The shape of a configuration file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) server: Server,
    pub(crate) store: Store,
    #[serde(deserialize_with = "limits")]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) provider: Vec<Provider>,
    #[serde(default)]
    pub(crate) deployment: Vec<Deployment>,
    #[serde(default)]
    pub(crate) key: Vec<Key>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    listen: String,
    data_dir: String,
    pub(crate) body_limit: usize,
    pub(crate) connections: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) url: String,
    pub(crate) most_bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) base_url: Option<String>,
    pub(crate) api_key: Option<Secret>,
    pub(crate) dialect: Option<String>,
    pub(crate) script: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deployment {
    pub(crate) model: String,
    pub(crate) provider: String,
    pub(crate) upstream_model: Option<String>,
    pub(crate) max_output_tokens: Option<u64>,
    pub(crate) price: Option<Price>,
    #[serde(default, deserialize_with = "place")]
    pub(crate) place: Place,
}

/// USD per million tokens, as decimal text so that nothing is rounded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    pub(crate) input: String,
    pub(crate) cached_input: Option<String>,
    pub(crate) cache_write: Option<String>,
    pub(crate) output: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) tenant: String,
    pub(crate) principal: String,
    pub(crate) key: Secret,
}

/// Where a secret is; never the secret itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Secret {
    Env(String),
    File(PathBuf),
}

fn limits<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Limits, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        max_steps: u32,
        max_attempts: u32,
        wall_ms: u64,
    }
    let Strict { max_steps, max_attempts, wall_ms } = Strict::deserialize(deserializer)?;
    Ok(Limits { max_steps, max_attempts, wall_ms })
}

/// Strict, unlike the journal's reading of the same shape: a typing error here must not pass.
fn place<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        jurisdiction: Option<String>,
        region: Option<String>,
        silicon: Option<String>,
        operator: Option<String>,
        #[serde(default)]
        evidence: mainstay_vocabulary::place::Evidence,
    }
    let Strict { jurisdiction, region, silicon, operator, evidence } = Strict::deserialize(deserializer)?;
    Ok(Place { jurisdiction, region, silicon, operator, evidence })
}

impl Secret {
    /// Reads the secret.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(crate) fn read(&self) -> Result<String> {
        let text = match self {
            Self::Env(name) => std::env::var(name).with_context(|| format!("environment variable {name}"))?,
            Self::File(path) => fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
        };
        let text = text.trim().to_owned();
        if text.is_empty() {
            bail!("the secret in {self} is empty");
        }
        Ok(text)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Merges all sources.
pub(crate) fn load(options: &Options) -> Result<Config> {
    let mut merged: Table = DEFAULTS.parse().context("the compiled-in defaults")?;
    let mut origins = BTreeMap::new();
    if let Some(path) = &options.config {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        check(path, &text)?;
        let table: Table = text.parse().with_context(|| path.display().to_string())?;
        overlay(&mut merged, table, "", &path.display().to_string(), &mut origins);
    }
    for (name, variable) in [("listen", "MAINSTAY_LISTEN"), ("data_dir", "MAINSTAY_DATA")] {
        if let Some(value) = environment(variable) {
            set(&mut merged, name, value, &format!("${variable}"), &mut origins);
        }
    }
    if let Some(listen) = options.listen {
        set(&mut merged, "listen", listen.to_string(), "--listen", &mut origins);
    }
    if let Some(data) = &options.data {
        set(&mut merged, "data_dir", data.display().to_string(), "--data", &mut origins);
    }
    let mut file: File = Value::Table(merged.clone()).try_into().context("the merged configuration")?;
    if let Some(folder) = options.config.as_deref().and_then(Path::parent) {
        file.provider.iter_mut().filter_map(|p| p.script.as_mut()).for_each(|path| *path = folder.join(&*path));
    }
    let listen = file.server.listen.parse().with_context(|| format!("server.listen = {:?}", file.server.listen))?;
    let data_dir = data_dir(&file.server.data_dir)?;
    if file.store.url != "sqlite" {
        bail!("store.url = {:?}: only \"sqlite\" exists so far", file.store.url);
    }
    Ok(Config { file, listen, data_dir, origins, merged })
}

/// Refuses a file that does not fit the shape, naming line and reason.
fn check(path: &Path, text: &str) -> Result<()> {
    let mut whole: Table = DEFAULTS.parse().context("the compiled-in defaults")?;
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => bail!("{}: {error}", path.display()),
    };
    overlay(&mut whole, table, "", "", &mut BTreeMap::new());
    let merged: Result<File, _> = Value::Table(whole).try_into();
    let Err(problem) = merged else { return Ok(()) };
    // Only reading the text itself tells the line; a file may leave out what the defaults hold.
    match toml::from_str::<Partial>(text) {
        Err(error) => bail!("{}: {error}", path.display()),
        Ok(_) => bail!("{}: {problem}", path.display()),
    }
}

/// A file by itself: every section may be missing, none may hold what is unknown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read for its errors only")]
struct Partial {
    server: Option<PartialServer>,
    store: Option<PartialStore>,
    limits: Option<PartialLimits>,
    #[serde(default)]
    provider: Vec<Provider>,
    #[serde(default)]
    deployment: Vec<Deployment>,
    #[serde(default)]
    key: Vec<Key>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read for its errors only")]
struct PartialServer {
    listen: Option<String>,
    data_dir: Option<String>,
    body_limit: Option<usize>,
    connections: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read for its errors only")]
struct PartialStore {
    url: Option<String>,
    most_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read for its errors only")]
struct PartialLimits {
    max_steps: Option<u32>,
    max_attempts: Option<u32>,
    wall_ms: Option<u64>,
}

fn overlay(base: &mut Table, over: Table, path: &str, origin: &str, origins: &mut BTreeMap<String, String>) {
    for (name, value) in over {
        let dotted = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (base.get_mut(&name), value) {
            (Some(Value::Table(inner)), Value::Table(table)) => overlay(inner, table, &dotted, origin, origins),
            (_, value) => {
                origins.insert(dotted, origin.to_owned());
                base.insert(name, value);
            }
        }
    }
}

fn set(merged: &mut Table, name: &str, value: String, origin: &str, origins: &mut BTreeMap<String, String>) {
    let section = Table::from_iter([(name.to_owned(), Value::String(value))]);
    let over = Table::from_iter([("server".to_owned(), Value::Table(section))]);
    overlay(merged, over, "", origin, origins);
}

fn data_dir(configured: &str) -> Result<PathBuf> {
    if !configured.is_empty() {
        return std::path::absolute(configured).with_context(|| format!("server.data_dir = {configured:?}"));
    }
    let home = || environment("HOME").map(|home| Path::new(&home).join(".local/share"));
    let base = environment("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    let base = base.context("neither XDG_DATA_HOME nor HOME is set: name a data directory with --data DIR")?;
    Ok(base.join("mainstay"))
}

/// Prints the merged configuration with the origin of each value.
pub(crate) fn print(config: &Config) -> Result<()> {
    let mut lines = Vec::new();
    flatten(&config.merged, "", &mut lines);
    let width = lines.iter().map(|(name, value)| name.len() + value.len() + 3).max().unwrap_or(0).min(72);
    for (name, value) in lines {
        let origin = origin_of(&config.origins, &name);
        println!("{:width$}  # {origin}", format!("{name} = {value}"));
    }
    println!("# data directory: {}", config.data_dir.display());
    Ok(())
}

fn origin_of<'a>(origins: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    let section = name.split(['.', '[']).next().unwrap_or(name);
    origins.get(name).or_else(|| origins.get(section)).map_or("default", String::as_str)
}

fn flatten(table: &Table, path: &str, lines: &mut Vec<(String, String)>) {
    for (name, value) in table {
        let dotted = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        flatten_value(&dotted, value, lines);
    }
}

fn flatten_value(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Table(inner) => flatten(inner, name, lines),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                flatten_value(&format!("{name}[{index}]"), value, lines);
            }
        }
        value => lines.push((name.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests;
