//! The runtime's deployments, from what is configured or, where nothing is, from what is offered.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use mainstay_providers::{LocalOptions, Provider, Secret, Settings};
use mainstay_runtime::route::{self, Deployments};

use crate::{
    config::{self, Config},
    models,
    offer::Offers,
};

/// The kind of the embedded engine.
pub(crate) const LOCAL: &str = "local";

/// Every deployment, the default model first.
///
/// # Errors
/// Where a provider cannot be built: a secret is missing, an address is none, a model is not installed.
pub(crate) fn deployments(config: &Config, offers: Option<&Offers>) -> Result<Deployments> {
    let mut deployments = Deployments::default();
    let mut built: BTreeMap<&str, Arc<dyn Provider>> = BTreeMap::new();
    for (deployment, provider) in pairs(config, offers) {
        // One for all deployments of an account: they share its connections, or its engine.
        let shared = match built.get(provider.name.as_str()) {
            Some(shared) => Arc::clone(shared),
            None => build(config, offers, provider)?,
        };
        built.insert(&provider.name, Arc::clone(&shared));
        deployments.add(&deployment.model, route(deployment, shared)?);
    }
    Ok(deployments)
}

/// Every deployment with its provider.
pub(crate) fn pairs<'a>(
    config: &'a Config,
    offers: Option<&'a Offers>,
) -> Vec<(&'a config::Deployment, &'a config::Provider)> {
    let provider = |name: &str| config.file.provider.iter().find(|provider| provider.name == name);
    let configured = config.file.deployment.iter().filter_map(|served| Some((served, provider(&served.provider)?)));
    let offered = offers.into_iter().flat_map(|offers| &offers.offered);
    let offered = offered.flat_map(|offer| offer.deployments.iter().map(|deployment| (deployment, &offer.provider)));
    configured.chain(offered).collect()
}

fn build(config: &Config, offers: Option<&Offers>, provider: &config::Provider) -> Result<Arc<dyn Provider>> {
    let name = || format!("provider {:?}", provider.name);
    let kind = provider.kind.parse().with_context(name)?;
    mainstay_providers::build(kind, settings(config, offers, provider)?).with_context(name)
}

fn route(deployment: &config::Deployment, provider: Arc<dyn Provider>) -> Result<route::Deployment> {
    let upstream_model = deployment.upstream_model().to_owned();
    Ok(route::Deployment {
        name: format!("{}/{upstream_model}", deployment.provider),
        provider_name: deployment.provider.clone(),
        provider,
        upstream_model,
        place: deployment.place.clone(),
        price: deployment.price.as_ref().map(config::Price::per_token).transpose()?,
        max_output_tokens: deployment.max_output_tokens,
    })
}

/// What the provider's code gets to know of an account.
///
/// # Errors
/// Where its secret cannot be read, its dialect is unknown, or a model of the embedded engine is not installed.
pub(crate) fn settings(config: &Config, offers: Option<&Offers>, provider: &config::Provider) -> Result<Settings> {
    let key = provider.api_key.as_ref().map(|secret| secret.read(&config.environment)).transpose();
    Ok(Settings {
        name: provider.name.clone(),
        base_url: provider.base_url.clone(),
        api_key: key.with_context(|| format!("provider {:?}", provider.name))?.map(Secret::new),
        script: provider.script.clone(),
        timeouts: config.file.timeouts.with(provider.timeouts),
        dialect: provider.dialect.as_deref().map(str::parse).transpose()?,
        models: models(config, offers, provider)?,
        local: LocalOptions {
            threads: provider.threads,
            context_tokens: provider.context_tokens,
            parallel: provider.parallel,
        },
    })
}

/// The files of the models that the embedded engine serves under a provider: installed ones by name, others by path.
fn models(config: &Config, offers: Option<&Offers>, provider: &config::Provider) -> Result<Vec<(String, PathBuf)>> {
    if provider.kind != LOCAL {
        return Ok(Vec::new());
    }
    let library = models::Library::open(&config.data_dir);
    let served = pairs(config, offers).into_iter().filter(|(_, other)| other.name == provider.name);
    let names: BTreeSet<_> = served.map(|(deployment, _)| deployment.upstream_model()).collect();
    let file = |name: &str| match Path::new(name) {
        path if path.is_absolute() => Ok((name.to_owned(), path.to_owned())),
        _ => {
            let installed = library.find(name);
            let advice = || format!("model {name:?} is not installed: mainstay pull {name}, or mainstay import FILE");
            installed.map(|model| (name.to_owned(), model.path)).with_context(advice)
        }
    };
    names.into_iter().map(file).collect()
}
