//! One connection with a thread of its own, for callers that block: an operator's verbs, and keys. A job is done again
//! on a new connection where the old one had ended, so jobs are such that twice is no harm.

use std::{
    ops::ControlFlow,
    sync::mpsc::{self, RecvTimeoutError, SyncSender},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Client;

use super::{Options, link::Link};
use crate::{error::Error, thread};

/// Jobs that wait; each has a caller that blocks.
const WAITING: usize = 256;

type Job = Box<dyn FnOnce(&mut Desk) -> ControlFlow<()> + Send>;

/// What is done while nobody asks, and how often.
pub(super) type Idle = (Duration, Box<dyn FnMut(&mut Desk) + Send>);

/// The thread's side.
pub(super) struct Desk {
    runtime: Runtime,
    options: Options,
    /// Said to every new connection.
    greeting: &'static str,
    link: Option<Link>,
}

/// The callers' side. Dropped, it ends the thread.
pub(super) struct Counter {
    jobs: SyncSender<Job>,
    patience: Duration,
}

impl Counter {
    /// Starts the thread; it connects when it is first asked.
    pub(super) fn start(
        (name, greeting): (&str, &'static str),
        options: Options,
        mut idle: Option<Idle>,
    ) -> Result<Self, Error> {
        let unstarted = |error: std::io::Error| Error::Unavailable(format!("starting a thread: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(unstarted)?;
        let patience = Duration::from_millis(options.timeout_ms.saturating_mul(3));
        let (jobs, asked) = mpsc::sync_channel::<Job>(WAITING);
        let mut desk = Desk { runtime, options, greeting, link: None };
        let pause = idle.as_ref().map_or(Duration::from_secs(3_600), |(pause, _)| *pause);
        thread::start(name, move || {
            loop {
                match asked.recv_timeout(pause) {
                    Ok(job) => {
                        if job(&mut desk).is_break() {
                            return;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        if let Some((_, work)) = &mut idle {
                            work(&mut desk);
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })
        .map_err(unstarted)?;
        Ok(Self { jobs, patience })
    }

    /// Has a job done and waits for it.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Desk) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |desk| {
            let _ = reply.try_send(job(desk));
            ControlFlow::Continue(())
        });
        self.jobs.try_send(job).map_err(|_| Error::Unavailable("too much waits for the database".to_owned()))?;
        match answer.recv_timeout(self.patience) {
            Ok(answer) => answer,
            Err(_) => Err(Error::Unavailable("the database took too long".to_owned())),
        }
    }
}

impl Desk {
    /// Does some work with the connection, which is made where there is none.
    pub(super) fn run<T>(
        &mut self,
        work: impl AsyncFn(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        let had_one = self.link.as_ref().is_some_and(Link::is_open);
        match self.once(&work) {
            // The connection may have ended long ago.
            Err(Error::Unavailable(_)) if had_one && !self.link.as_ref().is_some_and(Link::is_open) => self.once(&work),
            other => other,
        }
    }

    fn once<T>(&mut self, work: &impl AsyncFn(&Client) -> Result<T, tokio_postgres::Error>) -> Result<T, Error> {
        self.with(async |link| {
            let done = link.run(async |client| work(client).await).await;
            if done.is_err() && link.is_open() {
                // Where it began a transaction, that ends.
                let _ = link.run(async |client| client.batch_execute("ROLLBACK").await).await;
            }
            done.map_err(|failure| failure.before())
        })
    }

    /// Lends the connection itself.
    pub(super) fn with<T>(&mut self, work: impl AsyncFnOnce(&mut Link) -> Result<T, Error>) -> Result<T, Error> {
        let Self { runtime, options, greeting, link } = self;
        runtime.block_on(async {
            if !link.as_ref().is_some_and(Link::is_open) {
                let mut made = Link::connect(options).await?;
                let greeted = made.run(async |client| client.batch_execute(greeting).await).await;
                greeted.map_err(|failure| failure.before())?;
                *link = Some(made);
            }
            match link {
                Some(link) => work(link).await,
                None => Err(Error::Unavailable("there is no connection".to_owned())),
            }
        })
    }
}
