//! What the shape of a file cannot say: numbers within bounds, names that are known. Each refusal says where.

use std::{net::SocketAddr, ops::RangeInclusive};

use anyhow::{Result, bail};
use mainstay_providers::{Dialect, Kind};
use mainstay_runtime::task::TaskKind;
use mainstay_store::postgres;

use super::{Deployment, File, Origins, Provider, Server, Store};
use crate::models;

/// Longest time that any setting may name, milliseconds: a week. Whoever writes more has mistaken the unit.
const LONGEST_MS: u64 = 7 * 24 * 3_600_000;

/// Most shards: their number is a signed 16-bit integer in the database.
const MAX_SHARDS: u64 = i16::MAX as u64;
/// A lease must outlast some looks at the store, and a dead node's shards should not wait for minutes.
const LEASE_MS: RangeInclusive<u64> = 1_000..=600_000;
/// Most connections of a kind: a database serves a few hundred in all.
const MAX_CONNECTIONS: u64 = 256;

/// A file, and where its values came from.
pub(super) struct Check<'a> {
    pub(super) file: &'a File,
    pub(super) origins: &'a Origins,
}

impl Check<'_> {
    /// Refuses what cannot work, and says where to listen.
    pub(super) fn all(&self) -> Result<SocketAddr> {
        let Server { listen, .. } = &self.file.server;
        let Ok(address) = listen.parse() else {
            return self
                .refuse("server.listen", &format!("{listen:?} is not ADDRESS:PORT, such as \"127.0.0.1:7070\""));
        };
        self.numbers()?;
        self.store()?;
        self.keys()?;
        if let Err(error) = models::Catalogue::new(&self.file.model) {
            return self.refuse("model", &format!("{error:#}"));
        }
        self.file.provider.iter().enumerate().try_for_each(|(index, provider)| self.provider(index, provider))?;
        self.file.deployment.iter().enumerate().try_for_each(|(index, served)| self.deployment(index, served))?;
        Ok(address)
    }

    fn store(&self) -> Result<()> {
        let Store { url, shards, lease_ms, lanes, readers, timeout_ms, .. } = &self.file.store;
        let is_known = url == "sqlite" || url.starts_with("postgres://") || url.starts_with("postgresql://");
        if !is_known {
            // It may hold a password.
            let scheme = url.split_once("://").map_or("it", |(scheme, _)| scheme);
            let reason = format!("{scheme:?} is neither \"sqlite\" nor \"postgres://…\"");
            return self.refuse("store.url", &reason);
        }
        let address = &self.file.cluster.address;
        if !(address.is_empty() || address.starts_with("http://") || address.starts_with("https://")) {
            let reason = format!("{address:?} is not SCHEME://HOST:PORT, such as \"http://10.0.0.7:7070\"");
            return self.refuse("cluster.address", &reason);
        }
        let bounds = [
            ("store.shards", u64::from(*shards), 1..=MAX_SHARDS),
            ("store.lease_ms", *lease_ms, LEASE_MS),
            ("store.lanes", *lanes as u64, 1..=MAX_CONNECTIONS),
            ("store.readers", *readers as u64, 1..=MAX_CONNECTIONS),
            ("store.timeout_ms", *timeout_ms, 1..=LONGEST_MS),
        ];
        for (name, value, bounds) in bounds {
            if !bounds.contains(&value) {
                return self.refuse(name, &format!("{value} is not between {} and {}", bounds.start(), bounds.end()));
            }
        }
        Ok(())
    }

    /// Keys beside what they open protect nothing.
    fn keys(&self) -> Result<()> {
        let (keys, store) = (&self.file.keys, &self.file.store.url);
        if keys.url.is_empty() {
            if self.file.store.is_shared() {
                let reason = "nodes that share a store share its keys: name a database for them, such as \
                              \"postgres://mainstay@host/keys\", and a keys.master_key (mainstay keys draw makes one)";
                return self.refuse("keys.url", reason);
            }
            return match keys.master_key {
                Some(_) => self.refuse("keys.master_key", "it opens a database of keys, and keys.url names none"),
                None => Ok(()),
            };
        }
        if !keys.url.starts_with("postgres://") && !keys.url.starts_with("postgresql://") {
            return self.refuse("keys.url", "it must begin with postgres://");
        }
        if keys.master_key.is_none() {
            return self.refuse("keys.url", "keys.master_key must say what opens its keys");
        }
        let is_database = store.starts_with("postgres");
        match is_database.then(|| postgres::is_same_database(&keys.url, store)).transpose() {
            Ok(Some(true)) => {
                self.refuse("keys.url", "it is the store's database, whose backups would hold the keys too")
            }
            Ok(_) => Ok(()),
            Err(error) => self.refuse("keys.url", &error.to_string()),
        }
    }

    fn numbers(&self) -> Result<()> {
        let Server { connections, body_limit, bodies_limit, .. } = self.file.server;
        let most = TaskKind::Connection.limit();
        if !(1..=most).contains(&connections) {
            return self.refuse("server.connections", &format!("{connections} is not between 1 and {most}"));
        }
        if body_limit == 0 {
            return self.refuse("server.body_limit", "0 would refuse every request");
        }
        if bodies_limit < body_limit {
            let reason = format!("{bodies_limit} is less than server.body_limit, {body_limit}");
            return self.refuse("server.bodies_limit", &reason);
        }
        self.times()
    }

    fn times(&self) -> Result<()> {
        let Server { header_ms, body_idle_ms, body_ms, keep_alive_ms, .. } = self.file.server;
        let server = [
            ("header_ms", header_ms),
            ("body_idle_ms", body_idle_ms),
            ("body_ms", body_ms),
            ("keep_alive_ms", keep_alive_ms),
        ];
        let server = server.map(|(name, ms)| (format!("server.{name}"), ms));
        let phases = self.file.timeouts.named().map(|(name, ms)| (format!("timeouts.{name}"), ms));
        let wall = [("limits.wall_ms".to_owned(), self.file.limits.wall_ms)];
        for (name, ms) in server.into_iter().chain(phases).chain(wall) {
            if !(1..=LONGEST_MS).contains(&ms) {
                return self.refuse(&name, &format!("{ms} is not between 1 and {LONGEST_MS} milliseconds"));
            }
        }
        Ok(())
    }

    fn provider(&self, index: usize, provider: &Provider) -> Result<()> {
        let name = &provider.name;
        let at = |field: &str| format!("provider[{index}].{field}");
        if self.file.provider[..index].iter().any(|earlier| earlier.name == *name) {
            return self.refuse(&at("name"), &format!("there are two providers named {name:?}"));
        }
        if let Err(error) = provider.kind.parse::<Kind>() {
            return self.refuse(&at("kind"), &error.to_string());
        }
        if let Some(Err(error)) = provider.dialect.as_deref().map(str::parse::<Dialect>) {
            return self.refuse(&at("dialect"), &error.to_string());
        }
        Ok(())
    }

    fn deployment(&self, index: usize, deployment: &Deployment) -> Result<()> {
        let at = |field: &str| format!("deployment[{index}].{field}");
        let name = &deployment.provider;
        if !self.file.provider.iter().any(|provider| provider.name == *name) {
            return self.refuse(&at("provider"), &format!("there is no provider named {name:?}"));
        }
        if let Some(Err(error)) = deployment.price.as_ref().map(super::Price::per_token) {
            return self.refuse(&at("price"), &error.to_string());
        }
        Ok(())
    }

    fn refuse<T>(&self, name: &str, reason: &str) -> Result<T> {
        bail!("{}: {name}: {reason}", self.origins.of(name))
    }
}
