//! Which deployment makes an inference. For now the deployments of a model take turns with its failures; prices and
//! places are recorded.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_providers::Provider;
use mainstay_session::event::Route;
use mainstay_vocabulary::{PicoUsd, Usage, place::Place};

/// One place where a model is served.
#[derive(Clone)]
pub struct Deployment {
    /// Unique name: provider and upstream model.
    pub name: String,
    /// The provider's name.
    pub provider_name: String,
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// The provider's name for the model.
    pub upstream_model: String,
    /// Where it runs.
    pub place: Place,
    /// What it costs; `None` if nobody said.
    pub price: Option<Price>,
    /// Upper bound of `max_output_tokens` that is sent; `None` sends what the client asked for.
    pub max_output_tokens: Option<u64>,
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Pico-USD per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Prompt tokens read afresh.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_input: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// Generated tokens.
    pub output: u64,
}

impl Price {
    /// What `usage` costs.
    pub fn cost(&self, usage: &Usage) -> PicoUsd {
        let fresh = usage.input.saturating_sub(usage.cached_input).saturating_sub(usage.cache_write);
        let parts = [
            (fresh, self.input),
            (usage.cached_input, self.cached_input),
            (usage.cache_write, self.cache_write),
            (usage.output, self.output),
        ];
        let sum = parts.iter().fold(0_u64, |sum, (tokens, price)| sum.saturating_add(tokens.saturating_mul(*price)));
        PicoUsd(i64::try_from(sum).unwrap_or(i64::MAX))
    }
}

/// All deployments, by the model name that clients ask for.
#[derive(Clone, Debug, Default)]
pub struct Deployments {
    served: BTreeMap<String, Vec<Deployment>>,
    /// Model names in the order in which they were added; the first is the default.
    models: Vec<String>,
}

impl Deployments {
    /// Adds one for `model`.
    pub fn add(&mut self, model: impl Into<String>, deployment: Deployment) {
        let model = model.into();
        if !self.served.contains_key(&model) {
            self.models.push(model.clone());
        }
        self.served.entry(model).or_default().push(deployment);
    }

    /// Model names, the default first, with the provider of their first deployment.
    pub fn models(&self) -> impl Iterator<Item = (&str, &str)> {
        let provider = |model: &String| self.served.get(model)?.first().map(|first| first.provider_name.as_str());
        self.models.iter().map(move |model| (model.as_str(), provider(model).unwrap_or_default()))
    }

    /// A deployment by its own name.
    pub fn named(&self, name: &str) -> Option<&Deployment> {
        self.served.values().flatten().find(|deployment| deployment.name == name)
    }

    /// The deployments of a model.
    pub fn of(&self, model: &str) -> &[Deployment] {
        self.served.get(model).map_or(&[], Vec::as_slice)
    }

    /// As `pick`, among those that will do.
    pub fn pick_where(&self, model: &str, failures: u32, will_do: impl Fn(&Deployment) -> bool) -> Option<&Deployment> {
        let fitting = || self.of(model).iter().filter(|deployment| will_do(deployment));
        fitting().nth(failures as usize % fitting().count().max(1))
    }

    /// The deployment for an attempt after so many failed ones; `None` if nobody serves the model.
    pub fn pick(&self, model: &str, failures: u32) -> Option<&Deployment> {
        self.pick_where(model, failures, |_| true)
    }
}

impl Deployment {
    /// What the journal keeps of it. The upstream always gets a limit where either side has one.
    pub fn route(&self, asked: Option<u64>) -> Route {
        let limit = [self.max_output_tokens, asked].into_iter().flatten().min();
        Route {
            deployment: self.name.clone(),
            provider: self.provider_name.clone(),
            upstream_model: self.upstream_model.clone(),
            place: self.place.clone(),
            max_output_tokens: limit,
            continues_prefix: self.provider.continues_prefix(),
        }
    }
}
