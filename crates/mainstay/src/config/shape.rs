//! The shape of a configuration file: what may be said, under which names. Nothing here reads, merges or checks.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use mainstay_providers::Timeouts;
use mainstay_session::spec::Limits;
use mainstay_vocabulary::{
    place::{Evidence, Place},
    tool::EffectClass,
};
use serde::Deserialize;

use super::{Environment, price::Price};
use crate::models;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) server: Server,
    pub(crate) store: Store,
    pub(crate) cluster: Cluster,
    #[serde(deserialize_with = "limits")]
    pub(crate) limits: Limits,
    pub(crate) timeouts: Phases,
    pub(crate) keys: Keys,
    pub(crate) egress: Egress,
    pub(crate) policy: Policy,
    pub(crate) models: models::Settings,
    #[serde(default)]
    pub(crate) provider: Vec<Provider>,
    #[serde(default)]
    pub(crate) deployment: Vec<Deployment>,
    #[serde(default)]
    pub(crate) key: Vec<Key>,
    #[serde(default)]
    pub(crate) webhook: Vec<Webhook>,
    #[serde(default)]
    pub(crate) mcp: Vec<McpServer>,
    /// More models than the catalogue has, and mirrors of those that it has.
    #[serde(default)]
    pub(crate) model: Vec<models::Entry>,
}

/// The HTTP edge and where everything lives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: String,
    pub(crate) data_dir: String,
    pub(crate) connections: usize,
    pub(crate) body_limit: usize,
    pub(crate) bodies_limit: usize,
    pub(crate) header_ms: u64,
    pub(crate) body_idle_ms: u64,
    pub(crate) body_ms: u64,
    pub(crate) keep_alive_ms: u64,
    pub(crate) grace_ms: u64,
    pub(crate) log: String,
}

/// The store.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) url: String,
    pub(crate) most_bytes: u64,
    pub(crate) shards: u16,
    pub(crate) lease_ms: u64,
    pub(crate) lanes: usize,
    pub(crate) readers: usize,
    pub(crate) timeout_ms: u64,
    pub(crate) failover: bool,
}

impl Store {
    /// Whether other processes may serve it too.
    pub(crate) fn is_shared(&self) -> bool {
        self.url != "sqlite"
    }
}

/// This process among others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    pub(crate) address: String,
}

/// Where data keys live.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    pub(crate) url: String,
    pub(crate) master_key: Option<Secret>,
}

/// How long each phase of a call to a provider may take, milliseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phases {
    connect_ms: u64,
    headers_ms: u64,
    first_token_ms: u64,
    idle_ms: u64,
}

/// The same for one provider; what is left out is the general setting.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnPhases {
    connect_ms: Option<u64>,
    headers_ms: Option<u64>,
    first_token_ms: Option<u64>,
    idle_ms: Option<u64>,
}

impl Phases {
    /// Each phase by its name.
    pub(super) fn named(&self) -> [(&'static str, u64); 4] {
        [
            ("connect_ms", self.connect_ms),
            ("headers_ms", self.headers_ms),
            ("first_token_ms", self.first_token_ms),
            ("idle_ms", self.idle_ms),
        ]
    }

    /// What holds for a provider with settings of its own.
    pub(crate) fn with(&self, own: OwnPhases) -> Timeouts {
        let phase = |own: Option<u64>, general: u64| Duration::from_millis(own.unwrap_or(general));
        Timeouts {
            connect: phase(own.connect_ms, self.connect_ms),
            headers: phase(own.headers_ms, self.headers_ms),
            first_token: phase(own.first_token_ms, self.first_token_ms),
            idle: phase(own.idle_ms, self.idle_ms),
        }
    }
}

/// One account at whoever serves models.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) base_url: Option<String>,
    pub(crate) api_key: Option<Secret>,
    pub(crate) dialect: Option<String>,
    pub(crate) script: Option<PathBuf>,
    pub(crate) threads: Option<u32>,
    pub(crate) context_tokens: Option<u32>,
    pub(crate) parallel: Option<u32>,
    #[serde(default)]
    pub(crate) timeouts: OwnPhases,
}

/// One place where a model is served.
#[derive(Clone, Debug, Default, Deserialize)]
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

impl Deployment {
    /// What the provider calls the model.
    pub(crate) fn upstream_model(&self) -> &str {
        self.upstream_model.as_deref().unwrap_or(&self.model)
    }
}

/// An API key besides the first one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) tenant: String,
    pub(crate) principal: String,
    pub(crate) key: Secret,
}

/// Where events of a tenant's sessions are sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) secret: Secret,
    pub(crate) events: Vec<String>,
    #[serde(default = "first_tenant")]
    pub(crate) tenant: String,
}

/// Who may call which tool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) standard: bool,
}

/// What tools may reach.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Egress {
    pub(crate) any_server: bool,
    pub(crate) hosts: Vec<String>,
    pub(crate) private: Vec<String>,
}

/// An MCP server that agents may name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct McpServer {
    pub(crate) name: String,
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) bearer: Option<Secret>,
    pub(crate) command: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) classes: BTreeMap<String, EffectClass>,
}

fn first_tenant() -> String {
    "default".to_owned()
}

/// Where a secret is; never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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
        evidence: Evidence,
    }
    let Strict { jurisdiction, region, silicon, operator, evidence } = Strict::deserialize(deserializer)?;
    Ok(Place { jurisdiction, region, silicon, operator, evidence })
}

impl Secret {
    /// Reads the secret.
    pub(crate) fn read(&self, environment: &Environment) -> Result<String> {
        let text = match self {
            Self::Env(name) => environment.get(name).with_context(|| format!("{self} is not set"))?.to_owned(),
            Self::File(path) => fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
        };
        let text = text.trim().to_owned();
        if text.is_empty() {
            bail!("the secret in {self} is empty");
        }
        Ok(text)
    }

    fn relative_to(&mut self, folder: &Path) {
        if let Self::File(path) = self {
            *path = folder.join(&*path);
        }
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

impl File {
    /// Makes the paths in it relative to the folder of the file that named them.
    pub(super) fn relative_to(&mut self, folder: &Path) {
        self.provider.iter_mut().filter_map(|provider| provider.script.as_mut()).for_each(|p| *p = folder.join(&*p));
        let of_providers = self.provider.iter_mut().filter_map(|provider| provider.api_key.as_mut());
        let secrets = of_providers.chain(self.key.iter_mut().map(|key| &mut key.key));
        let secrets = secrets.chain(self.webhook.iter_mut().map(|webhook| &mut webhook.secret));
        let secrets = secrets.chain(self.mcp.iter_mut().filter_map(|server| server.bearer.as_mut()));
        let secrets = secrets.chain(self.keys.master_key.iter_mut());
        secrets.for_each(|secret| secret.relative_to(folder));
        self.model.iter_mut().for_each(|model| model.relative_to(folder));
    }
}
