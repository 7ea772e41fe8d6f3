//! Makes one inference and hands its stream to the session's driver.

use std::sync::Arc;

use futures_util::StreamExt;
use mainstay_providers::Provider;
use mainstay_vocabulary::inference::{Chunk, Delta, Failure, FailureKind, Finished, Request};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::task::{TaskKind, Tasks};

/// Deltas that wait for their frame; beyond that the upstream is read no further.
const BACKLOG: usize = 256;

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
}

impl Call {
    /// Sends the request.
    pub(crate) fn start(tasks: &Tasks, provider: Arc<dyn Provider>, request: Request) -> Self {
        let (sender, steps) = mpsc::channel(BACKLOG);
        let refused = sender.clone();
        let task = tasks.spawn(TaskKind::Inference, run(provider, request, sender)).ok();
        if task.is_none() {
            let failure = failed(FailureKind::Connect, "too many inferences are under way");
            // The channel is new and empty: it takes the one step.
            let _ = refused.try_send(Step::Ended(Err(failure)));
        }
        Self { steps, task }
    }

    /// Waits for the next steps: whatever has gathered, at least one.
    pub(crate) async fn next(&mut self, steps: &mut Vec<Step>) {
        if self.steps.recv_many(steps, BACKLOG).await == 0 {
            let failure = failed(FailureKind::Broken, "the inference ended without an outcome");
            steps.push(Step::Ended(Err(failure)));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn run(provider: Arc<dyn Provider>, request: Request, steps: mpsc::Sender<Step>) {
    let mut stream = provider.infer(request);
    while let Some(chunk) = stream.next().await {
        let step = match chunk {
            Ok(Chunk::Delta(delta)) => Step::Delta(delta),
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
