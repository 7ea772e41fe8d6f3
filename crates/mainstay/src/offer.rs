//! What is served where no deployment is configured: a running Ollama, installed embedded models, hosted vendors whose
//! keys are in the environment, and a built-in echo where there is nothing else. Deciding is a pure function over what
//! was found; only `look` looks. Nothing but loopback is called. The reasons are in docs/decisions/0005.

pub(crate) mod ollama;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod vendor;

use crate::{
    config::{Config, Deployment, Environment, Provider, Secret},
    deployments::LOCAL,
    key, models,
};
use ollama::Ollama;
use vendor::{VENDORS, Vendor};

/// Most models of one Ollama that are offered: more than a person reads.
const MOST_OLLAMA_MODELS: usize = 32;

/// The provider and model of last resort.
pub(crate) const ECHO: &str = "echo";

/// What was found on this machine.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) environment: &'a Environment,
    /// Keys of this server: they may stand in the environment for its clients and are no vendor's.
    pub(crate) own_keys: Vec<String>,
    pub(crate) ollama: Ollama,
    /// Names of the installed models that the embedded engine can serve; empty where there is no engine.
    pub(crate) embedded: Vec<String>,
}

/// Where a prompt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It stays on this machine.
    Here,
    /// It leaves this machine.
    Away,
}

/// One account and the models that are offered from it.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) provider: Provider,
    pub(crate) deployments: Vec<Deployment>,
    /// What was found.
    pub(crate) because: String,
    pub(crate) reach: Reach,
}

/// All offers, the default model first, and what was seen and left alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offers {
    pub(crate) offered: Vec<Offer>,
    /// What was seen and is not offered, and why.
    pub(crate) passed_over: Vec<String>,
}

/// Looks at this machine and decides. `None` where deployments are configured.
pub(crate) async fn look(config: &Config) -> Option<Offers> {
    if !config.file.deployment.is_empty() {
        return None;
    }
    let configured = config.file.key.iter().filter_map(|key| key.key.read(&config.environment).ok());
    let found = Found {
        environment: &config.environment,
        own_keys: configured.collect(),
        ollama: ollama::look(config.environment.get("OLLAMA_HOST")).await,
        embedded: embedded(config),
    };
    Some(decide(&found))
}

/// The largest first: whoever fetched more than the small test model wants to use it.
fn embedded(config: &Config) -> Vec<String> {
    if !cfg!(feature = "local") {
        return Vec::new();
    }
    let mut installed = models::Library::open(&config.data_dir).list();
    installed.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.name.cmp(&other.name)));
    installed.into_iter().map(|model| model.name).collect()
}

/// What is offered of what was found. What stays on this machine comes first, so that a prompt leaves it only where
/// a client names a model that is elsewhere, or where there is no other.
pub(crate) fn decide(found: &Found<'_>) -> Offers {
    let mut offers = Offers::default();
    of_ollama(&found.ollama, &mut offers);
    of_embedded(&found.embedded, &mut offers);
    for vendor in VENDORS {
        of_vendor(vendor, found, &mut offers);
    }
    if offers.offered.is_empty() {
        offers.offered.push(echo());
    }
    offers
}

fn of_ollama(ollama: &Ollama, offers: &mut Offers) {
    match ollama {
        Ollama::Absent => {}
        Ollama::Elsewhere(host) => offers.passed_over.push(format!(
            "OLLAMA_HOST names {host}, which is not this machine over plain HTTP: configure it to use it"
        )),
        Ollama::Running { address, local, remote } => {
            if !remote.is_empty() {
                let names = remote.join(", ");
                offers.passed_over.push(format!("Ollama would send these models' prompts elsewhere: {names}"));
            }
            if local.is_empty() {
                return offers
                    .passed_over
                    .push(format!("Ollama at {address} has no model that answers: ollama pull …"));
            }
            let name = "ollama";
            let provider = Provider {
                name: name.to_owned(),
                kind: "openai-chat".to_owned(),
                base_url: Some(format!("http://{address}/v1")),
                dialect: Some(name.to_owned()),
                ..Provider::default()
            };
            let models = local.iter().take(MOST_OLLAMA_MODELS).map(String::as_str);
            offers.add(provider, models, (format!("Ollama runs at {address}"), Reach::Here));
        }
    }
}

fn of_embedded(models: &[String], offers: &mut Offers) {
    if !models.is_empty() {
        let provider = Provider { name: "local".to_owned(), kind: LOCAL.to_owned(), ..Provider::default() };
        let because = "installed in the data directory".to_owned();
        offers.add(provider, models.iter().map(String::as_str), (because, Reach::Here));
    }
}

fn of_vendor(vendor: &Vendor, found: &Found<'_>, offers: &mut Offers) {
    let Some((variable, key)) = vendor.keys.iter().find_map(|name| Some((*name, found.environment.get(name)?))) else {
        return;
    };
    if key.starts_with(key::PREFIX) || found.own_keys.iter().any(|own| own == key) {
        return offers.passed_over.push(format!("{variable} is a key of this server, not of {}", vendor.name));
    }
    let elsewhere = vendor.base_variables.iter().find_map(|name| Some((*name, found.environment.get(name)?)));
    if let Some((base, address)) = elsewhere.filter(|(_, address)| !vendor.is_at(address)) {
        let why = format!("{variable} is for another address ({base} = {address}): configure it to use it");
        return offers.passed_over.push(why);
    }
    let provider = Provider {
        name: vendor.name.to_owned(),
        kind: vendor.kind.to_owned(),
        base_url: Some(vendor.base_url.to_owned()),
        api_key: Some(Secret::Env(variable.to_owned())),
        ..Provider::default()
    };
    offers.add(provider, vendor.models.iter().copied(), (format!("{variable} is set"), Reach::Away));
}

/// Repeats what it is told.
fn echo() -> Offer {
    let provider = Provider { name: ECHO.to_owned(), kind: "scripted".to_owned(), ..Provider::default() };
    let deployment = Deployment { model: ECHO.to_owned(), provider: ECHO.to_owned(), ..Deployment::default() };
    let because = "no model was found: a built-in script repeats what it is told".to_owned();
    Offer { provider, deployments: vec![deployment], because, reach: Reach::Here }
}

impl Offers {
    fn add<'a>(
        &mut self,
        provider: Provider,
        models: impl Iterator<Item = &'a str>,
        (because, reach): (String, Reach),
    ) {
        let deployment = |model: &str| Deployment {
            model: model.to_owned(),
            provider: provider.name.clone(),
            ..Deployment::default()
        };
        let deployments = models.map(deployment).collect();
        self.offered.push(Offer { provider, deployments, because, reach });
    }

    /// Whether there is nothing but the echo.
    pub(crate) fn is_echo(&self) -> bool {
        self.offered.iter().all(|offer| offer.provider.name == ECHO)
    }
}
