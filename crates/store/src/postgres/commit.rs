//! Sends one transaction: BEGIN, all statements and COMMIT at once, in one round trip, and tells what came of it.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use mainstay_vocabulary::{Epoch, Shard};
use tokio_postgres::{Client, Error as Failed, error::SqlState, types::ToSql};

use super::{
    fault, lane,
    link::{Failure, Link},
    request::Taken,
    statements::{self, Prepared, Step},
};
use crate::error::Error;

/// How a transaction ended.
pub(super) enum Ended {
    Committed,
    /// Nothing was written, because a shard is not what the lane thinks.
    Fenced,
    /// Nothing was written.
    Nothing(Error),
    /// Nobody knows.
    Unknown(String),
}

/// An answer, or `None` for a statement that was not sent.
type Answers = Vec<Option<Result<(), Failed>>>;

type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), Failed>> + 'a>>;

/// BEGIN. The connection is read-only outside of it: if it fails, so does all that was sent behind it.
pub(super) const BEGIN: &str = "BEGIN READ WRITE";

/// Runs the steps as one transaction. The first must be the fence.
pub(super) async fn run(link: &mut Link, prepared: &Prepared, steps: &[Step<'_>]) -> Ended {
    let sent = link.run(async |client| Ok(together(sendings(client, prepared, steps)).await)).await;
    let warnings = link.warnings();
    let answers = match sent {
        Ok(answers) => answers,
        Err(Failure::Late) => return Ended::Unknown("the database took too long to answer".to_owned()),
        Err(Failure::Said(error)) => return Ended::Unknown(fault::said(&error)),
    };
    let committed = answers.last().is_some_and(Option::is_some);
    if !committed {
        // The server still waits for the rest; the end of the connection rolls back.
        link.close();
    }
    for (index, answer) in answers.into_iter().enumerate() {
        match answer {
            Some(Ok(())) => {}
            Some(Err(error)) => return judge((index, steps.len()), committed, &error),
            None => break,
        }
    }
    if !committed {
        return Ended::Nothing(Error::Unavailable("the transaction was not sent".to_owned()));
    }
    // Where the wait for a standby was given up, COMMIT succeeds with a warning.
    match warnings.first() {
        Some(warning) => Ended::Unknown(format!("{} ({})", warning.message(), warning.code().code())),
        None => Ended::Committed,
    }
}

/// What the first failure means. An answer of the server to anything before COMMIT is an abort; without an answer, all
/// that was sent may have been done.
fn judge((index, steps): (usize, usize), committed: bool, error: &Failed) -> Ended {
    let is_commit = index == steps + 1;
    match error.code() {
        Some(code) if index == 1 && *code == SqlState::DIVISION_BY_ZERO => Ended::Fenced,
        Some(_) if !is_commit => Ended::Nothing(fault::before(error)),
        _ if !committed => Ended::Nothing(fault::before(error)),
        _ => Ended::Unknown(fault::said(error)),
    }
}

fn sendings<'a>(client: &'a Client, prepared: &'a Prepared, steps: &'a [Step<'_>]) -> Vec<Sending<'a>> {
    let mut sendings: Vec<Sending<'a>> = Vec::with_capacity(steps.len() + 2);
    sendings.push(Box::pin(client.batch_execute(BEGIN)));
    for step in steps {
        sendings.push(Box::pin(async move {
            let values = step.values.iter().map(|value| &**value as &(dyn ToSql + Sync));
            match prepared.get(step.text) {
                Some(statement) => client.execute_raw(statement, values).await.map(drop),
                None => client.execute_raw(step.text, values).await.map(drop),
            }
        }));
    }
    sendings.push(Box::pin(client.batch_execute("COMMIT")));
    sendings
}

/// Sends all and waits for all answers. Each is sent when it is first polled, so they go out in order; one that fails
/// at once was not sent, and then nothing after it is.
async fn together(mut sendings: Vec<Sending<'_>>) -> Answers {
    let mut answers: Answers = sendings.iter().map(|_| None).collect();
    // How many are to be sent: fewer than all once one could not be.
    let mut most = sendings.len();
    let mut is_first_pass = true;
    poll_fn(|context| {
        let mut is_waiting = false;
        for (index, sending) in sendings.iter_mut().enumerate() {
            if index >= most || answers[index].is_some() {
                continue;
            }
            match sending.as_mut().poll(context) {
                Poll::Ready(answer) => {
                    if is_first_pass && answer.is_err() {
                        most = index + 1;
                    }
                    answers[index] = Some(answer);
                }
                Poll::Pending => is_waiting = true,
            }
        }
        is_first_pass = false;
        if is_waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    answers
}

/// Epoch and number of commits of shards.
pub(super) async fn stand(
    link: &mut Link,
    prepared: &Prepared,
    shards: &[Taken],
) -> Result<HashMap<Shard, (Epoch, i64)>, Error> {
    let ids = statements::stand(shards);
    let ask = async |client: &Client| match prepared.get(statements::STAND) {
        Some(statement) => client.query(statement, &[&ids]).await,
        None => client.query(statements::STAND, &[&ids]).await,
    };
    let rows = link.run(ask).await.map_err(|failure| failure.before())?;
    Ok(rows.iter().map(|row| (Shard(row.get::<_, i16>(0) as u16), (lane::epoch(row.get(1)), row.get(2)))).collect())
}
