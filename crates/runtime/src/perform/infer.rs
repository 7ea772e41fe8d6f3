//! Makes one inference and hands its stream to the session's driver.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use mainstay_providers::Provider;
use mainstay_vocabulary::inference::{Chunk, Delta, Failure, FailureKind, Finished, Request};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::task::{TaskKind, Tasks};

/// Deltas that wait for their frame; beyond that the upstream is read no further.
const BACKLOG: usize = 256;

/// Shortest time between two frames of one inference; what comes meanwhile shares the next (decision 0004). The first
/// delta and the end never wait.
const PACE: Duration = Duration::from_millis(4);

/// What an inference brings back.
#[derive(Debug)]
pub(crate) enum Step {
    /// Something to show.
    Delta(Delta),
    /// The end; nothing follows.
    Ended(Result<Finished, Failure>),
}

/// An inference under way. Dropping it cancels the upstream call.
#[derive(Debug)]
pub(crate) struct Call {
    steps: mpsc::Receiver<Step>,
    task: Option<JoinHandle<()>>,
    /// Received, not handed on.
    gathered: Vec<Step>,
    /// Until when deltas gather.
    pace: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Call {
    /// Sends the request if `permit` still holds then.
    pub(crate) fn start(tasks: &Tasks, permit: Permit, provider: Arc<dyn Provider>, request: Request) -> Self {
        Self::start_with(tasks, permit, provider, std::future::ready(Ok(request)))
    }

    /// The same with a request that is still being put together.
    pub(crate) fn start_with(
        tasks: &Tasks,
        permit: Permit,
        provider: Arc<dyn Provider>,
        request: impl Future<Output = Result<Request, Failure>> + Send + 'static,
    ) -> Self {
        let (sender, steps) = mpsc::channel(BACKLOG);
        let refused = sender.clone();
        let task = tasks.spawn(TaskKind::Inference, run(permit, provider, request, sender)).ok();
        if task.is_none() {
            let failure = failed(FailureKind::Connect, "too many inferences are under way");
            // The channel is new and empty: it takes the one step.
            let _ = refused.try_send(Step::Ended(Err(failure)));
        }
        Self { steps, task, gathered: Vec::new(), pace: None }
    }

    /// Waits for the next steps: whatever has gathered, at least one. What has gathered when the wait is given up
    /// comes with the next.
    pub(crate) async fn next(&mut self) -> Vec<Step> {
        let gathered = &mut self.gathered;
        while !has_end(gathered) && gathered.len() < BACKLOG {
            let received = match &mut self.pace {
                None if !gathered.is_empty() => break,
                None => self.steps.recv_many(gathered, BACKLOG).await,
                Some(pace) => tokio::select! {
                    biased;
                    received = self.steps.recv_many(gathered, BACKLOG) => received,
                    () = pace => {
                        self.pace = None;
                        continue;
                    }
                },
            };
            if received == 0 {
                let failure = failed(FailureKind::Broken, "the inference ended without an outcome");
                gathered.push(Step::Ended(Err(failure)));
            }
        }
        std::mem::take(gathered)
    }

    /// Says that a frame was just shown.
    pub(crate) fn has_shown(&mut self) {
        self.pace = Some(Box::pin(tokio::time::sleep(PACE)));
    }
}

fn has_end(steps: &[Step]) -> bool {
    matches!(steps.last(), Some(Step::Ended(_)))
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Asked just before the request is sent: whether the lease is still the one under which its intent stands.
pub(crate) type Permit = Box<dyn FnOnce() -> bool + Send>;

async fn run(
    permit: Permit,
    provider: Arc<dyn Provider>,
    request: impl Future<Output = Result<Request, Failure>>,
    steps: mpsc::Sender<Step>,
) {
    let request = match request.await {
        Ok(request) => request,
        Err(failure) => {
            let _ = steps.send(Step::Ended(Err(failure))).await;
            return;
        }
    };
    // The request leaves with the first poll of the stream. What remains between this check and the send is that one
    // poll, without an await on our side: a process that is stopped right there and goes on after another has taken
    // the shard sends once more.
    if !permit() {
        let failure = failed(FailureKind::Connect, "the lease moved on before the request was sent");
        let _ = steps.send(Step::Ended(Err(failure))).await;
        return;
    }
    let mut stream = provider.infer(request);
    while let Some(chunk) = stream.next().await {
        let step = match chunk {
            Ok(Chunk::Delta(delta)) => Step::Delta(delta),
            // Only a client's own request brings frames, and a session never sends one.
            Ok(Chunk::Frame(_)) => continue,
            Ok(Chunk::Finished(finished)) => Step::Ended(Ok(finished)),
            Err(failure) => Step::Ended(Err(failure)),
        };
        let is_end = matches!(step, Step::Ended(_));
        if steps.send(step).await.is_err() || is_end {
            return;
        }
    }
}

fn failed(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned(), retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use mainstay_providers::ChunkStream;
    use mainstay_vocabulary::{
        inference::{Reasoning, Sampling, TextFormat},
        tool::ToolChoice,
    };

    use super::*;

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Provider for Counting {
        fn infer(&self, _: Request) -> ChunkStream {
            self.0.fetch_add(1, Ordering::SeqCst);
            futures_util::stream::empty().boxed()
        }

        fn continues_prefix(&self) -> bool {
            false
        }
    }

    fn request() -> Request {
        Request {
            upstream_model: "m".to_owned(),
            deployment: "d".to_owned(),
            instructions: None,
            input: Vec::new(),
            prefix: None,
            tools: Arc::from([]),
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: None,
            sampling: Sampling::default(),
            reasoning: Reasoning::default(),
            text: TextFormat::Text,
            idempotency_key: "k".to_owned(),
            service_tier: None,
            extra: None,
            verbatim: None,
        }
    }

    /// What an inference under a permit brings back, and how often the provider was asked.
    async fn outcome(holds: bool) -> (FailureKind, usize) {
        let provider = Arc::new(Counting::default());
        let asked = Arc::clone(&provider);
        let mut call = Call::start(&Tasks::default(), Box::new(move || holds), provider, request());
        let mut steps = call.next().await;
        let Some(Step::Ended(Err(failure))) = steps.pop() else { panic!("{steps:?}") };
        (failure.kind, asked.0.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn nothing_is_sent_once_the_lease_has_moved_on() {
        assert_eq!(outcome(true).await, (FailureKind::Broken, 1));
        assert_eq!(outcome(false).await, (FailureKind::Connect, 0));
    }
}
