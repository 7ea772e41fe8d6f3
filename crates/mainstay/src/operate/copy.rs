//! `store copy`: moves everything from one store into another, session by session, verified at both ends.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use mainstay_store::{copy, sqlite::Others};
use serde_json::json;

use super::{Address, telling, wait};
use crate::models::{say, size};

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    /// Copy a store into an empty one: every session whole, compared by hash at both ends.
    Copy(Copy),
}

/// What `store copy` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
A store is named by its data directory (or sqlite:DIR) or its URL (postgres://…). The source must be at rest: stop its
servers first. Broken off at any moment, the same command goes on where it was. Keys are not copied.")]
pub(crate) struct Copy {
    /// The store to copy.
    from: String,
    /// An empty store, or one into which this copy was begun.
    to: String,
    /// Print events as lines of JSON.
    #[arg(long)]
    json: bool,
}

/// Runs a verb.
pub(crate) fn store(verb: &StoreVerb) -> Result<()> {
    let StoreVerb::Copy(Copy { from, to, json }) = verb;
    let (from, to) = (Address::parse(from)?, Address::parse(to)?);
    let (source, target) = (from.look(Others::Refused)?, to.receive()?);
    let seen = telling("copy", "copied", *json);
    let done = wait(copy::copy(&*source, &*target, &mut |copied| seen(copied.bytes, 0)));
    drop(seen);
    let done = done.with_context(|| format!("copying {from} to {to}"))?;
    if *json {
        let event = json!({
            "event": "copied", "sessions": done.sessions, "resumed": done.resumed, "records": done.records,
            "bytes": done.bytes,
        });
        say(&event.to_string());
        return Ok(());
    }
    let before = if done.resumed > 0 { format!(", {} of them before", done.resumed) } else { String::new() };
    say(&format!("{} sessions{before}, {}, the same at both ends", done.sessions, size(done.bytes)));
    Ok(())
}
