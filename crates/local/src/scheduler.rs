//! One model's thread: requests join between two steps, each step reads a bounded part of the prompts that wait and
//! writes one token of every running inference (continuous batching). Nothing here outlives a panic but the queue.

mod run;
mod slot;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvError, TryRecvError},
    },
};

use mainstay_vocabulary::inference::{Chunk, Failure, FailureKind, Request};
use tokio::sync::{mpsc, oneshot};

use self::run::Run;
use crate::{gguf::Facts, model::Model};

/// What a model's thread is started with.
pub(crate) struct Setup {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) facts: Facts,
    /// Threads that compute.
    pub(crate) threads: i32,
    /// Tokens that one inference may hold.
    pub(crate) context_tokens: u32,
    /// Inferences side by side.
    pub(crate) parallel: u32,
}

/// What a model's thread is asked.
pub(crate) enum Job {
    Infer(Box<Ticket>),
    Count(Box<Request>, oneshot::Sender<Result<u64, Failure>>),
    #[cfg(test)]
    Panic,
}

/// An inference and where its chunks go. Nobody reads any more: it is cancelled.
pub(crate) struct Ticket {
    pub(crate) request: Request,
    pub(crate) out: mpsc::Sender<Result<Chunk, Failure>>,
}

impl Ticket {
    pub(crate) fn fail(&self, failure: Failure) {
        // Fails only if nobody reads, and then nobody needs to know.
        let _ = self.out.try_send(Err(failure));
    }
}

/// A request whose tokens are to be counted, and who asks.
type Counting = (Box<Request>, oneshot::Sender<Result<u64, Failure>>);

/// What waits for a model. Bounded where jobs are handed in.
pub(crate) struct Queue {
    inbox: Receiver<Job>,
    tickets: VecDeque<Box<Ticket>>,
    countings: VecDeque<Counting>,
    /// How many tickets wait, the inbox included.
    waiting: Arc<AtomicUsize>,
}

impl Queue {
    pub(crate) fn new(inbox: Receiver<Job>, waiting: Arc<AtomicUsize>) -> Self {
        Self { inbox, tickets: VecDeque::new(), countings: VecDeque::new(), waiting }
    }

    /// Takes in what has come; waits for something if there is nothing to do. `false`: the engine is gone.
    fn take_in(&mut self, is_idle: bool) -> bool {
        if is_idle && self.tickets.is_empty() && self.countings.is_empty() {
            match self.inbox.recv() {
                Ok(job) => self.sort(job),
                Err(RecvError) => return false,
            }
        }
        loop {
            match self.inbox.try_recv() {
                Ok(job) => self.sort(job),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        self.forget_cancelled();
        true
    }

    /// Those who went away make room for others who want to wait.
    fn forget_cancelled(&mut self) {
        let before = self.tickets.len();
        self.tickets.retain(|ticket| !ticket.out.is_closed());
        self.waiting.fetch_sub(before - self.tickets.len(), Ordering::Relaxed);
    }

    fn sort(&mut self, job: Job) {
        match job {
            Job::Infer(ticket) => self.tickets.push_back(ticket),
            Job::Count(request, reply) => self.countings.push_back((request, reply)),
            #[cfg(test)]
            Job::Panic => panic!("asked for by a test"),
        }
    }

    fn pop(&mut self) -> Option<Box<Ticket>> {
        let ticket = self.tickets.pop_front()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(ticket)
    }

    fn count(&mut self, model: &Model) {
        for (request, reply) in self.countings.drain(..) {
            let count = model.prompt(&request).map(|prompt| prompt.len() as u64);
            // Nobody waits for the answer any more: nobody needs it.
            let _ = reply.send(count);
        }
    }

    fn fail_all(&mut self, reason: &str) {
        let message = reason.to_owned();
        let failure = Failure { kind: FailureKind::NotFound, message, retry_after_ms: None };
        for (_, reply) in self.countings.drain(..) {
            let _ = reply.send(Err(failure.clone()));
        }
        while let Some(ticket) = self.pop() {
            ticket.fail(failure.clone());
        }
    }
}

/// Serves one model until the engine goes; loads it when the first job comes. Begun again after a panic, with the
/// queue as it was: only what ran is lost.
pub(crate) fn serve(setup: &Setup, queue: &mut Queue) {
    while queue.take_in(true) {
        let served = Model::load(&setup.path, &setup.facts).and_then(|model| {
            let mut run = Run::new(setup, &model)?;
            run.serve(queue);
            Ok(())
        });
        match served {
            Ok(()) => return,
            Err(reason) => queue.fail_all(&reason),
        }
    }
}
