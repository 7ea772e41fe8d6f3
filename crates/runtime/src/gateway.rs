//! Inferences that belong to no session: routed, intended on disk, made, booked. Holds no content beyond the call.
//! Start with `Engine::infer`; `book` is where intents and ends gather on their way to the journal.

pub(crate) mod book;
mod stream;

use std::sync::Arc;

use mainstay_session::event::{Outgoing, Route};
use mainstay_store::seam::Lease;
use mainstay_vocabulary::{
    Epoch,
    inference::{EmbeddingRequest, Embeddings, Failure, FailureKind, Finished, Format, Request, Stop, TokenCount},
};

pub use self::stream::Chunks;
use self::stream::Meter;
use crate::{
    attach,
    engine::{Caller, Engine},
    error::Error,
    lease::Working,
    meter,
    route::Deployment,
    task::{Exhausted, TaskKind},
};

/// Most attempts of one request: a client that waits wants to hear of a failure while it still does.
const MAX_ATTEMPTS: u32 = 3;

/// What a client asks of a model, without a session.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The model by the name that clients use.
    pub model: String,
    /// The rest; the names of deployment and upstream model are filled in by the route.
    pub request: Request,
    /// Only deployments that speak this format will do: the request holds what only it can say.
    pub needs: Option<Format>,
    /// Where this arrived, as bytes: its keyed digest is kept.
    pub body: Arc<[u8]>,
}

/// Why an inference was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody serves the model.
    #[error("no deployment serves the model {0:?}")]
    UnknownModel(String),
    /// Somebody serves the model, but not in the format that the request needs.
    #[error("no deployment of the model {model:?} speaks the format that this request needs")]
    NeedsFormat {
        /// The model that was asked for.
        model: String,
    },
    /// The upstream failed before anything came back.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// A fault or bound here.
    #[error(transparent)]
    Engine(#[from] Error),
}

/// An inference under way.
pub struct Answer {
    /// Where it goes.
    pub route: Route,
    /// Unique among this process's inferences, and almost surely among all.
    pub number: u64,
    /// The format that the provider speaks; frames come only where it is the client's own.
    pub format: Option<Format>,
    /// What comes back. Dropping it cancels the upstream call; it is booked all the same.
    pub chunks: Chunks,
}

impl Engine {
    /// Makes one inference. Its intent is on disk before anything is sent; how it ends is booked once. Where nothing
    /// has come back yet, a failure that may pass is tried again, on another deployment if there is one.
    ///
    /// # Errors
    /// See `Refused`.
    pub async fn infer(&self, caller: &Caller, ask: Ask) -> Result<Answer, Refused> {
        let mut failures = 0;
        loop {
            let deployment = self.choose(&ask.model, ask.needs, failures)?.clone();
            let failed = match self.attempt(caller, &ask, deployment).await {
                Err(Refused::Failed(failure)) => failure,
                done => return done,
            };
            failures += 1;
            // Trying the same place again at once would not help against a limit.
            let waits = failed.kind == FailureKind::RateLimited && self.served(&ask.model, ask.needs) < 2;
            if !failed.kind.may_retry() || failures >= MAX_ATTEMPTS || waits {
                return Err(Refused::Failed(failed));
            }
        }
    }

    /// Counts the tokens of a prompt, upstream where it can be asked. Costs nothing and is not booked.
    ///
    /// # Errors
    /// See `Refused`.
    pub async fn count(&self, ask: Ask) -> Result<TokenCount, Refused> {
        let deployment = self.choose(&ask.model, ask.needs, 0)?;
        let request = named(ask.request, deployment);
        deployment.provider.count(request).await.map_err(Refused::Failed)
    }

    /// Embeds texts. Booked like an inference.
    ///
    /// # Errors
    /// See `Refused`.
    pub async fn embed(
        &self,
        caller: &Caller,
        model: &str,
        mut request: EmbeddingRequest,
        body: Arc<[u8]>,
    ) -> Result<Embeddings, Refused> {
        let deployment = self.choose(model, None, 0)?.clone();
        let meter = self.intend(caller, &deployment, deployment.route(None), &body).await?;
        request.upstream_model.clone_from(&deployment.upstream_model);
        if !meter.is_permitted() {
            return Err(Refused::Failed(meter.lapse()));
        }
        let result = deployment.provider.embed(request).await;
        let finished = result.as_ref().map_err(Clone::clone).map(|embeddings| Finished {
            stop: Stop::End,
            usage: embeddings.usage,
            model: embeddings.model.clone(),
            reported: mainstay_vocabulary::Object::new(),
        });
        meter.settle(finished.as_ref());
        result.map_err(Refused::Failed)
    }

    async fn attempt(&self, caller: &Caller, ask: &Ask, deployment: Deployment) -> Result<Answer, Refused> {
        let route = deployment.route(ask.request.sampling.max_output_tokens);
        let meter = self.intend(caller, &deployment, route.clone(), &ask.body).await?;
        let number = meter.number();
        let mut request = named(ask.request.clone(), &deployment);
        if attach::refers(&request.input) {
            attach::attach(&self.inner, caller, &mut request.input).await?;
        }
        request.sampling.max_output_tokens = route.max_output_tokens;
        if !meter.is_permitted() {
            return Err(Refused::Failed(meter.lapse()));
        }
        let chunks = Chunks::begin(deployment.provider.infer(request), meter).await.map_err(Refused::Failed)?;
        Ok(Answer { route, number, format: deployment.provider.format(), chunks })
    }

    /// Waits until the intent is on disk.
    async fn intend(
        &self,
        caller: &Caller,
        deployment: &Deployment,
        route: Route,
        body: &[u8],
    ) -> Result<Meter, Refused> {
        let inner = &self.inner;
        if !inner.tasks.is_serving() {
            return Err(Error::Unavailable("the server is stopping".to_owned()).into());
        }
        let slot =
            inner.tasks.slot(TaskKind::Inference).map_err(|Exhausted| Error::Overloaded("inferences run".into()))?;
        let prompt = inner.journal.keyring.digest(&caller.tenant, "prompt", &[body]);
        let number = inner.gateway.next_number();
        let outgoing = Outgoing {
            number,
            principal: caller.principal.clone(),
            // That of the journal which takes it.
            epoch: Epoch(0),
            route,
            prompt: data_encoding::HEXLOWER.encode(&prompt[..16]),
            estimate: meter::receipt(Some(deployment), None, meter::Size { prompt: body.len() as u64, written: 0 }),
        };
        let lease = book::intend(inner, &caller.tenant, outgoing).await?;
        let working = inner.leases.begin_work(lease.shard);
        let prompt_bytes = body.len() as u64;
        Ok(Meter::new(inner, caller, deployment, Ticket { number, lease, prompt_bytes, slot, working }))
    }

    /// The deployment for an attempt after so many failed ones.
    fn choose(&self, model: &str, needs: Option<Format>, failures: u32) -> Result<&Deployment, Refused> {
        let deployments = &self.inner.deployments;
        deployments.pick_where(model, failures, |deployment| will_do(deployment, needs)).ok_or_else(|| {
            let model = model.to_owned();
            if deployments.pick(&model, 0).is_some() {
                Refused::NeedsFormat { model }
            } else {
                Refused::UnknownModel(model)
            }
        })
    }

    fn served(&self, model: &str, needs: Option<Format>) -> usize {
        self.inner.deployments.of(model).iter().filter(|deployment| will_do(deployment, needs)).count()
    }
}

/// What an intended inference holds until it is booked.
pub(crate) struct Ticket {
    number: u64,
    /// Under which it was intended.
    lease: Lease,
    prompt_bytes: u64,
    #[allow(dead_code, reason = "held until the inference is over")]
    slot: tokio::sync::OwnedSemaphorePermit,
    #[allow(dead_code, reason = "held until the inference is over")]
    working: Working,
}

/// Whether a deployment can carry what only one format can say.
fn will_do(deployment: &Deployment, needs: Option<Format>) -> bool {
    needs.is_none_or(|needed| deployment.provider.format() == Some(needed))
}

fn named(mut request: Request, deployment: &Deployment) -> Request {
    request.upstream_model.clone_from(&deployment.upstream_model);
    request.deployment.clone_from(&deployment.name);
    request
}
