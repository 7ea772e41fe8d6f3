//! Webhook endpoints of the configuration, and what the wires tell the runtime.

use std::{collections::HashSet, sync::Arc};

use anyhow::{Context, Result, bail};
use mainstay_providers::post;
use mainstay_runtime::webhook::{Announcement, Endpoint, MAX_ENDPOINTS, Outlets, Told, Webhooks};
use mainstay_session::{Spec, registry::Version, spec::Limits};
use mainstay_vocabulary::Tenant;
use mainstay_wire::{agents, webhook};

use crate::config::{Config, Webhook};

/// Where events are sent.
pub(crate) fn outlets(config: &Config) -> Result<Outlets> {
    let webhooks = &config.file.webhook;
    let mut outlets = Outlets { announce, spec_of, webhooks: None };
    if webhooks.is_empty() {
        return Ok(outlets);
    }
    if webhooks.len() > MAX_ENDPOINTS {
        bail!("more than {MAX_ENDPOINTS} webhooks are configured");
    }
    let mut names = HashSet::new();
    if let Some(twice) = webhooks.iter().find(|webhook| !names.insert(&webhook.name)) {
        bail!("two webhooks are named {:?}", twice.name);
    }
    let of = |webhook| endpoint(config, webhook).with_context(|| format!("webhook {:?}", webhook.name));
    let endpoints = webhooks.iter().map(of).collect::<Result<_>>()?;
    outlets.webhooks = Some(Webhooks { endpoints, post: Arc::new(post::Http::new()?) });
    Ok(outlets)
}

fn endpoint(config: &Config, webhook: &Webhook) -> Result<Endpoint> {
    if !webhook.url.starts_with("https://") && !webhook.url.starts_with("http://") {
        bail!("url: {:?} is no http or https address", webhook.url);
    }
    if let Some(unknown) = webhook.events.iter().find(|kind| !webhook::TYPES.contains(&kind.as_str())) {
        bail!("events: there is no {unknown:?}; there are {}", webhook::TYPES.join(", "));
    }
    let secret = webhook.secret.read(&config.environment)?.parse().with_context(|| format!("{}", webhook.secret))?;
    Ok(Endpoint {
        name: webhook.name.clone(),
        url: webhook.url.clone(),
        secret,
        events: webhook.events.clone(),
        tenant: Tenant(Arc::from(webhook.tenant.as_str())),
    })
}

fn announce(told: &Told<'_>) -> Vec<Announcement> {
    let found = webhook::announce((told.before, told.after), told.events, told.options.as_ref());
    let kept = |webhook::Announcement { id, kind, body }| Announcement { id, kind, body };
    found.into_iter().map(kept).collect()
}

fn spec_of(version: &Version, operator: Limits) -> Spec {
    let mut spec = (*version.definition.spec).clone();
    spec.limits = agents::config::limits(&spec, operator);
    spec
}
