//! The embedded engine as others see it: models by name, a request in, a stream of chunks out. Each model has a thread
//! of its own (`scheduler`), begins to load with its first inference, and stays loaded.

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use futures_util::{Stream, stream};
use mainstay_vocabulary::inference::{Chunk, Failure, FailureKind, Request};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Error,
    gguf::{self, Facts},
    scheduler::{self, Job, Setup, Ticket},
    thread,
};

/// What an inference yields: deltas, then `Finished` or a failure.
pub type ChunkStream = Pin<Box<dyn Stream<Item = Result<Chunk, Failure>> + Send>>;

/// Inferences that may wait for a model. Beyond it clients do better to come back than to wait for minutes.
const MAX_WAITING: usize = 64;

/// Context of one inference where the operator does not say, tokens. Each costs memory in every sequence.
const DEFAULT_CONTEXT_TOKENS: u32 = 4096;

/// Inferences side by side where the operator does not say.
const DEFAULT_PARALLEL: u32 = 4;

/// Most of them: llama.cpp's own bound on sequences is 256, and memory ends much earlier.
const MAX_PARALLEL: u32 = 64;

/// Chunks that one token can make, at most: a delta of text, the end of an item, a call of three, the finish.
const CHUNKS_PER_TOKEN: usize = 6;

/// What an operator sets. `None` leaves the engine's choice.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names of models, and their GGUF files.
    pub models: Vec<(String, PathBuf)>,
    /// Threads that compute; one fewer than cores, at least one.
    pub threads: Option<u32>,
    /// Tokens that one inference may hold, prompt and output; 4096, or what the model was trained for if that is less.
    pub context_tokens: Option<u32>,
    /// Inferences side by side, which is also how many sessions' prefixes are kept in memory; 4.
    pub parallel: Option<u32>,
}

/// The engine. Dropping it ends its threads; streams that are still open break.
pub struct Engine {
    models: HashMap<String, Desk>,
}

/// Where requests for one model are handed in.
struct Desk {
    facts: Facts,
    context_tokens: u32,
    line: Arc<Line>,
    thread: Option<JoinHandle<()>>,
}

/// The way to a model's thread.
struct Line {
    /// Taken away when the engine goes, so that the thread ends although streams hold the line.
    jobs: Mutex<Option<Sender<Job>>>,
    waiting: Arc<AtomicUsize>,
}

impl Engine {
    /// Checks the files and starts a thread for each model. Loads nothing yet.
    pub fn start(options: Options) -> Result<Self, Error> {
        check_processor()?;
        let parallel = options.parallel.unwrap_or(DEFAULT_PARALLEL);
        if parallel == 0 || parallel > MAX_PARALLEL {
            return Err(Error::Refused(format!("`parallel` must be from 1 to {MAX_PARALLEL}")));
        }
        let threads = options.threads.map_or_else(thread::default_workers, |threads| threads as usize);
        let threads = i32::try_from(threads).ok().filter(|&threads| (1..=512).contains(&threads));
        let threads = threads.ok_or_else(|| Error::Refused("`threads` must be from 1 to 512".to_owned()))?;
        let mut models = HashMap::new();
        for (name, path) in options.models {
            let facts = gguf::inspect(&path)?;
            if facts.chat_template.is_none() {
                return Err(Error::Model { path, reason: "it has no chat template".to_owned() });
            }
            let trained = u32::try_from(facts.trained_context_tokens).unwrap_or(u32::MAX);
            let context_tokens = options.context_tokens.unwrap_or(DEFAULT_CONTEXT_TOKENS).min(trained);
            let setup = Setup { path, facts: facts.clone(), threads, context_tokens, parallel, name: name.clone() };
            models.insert(name, Desk::open(setup)?);
        }
        Ok(Self { models })
    }

    /// What the models say about themselves, by name.
    pub fn models(&self) -> impl Iterator<Item = (&str, &Facts)> {
        self.models.iter().map(|(name, desk)| (name.as_str(), &desk.facts))
    }

    /// Tokens that one inference of a model may hold.
    pub fn context_tokens(&self, model: &str) -> Option<u32> {
        self.models.get(model).map(|desk| desk.context_tokens)
    }

    /// Starts an inference when the stream is first polled. Dropping the stream cancels it. A request that does not
    /// fit, that is malformed or that comes when too many wait fails before anything is computed.
    pub fn infer(&self, request: Request) -> ChunkStream {
        let Some(desk) = self.models.get(&request.upstream_model) else {
            return Box::pin(stream::iter([Err(unknown(&request.upstream_model))]));
        };
        let capacity = desk.context_tokens as usize * CHUNKS_PER_TOKEN;
        let state = Reading::Asked(desk.line.clone(), Box::new(request), capacity);
        Box::pin(stream::unfold(state, Reading::next))
    }

    /// How many tokens a request's prompt has, exactly. Loads the model if nothing has yet.
    pub fn count_tokens(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<u64, Failure>> + Send + 'static + use<> {
        let line = self.models.get(&request.upstream_model).map(|desk| desk.line.clone());
        async move {
            let line = line.ok_or_else(|| unknown(&request.upstream_model))?;
            let (reply, count) = oneshot::channel();
            line.send(Job::Count(Box::new(request), reply))?;
            count.await.unwrap_or_else(|_| Err(crashed()))
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for desk in self.models.values() {
            desk.line.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        }
        for desk in self.models.values_mut() {
            // A thread that is computing ends with its step; llama.cpp must not be at work while a process exits.
            desk.thread.take().map(JoinHandle::join);
        }
    }
}

impl Desk {
    fn open(setup: Setup) -> Result<Self, Error> {
        let (jobs, inbox): (Sender<Job>, Receiver<Job>) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let line = Arc::new(Line { jobs: Mutex::new(Some(jobs)), waiting: waiting.clone() });
        let (name, facts, context_tokens) = (setup.name.clone(), setup.facts.clone(), setup.context_tokens);
        let mut queue = scheduler::Queue::new(inbox, waiting);
        let thread = thread::supervise(&name, move || scheduler::serve(&setup, &mut queue))?;
        Ok(Self { facts, context_tokens, line, thread: Some(thread) })
    }
}

impl Line {
    fn send(&self, job: Job) -> Result<(), Failure> {
        let jobs = self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sent = jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(stopped()) }
    }

    fn submit(&self, ticket: Ticket) -> Result<(), Failure> {
        let one_more = |waiting: usize| (waiting < MAX_WAITING).then_some(waiting + 1);
        if self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return Err(Failure {
                kind: FailureKind::RateLimited,
                message: format!("{MAX_WAITING} inferences wait for this model already"),
                retry_after_ms: None,
            });
        }
        self.send(Job::Infer(Box::new(ticket)))
    }
}

/// A stream's state.
enum Reading {
    Asked(Arc<Line>, Box<Request>, usize),
    Open(mpsc::Receiver<Result<Chunk, Failure>>),
    Over,
}

impl Reading {
    async fn next(self) -> Option<(Result<Chunk, Failure>, Self)> {
        let mut chunks = match self {
            Self::Asked(line, request, capacity) => {
                let (out, chunks) = mpsc::channel(capacity);
                if let Err(failure) = line.submit(Ticket { request: *request, out }) {
                    return Some((Err(failure), Self::Over));
                }
                chunks
            }
            Self::Open(chunks) => chunks,
            Self::Over => return None,
        };
        match chunks.recv().await {
            Some(Ok(Chunk::Delta(delta))) => Some((Ok(Chunk::Delta(delta)), Self::Open(chunks))),
            Some(last) => Some((last, Self::Over)),
            None => Some((Err(crashed()), Self::Over)),
        }
    }
}

/// llama.cpp is compiled for a processor of 2013 or later; on an older one it would die of an unknown instruction.
fn check_processor() -> Result<(), Error> {
    #[cfg(target_arch = "x86_64")]
    {
        let has_all = std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c")
            && std::arch::is_x86_feature_detected!("bmi2");
        if !has_all {
            return Err(Error::Refused("this processor lacks AVX2, FMA, F16C or BMI2".to_owned()));
        }
    }
    Ok(())
}

fn unknown(model: &str) -> Failure {
    let message = format!("the embedded engine has no model `{model}`");
    Failure { kind: FailureKind::NotFound, message, retry_after_ms: None }
}

fn crashed() -> Failure {
    let message = "the embedded engine failed while this inference ran".to_owned();
    Failure { kind: FailureKind::Broken, message, retry_after_ms: None }
}

fn stopped() -> Failure {
    let message = "the embedded engine has stopped".to_owned();
    Failure { kind: FailureKind::Connect, message, retry_after_ms: None }
}
