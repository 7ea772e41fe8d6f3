//! `mainstay sessions`: what the server keeps, and what may be done with it. A file per verb.

mod fork;
mod list;
mod show;
mod tail;
mod timeline;

use std::io::{self, IsTerminal, Write};

use clap::{Args, Subcommand};
use serde_json::json;

pub(crate) use list::print_list;

use crate::{
    clean,
    client::{Client, block_on},
    error::{Error, Exit, Result},
    http,
    reach::{Reach, Surroundings},
    screen::Style,
};

/// A verb.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "An ID is a whole one, the end of one, or `last`: the session that chat went on with last.")]
pub enum Verb {
    /// The latest sessions: their state, when they were last active, how they began.
    List(list::Options),
    /// A session as a timeline: turns, items, calls, attempts, tokens, cost.
    Show(show::Options),
    /// Follow a session as it happens, until Ctrl-C.
    Tail(tail::Options),
    /// Cancel the turn that runs; the session stays.
    Cancel(One),
    /// Begin a session that inherits everything of another.
    Fork(fork::Options),
    /// Delete a session.
    Delete(Delete),
}

/// One session.
#[derive(Clone, Debug, Args)]
pub struct One {
    /// The session.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    reach: Reach,
}

/// What `delete` takes.
#[derive(Clone, Debug, Args)]
pub struct Delete {
    /// The session.
    #[arg(value_name = "ID")]
    id: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Verb {
    /// How to reach the server.
    pub const fn reach(&self) -> &Reach {
        match self {
            Self::List(options) => &options.reach,
            Self::Show(options) => &options.reach,
            Self::Tail(options) => &options.reach,
            Self::Cancel(options) => &options.reach,
            Self::Fork(options) => &options.reach,
            Self::Delete(options) => &options.reach,
        }
    }
}

/// Does it.
///
/// # Errors
/// See `Exit`.
pub fn run(verb: &Verb, around: &Surroundings) -> Result<()> {
    let client = Client::new(verb.reach(), around)?;
    block_on(async {
        match verb {
            Verb::List(options) => list::run(&client, options).await,
            Verb::Show(options) => show::run(&client, options).await,
            Verb::Tail(options) => tail::run(&client, options).await,
            Verb::Cancel(options) => cancel(&client, options).await,
            Verb::Fork(options) => fork::run(&client, options).await,
            Verb::Delete(options) => delete(&client, options).await,
        }
    })
}

async fn cancel(client: &Client, options: &One) -> Result<()> {
    let id = client.find(&options.id).await?;
    client.session(&id).await?;
    client.http.post(&format!("/v1/agents/sessions/{id}/events"), &http::cancel()).await?;
    if client.is_json {
        return client.out.document(&client.session(&id).await?);
    }
    client.out.line(&format!("{} the turn of {id}", client.out.paint(Style::Good, "cancelled")))
}

async fn delete(client: &Client, options: &Delete) -> Result<()> {
    let id = client.find(&options.id).await?;
    let short = client.session(&id).await?;
    if !options.yes {
        let words = clean::one_line(short["first_words"].as_str().unwrap_or_default());
        let about = if words.is_empty() { String::new() } else { format!(" (\u{201c}{words}\u{201d})") };
        confirm(&format!("delete {id}{about}?"))?;
    }
    client.http.delete(&format!("/v1/agents/sessions/{id}")).await?;
    if client.is_json {
        return client.out.document(&json!({ "id": id, "deleted": true }));
    }
    client.out.line(&format!("{} {id}", client.out.paint(Style::Good, "deleted")))
}

/// Asks on the terminal; where there is none, refuses.
fn confirm(question: &str) -> Result<()> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::usage("nobody is here to confirm it").advise("--yes deletes without asking."));
    }
    let mut out = io::stderr().lock();
    let asked = write!(out, "{question} [y/N] ").and_then(|()| out.flush());
    asked.map_err(|error| Error::of_output(&error))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Error::new(Exit::Failed, format!("reading: {error}")))?;
    if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") {
        return Ok(());
    }
    Err(Error::new(Exit::Failed, "nothing was deleted"))
}
