//! Opens the store that the configuration names, and says how this process stands among others on it.

use std::{net::IpAddr, sync::Arc};

use anyhow::{Context, Result, bail};
use mainstay_providers::peer;
use mainstay_runtime::Cluster;
use mainstay_store::{Store, postgres, sqlite};

use crate::config::Config;

/// Opens the store.
///
/// # Errors
/// It is in use, out of reach, or not as it must be; the message says what to do.
pub(crate) fn open(config: &Config) -> Result<Arc<dyn Store>> {
    let settings = &config.file.store;
    if settings.is_shared() {
        return postgres::open(options(config)).context("opening the store in PostgreSQL (store.url)");
    }
    let most_bytes = Some(settings.most_bytes).filter(|bytes| *bytes > 0);
    let dir = config.data_dir.clone();
    sqlite::open(sqlite::Options { dir, most_bytes })
        .with_context(|| format!("opening the store in {}", config.data_dir.display()))
}

/// The settings of a store in PostgreSQL.
pub(crate) fn options(config: &Config) -> postgres::Options {
    let settings = &config.file.store;
    postgres::Options {
        shards: settings.shards,
        lease_ms: settings.lease_ms,
        lanes: settings.lanes,
        readers: settings.readers,
        timeout_ms: settings.timeout_ms,
        failover: settings.failover,
        ..postgres::Options::new(settings.url.clone())
    }
}

/// How others reach this process and it reaches them; nothing where the store is its own.
///
/// # Errors
/// It would say an address that no other machine can use, on a store that others may share.
pub(crate) fn cluster(config: &Config) -> Result<Option<Cluster>> {
    if !config.file.store.is_shared() {
        return Ok(None);
    }
    let named = config.file.cluster.address.trim_end_matches('/');
    let address = match named {
        "" => address(config)?,
        named => named.to_owned(),
    };
    Ok(Some(Cluster { address, peers: Arc::new(peer::Http::new()?) }))
}

fn address(config: &Config) -> Result<String> {
    let is_anywhere = match config.listen.ip() {
        IpAddr::V4(ip) => ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    if is_anywhere || config.listen.port() == 0 {
        bail!(
            "{}: server.listen is {}, which is no address for other nodes: say theirs in cluster.address, such as \
             \"http://10.0.0.7:7070\"",
            config.origins.of("server.listen"),
            config.listen
        );
    }
    Ok(format!("http://{}", config.listen))
}
