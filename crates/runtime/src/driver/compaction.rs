//! The compaction side of a session's loop: a digest's inference is made like any other, but nothing of it is shown or
//! written before it is whole. A crash in between costs the attempt; the next incarnation asks again.

use std::sync::Arc;

use mainstay_session::{
    Command,
    assembly::Assembly,
    command::Begin,
    compaction::{self, Cut, DIGEST_TOKENS},
    event::{ErrorCode, TurnError},
    feed::Shown,
};
use mainstay_vocabulary::{
    Sequence,
    inference::{Request, TextFormat},
    tool::ToolChoice,
};

use super::{
    Driver,
    inference::{MAX_SHOWN, Running, size, too_long},
};
use crate::{
    error::Error,
    fault::{Bug, Point},
    perform::infer::{Call, Step},
    route::Deployment,
};

impl Driver {
    /// Commits the intent of a digest, then asks for it; or says that there is nothing to replace.
    pub(super) async fn compact(&mut self) -> Result<(), Error> {
        self.ensure_prompt().await?;
        let points = (Point::IntentDecided, Point::IntentCommitted);
        let cut = self.context.as_ref().and_then(|context| compaction::cut(&self.state, context));
        let Some(Cut { replaced, stays }) = cut else {
            self.own(Command::SkipCompaction, points).await;
            return Ok(());
        };
        let model = self.state.spec.model.clone();
        let failures = self.state.turn.as_ref().map_or(0, |turn| turn.failures);
        let Some(deployment) = self.inner.deployments.pick(&model, failures).cloned() else {
            let message = format!("no deployment serves the model {model:?}");
            self.own(Command::GiveUp(TurnError { code: ErrorCode::ResourceNotFound, message }), points).await;
            return Ok(());
        };
        let route = deployment.route(Some(DIGEST_TOKENS));
        let prompt = self.prompt_digest(&[self.prompt.digest(), b"digest"]);
        let epoch = self.inner.leases.epoch(self.session.shard())?;
        self.own(Command::BeginCompaction(Box::new(Begin { epoch, route, prompt })), points).await;
        let open = self.state.turn.as_ref().and_then(|turn| turn.inference.as_ref());
        let Some(intent) = open.map(|open| open.intent) else { return Ok(()) };
        self.shown = Assembly::default();
        let request = self.digest_request(&deployment, intent, &replaced);
        let call = Call::start(&self.inner.tasks, self.permit(), Arc::clone(&deployment.provider), request);
        let working = self.inner.leases.begin_work(self.session.shard());
        let stays = Some(stays);
        self.running = Some(Running { intent, call, stays, deployment, continued: None, may_continue: false, working });
        Ok(())
    }

    /// The prompt as before up to the cut, so that a provider's cache serves it, then the wish for a digest.
    fn digest_request(
        &self,
        deployment: &Deployment,
        intent: Sequence,
        replaced: &[Arc<mainstay_vocabulary::Item>],
    ) -> Request {
        let mut request = self.request(deployment, intent);
        request.input = compaction::ask_for_digest(replaced);
        request.prefix = None;
        request.tool_choice = ToolChoice::None;
        request.text = TextFormat::Text;
        request.sampling.stop = Vec::new();
        request.sampling.top_logprobs = None;
        request
    }

    /// Drops the oldest items of a context that does not fit.
    pub(super) async fn truncate(&mut self) -> Result<(), Error> {
        self.ensure_prompt().await?;
        let stays = self.context.as_ref().and_then(compaction::truncate).map(Box::new);
        self.own(Command::Truncate(stays), (Point::OutcomeDecided, Point::OutcomeCommitted)).await;
        Ok(())
    }

    /// Gathers a digest; its end is committed like any outcome.
    pub(super) async fn take_digest(&mut self, steps: Vec<Step>) {
        let Some(intent) = self.running.as_ref().map(|running| running.intent) else { return };
        let mut length: usize = self.shown.pieces.iter().map(|piece| piece.text.len()).sum();
        let mut leaked = Vec::new();
        for step in steps {
            match step {
                Step::Delta(delta) => {
                    length = length.saturating_add(size(&delta));
                    if length > MAX_SHOWN {
                        return self.record(Err(too_long()), Vec::new()).await;
                    }
                    let shown = Shown { intent, delta };
                    // It has no place in the stream: nobody sees it, and no ordinal is used up.
                    self.shown.push(self.session, self.state.sequence, 0, &shown);
                    leaked.push(shown);
                }
                Step::Ended(result) => return self.record(result, Vec::new()).await,
            }
        }
        if self.inner.faults.has(Bug::DigestShown) && !leaked.is_empty() {
            let first = self.next_ordinal;
            self.next_ordinal += leaked.len() as u64;
            self.show(first, leaked).await;
        }
    }
}
