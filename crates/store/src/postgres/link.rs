//! One connection to PostgreSQL. It has no task of its own: who waits for an answer also moves the bytes, so a
//! connection lives on whatever thread uses it and ends with it.

use std::{
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio_postgres::{
    AsyncMessage, Client, Connection, Socket, Statement,
    error::{DbError, SqlState},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Options, fault, target::Target};
use crate::error::Error;

type Wire = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// What every connection is set to.
///
/// `default_transaction_read_only`: whoever writes says so in its BEGIN, and where that BEGIN failed the statements
/// that were sent behind it fail too instead of being committed one by one. The planner is held to index scans: its
/// statements are prepared once, when the tables may be empty, and must be right for full ones.
const SETTINGS: &str = "
SET search_path = mainstay;
SET default_transaction_read_only = on;
SET default_transaction_isolation = 'read committed';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply';
SET client_min_messages = warning;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET jit = off;
SET work_mem = '64MB';
SET idle_in_transaction_session_timeout = '15s';";

/// An open connection.
pub struct Link {
    client: Client,
    /// `None`: it ended.
    wire: Option<Wire>,
    warnings: Vec<DbError>,
    patience: Duration,
    prepared: HashMap<String, Statement>,
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link").field("open", &self.wire.is_some()).finish_non_exhaustive()
    }
}

impl Link {
    /// Connects and sets the connection up. Does not look at what the server is set to, nor at the tables.
    ///
    /// # Errors
    /// `Unavailable`, with what the server or the network said.
    pub async fn connect(options: &Options) -> Result<Self, Error> {
        Self::reach(&Target::parse(&options.url)?, options).await
    }

    pub(super) async fn reach(target: &Target, options: &Options) -> Result<Self, Error> {
        let patience = Duration::from_millis(options.timeout_ms);
        let reached = tokio::time::timeout(patience, target.config.connect(target.tls.clone())).await;
        let (client, wire) = reached.map_err(|_| late("connecting to the database"))?.map_err(|e| fault::before(&e))?;
        let mut link = Self { client, wire: Some(wire), warnings: Vec::new(), patience, prepared: HashMap::new() };
        // The server gives up first, so that what it says is heard.
        let timeouts = format!(
            "{SETTINGS} SET statement_timeout = {}; SET lock_timeout = {};",
            options.timeout_ms * 3 / 4,
            options.timeout_ms / 2
        );
        link.run(async |client| client.batch_execute(&timeouts).await).await.map_err(|e| e.before())?;
        Ok(link)
    }

    /// Whether it can still be used, as far as is known without asking.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.wire.is_some()
    }

    /// Ends the connection; what it left open is rolled back.
    pub(super) fn close(&mut self) {
        self.wire = None;
    }

    /// Sets how long `run` waits for some work; answers what it was before.
    pub(super) const fn set_patience(&mut self, patience: Duration) -> Duration {
        std::mem::replace(&mut self.patience, patience)
    }

    /// Warnings of the server since this was last called.
    pub fn warnings(&mut self) -> Vec<DbError> {
        std::mem::take(&mut self.warnings)
    }

    /// Does some work with the client until it is done, the connection ends or patience does. Futures that the work
    /// polls together are sent without waiting for one another's answers.
    ///
    /// # Errors
    /// What the work failed with; the connection is closed if it took too long.
    pub async fn run<T, W>(&mut self, work: W) -> Result<T, Failure>
    where
        W: AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    {
        let Self { client, wire, warnings, patience, .. } = self;
        let done = async {
            let mut work = pin!(work(client));
            poll_fn(|context| {
                let before = work.as_mut().poll(context);
                if before.is_ready() {
                    return before;
                }
                move_bytes(wire, warnings, context);
                // Answers that came woke this task; a connection that ended fails the work now.
                if wire.is_none() { work.as_mut().poll(context) } else { Poll::Pending }
            })
            .await
        };
        match tokio::time::timeout(*patience, done).await {
            Ok(answer) => answer.map_err(Failure::Said),
            Err(_) => {
                self.wire = None;
                Err(Failure::Late)
            }
        }
    }

    /// A statement, prepared when it is first asked for. There are few: their texts are made of constants.
    pub(super) async fn prepared(&mut self, text: &str) -> Result<Statement, Failure> {
        if let Some(statement) = self.prepared.get(text) {
            return Ok(statement.clone());
        }
        let statement = self.run(async |client| client.prepare(text).await).await?;
        self.prepared.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Waits for something else and meanwhile notices when the connection ends.
    pub async fn idle<T>(&mut self, other: impl Future<Output = T>) -> T {
        let Self { wire, warnings, .. } = self;
        let mut other = pin!(other);
        poll_fn(|context| {
            move_bytes(wire, warnings, context);
            other.as_mut().poll(context)
        })
        .await
    }
}

/// Why some work with a connection failed.
#[derive(Debug)]
pub enum Failure {
    /// The server or the client library said so.
    Said(tokio_postgres::Error),
    /// It took too long, and the connection was given up.
    Late,
}

impl Failure {
    /// What it means where nothing was or could be written.
    #[must_use]
    pub fn before(&self) -> Error {
        match self {
            Self::Said(error) => fault::before(error),
            Self::Late => late("the database"),
        }
    }

    /// The code, where the server said one.
    #[must_use]
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Said(error) => error.code(),
            Self::Late => None,
        }
    }
}

fn late(what: &str) -> Error {
    Error::Unavailable(format!("{what} took too long"))
}

fn move_bytes(wire: &mut Option<Wire>, warnings: &mut Vec<DbError>, context: &mut Context<'_>) {
    /// Warnings that are kept: one would do.
    const KEPT: usize = 8;
    while let Some(open) = wire {
        match open.poll_message(context) {
            Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                if warnings.len() < KEPT {
                    warnings.push(notice);
                }
            }
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "a connection to the database ended");
                *wire = None;
            }
            Poll::Ready(None) => *wire = None,
            Poll::Pending => return,
        }
    }
}
