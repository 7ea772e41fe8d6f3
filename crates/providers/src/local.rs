//! The embedded engine as a provider. What it is and how it works: the crate `local`. Only with the feature `local`.

use mainstay_local::{Engine, Options};
use mainstay_vocabulary::inference::{Request, TokenCount};

use crate::{ChunkStream, Error, Provider, Reply, Settings};

/// An engine with its models.
pub(crate) struct Local {
    engine: Engine,
}

impl Local {
    /// Checks the models' files and starts their threads; a model is loaded by its first inference.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        if settings.models.is_empty() {
            return Err(Error::Refused("the embedded engine has no model; `mainstay pull` installs one".to_owned()));
        }
        let options = Options {
            models: settings.models.clone(),
            threads: settings.local.threads,
            context_tokens: settings.local.context_tokens,
            parallel: settings.local.parallel,
        };
        Ok(Self { engine: Engine::start(options)? })
    }
}

impl Provider for Local {
    fn infer(&self, request: Request) -> ChunkStream {
        self.engine.infer(request)
    }

    fn continues_prefix(&self) -> bool {
        true
    }

    fn count(&self, request: Request) -> Reply<TokenCount> {
        let count = self.engine.count_tokens(request);
        Box::pin(async move { count.await.map(|tokens| TokenCount { tokens, is_exact: true }) })
    }
}
