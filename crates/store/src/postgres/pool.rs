//! Connections that answer questions: some threads with one each. A job is done anew on another connection where its
//! own turned out to be gone, so jobs are such that twice is no harm.

use std::{future::Future, io, pin::Pin, sync::Arc, thread::JoinHandle, time::Duration};

use tokio::sync::oneshot;

use super::{
    Options,
    link::{Failure, Link},
    target::Target,
};
use crate::{
    error::Error,
    queue::{Queue, Refused},
    thread,
};

/// First and longest pause between tries to reach a server that is away.
const PAUSES_MS: (u64, u64) = (20, 500);

type Job = Box<dyn for<'a> FnOnce(&'a mut Worker) -> Pin<Box<dyn Future<Output = ()> + 'a>> + Send>;

/// Some connections that share a queue.
pub(super) struct Pool {
    jobs: Queue<Job>,
}

/// One thread's connection.
pub(super) struct Worker {
    target: Target,
    options: Options,
    link: Option<Link>,
    failures: u32,
}

impl Pool {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { jobs: Queue::new() })
    }

    /// Starts its threads.
    pub(super) fn start(
        self: &Arc<Self>,
        (name, count): (&str, usize),
        (target, options): (&Target, &Options),
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let start = |number| {
            let worker = Worker { target: target.clone(), options: options.clone(), link: None, failures: 0 };
            let pool = Arc::clone(self);
            let runtime = runtime()?;
            thread::start(&format!("{name}-{number}"), move || runtime.block_on(worker.run(&pool.jobs)))
        };
        (0..count).map(start).collect()
    }

    /// Hands a job to the first connection that is free; the answer comes when it is polled.
    pub(super) fn ask<T, W>(&self, work: W) -> Result<oneshot::Receiver<Result<T, Error>>, Refused>
    where
        T: Send + 'static,
        W: AsyncFn(&mut Link) -> Result<T, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |worker| Box::pin(async move { drop(reply.send(worker.attempt(&work).await)) }));
        self.jobs.push(job, 0).map(|()| answer)
    }

    /// Lets the threads end after what waits.
    pub(super) fn close(&self) {
        self.jobs.close();
    }
}

impl Worker {
    async fn run(mut self, jobs: &Queue<Job>) {
        loop {
            let job = match &mut self.link {
                Some(link) => link.idle(jobs.next()).await,
                None => jobs.next().await,
            };
            let Some(job) = job else { return };
            job(&mut self).await;
        }
    }

    async fn attempt<T>(&mut self, work: &impl AsyncFn(&mut Link) -> Result<T, Failure>) -> Result<T, Error> {
        let had_link = self.link.as_ref().is_some_and(Link::is_open);
        let link = self.connect().await?;
        let first = work(link).await;
        let failure = match first {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        // An old connection may be gone without anybody having noticed.
        if had_link && !link.is_open() && !matches!(failure, Failure::Late) {
            let link = self.connect().await?;
            return work(link).await.map_err(|failure| failure.before());
        }
        if failure.code().is_some() {
            // A transaction that failed may still be open.
            let _ = link.run(async |client| client.batch_execute("ROLLBACK").await).await;
            link.warnings();
        }
        Err(failure.before())
    }

    async fn connect(&mut self) -> Result<&mut Link, Error> {
        if self.link.as_ref().is_some_and(|link| !link.is_open()) {
            self.link = None;
        }
        if self.link.is_none() {
            if self.failures > 0 {
                let pause = (PAUSES_MS.0 << self.failures.min(10)).min(PAUSES_MS.1);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            self.failures = self.failures.saturating_add(1);
            self.link = Some(Link::reach(&self.target, &self.options).await?);
            self.failures = 0;
        }
        self.link.as_mut().ok_or_else(|| Error::Unavailable("the database is away".to_owned()))
    }
}

/// A runtime for one thread.
pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}
