//! `db`: how the store stands, whether all of it is as it was written, and its format.

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use clap::{Args, Subcommand};
use mainstay_runtime::{
    clock::{Clock, System},
    verify::{self, Finding, Verified},
};
use mainstay_seal::Keyring;
use mainstay_store::{sqlite::Others, whole::Standing};
use serde_json::{Value, json};

use super::{Address, telling, wait};
use crate::{
    Options,
    config::{self, Config},
    keyring,
    models::{say, size},
};

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum DbVerb {
    /// Verify every hash: chains against heads, and with the keys all content; exits 1 where something is wrong.
    Verify(Verify),
    /// Say how the store stands: format, sizes, sessions, wakeups, shards.
    Status(Status),
    /// Bring the store to this version's format; nothing happens where it is.
    Migrate(Status),
}

/// What `db verify` takes.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Verify hashes only, as if the keys were not here.
    #[arg(long)]
    no_keys: bool,
    #[command(flatten)]
    rest: Status,
}

/// What the others take.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// Runs a verb.
pub(crate) fn db(verb: &DbVerb) -> Result<ExitCode> {
    match verb {
        DbVerb::Verify(arguments) => verify(arguments),
        DbVerb::Status(arguments) => status(arguments).map(|()| ExitCode::SUCCESS),
        DbVerb::Migrate(arguments) => migrate(arguments).map(|()| ExitCode::SUCCESS),
    }
}

fn verify(arguments: &Verify) -> Result<ExitCode> {
    let Status { json, options } = &arguments.rest;
    let config = config::load(options)?;
    let store = Address::of(&config).look(Others::Allowed)?;
    let has_keys = !arguments.no_keys && keys(&config).is_some();
    let open = || if has_keys { keys(&config) } else { None };
    let standing = wait(store.standing(System.now()))?;
    let total = standing.bytes + standing.files.1;
    let seen = telling("verify", "read", *json);
    let done = wait(async {
        let told = &mut |done: &Verified| seen(done.bytes.min(total), total);
        let verified = verify::verify(&*store, &open, told).await;
        verified.map_err(|error| mainstay_store::Error::Unavailable(error.to_string()))
    })?;
    drop(seen);
    if *json {
        say(&as_json(&done, has_keys).to_string());
    } else {
        done.findings.iter().for_each(|finding| say(&in_words(finding)));
        say(&summary(&done, has_keys));
    }
    Ok(if done.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The keys as they are now; `None` where they are not here.
fn keys(config: &Config) -> Option<Arc<Keyring>> {
    match keyring::look(config) {
        Ok(ring) => Some(ring),
        Err(error) => {
            eprintln!("only hashes are verified, because the keys cannot be read: {error:#}");
            None
        }
    }
}

fn in_words(finding: &Finding) -> String {
    let Finding { session, sequence, what } = finding;
    match (session, sequence) {
        (Some(session), Some(sequence)) => format!("session {session}, event {}: {what}", sequence.0),
        (Some(session), None) => format!("session {session}: {what}"),
        (None, _) => format!("store: {what}"),
    }
}

fn summary(done: &Verified, has_keys: bool) -> String {
    let Verified { sessions, events, opened, blobs, snapshots, destroyed, wrong, bytes, .. } = done;
    let content = match has_keys {
        true => format!("{opened} events, {blobs} blobs and {snapshots} snapshots opened, {destroyed} destroyed keys"),
        false => "content not opened, for want of keys".to_owned(),
    };
    let verdict = match wrong {
        0 => "all as it was written".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        more => format!("{more} things are wrong"),
    };
    format!("{sessions} sessions, {events} events hashed ({}); {content}: {verdict}", size(*bytes))
}

fn as_json(done: &Verified, has_keys: bool) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "session": finding.session.map(|session| session.to_string()),
            "sequence": finding.sequence.map(|sequence| sequence.0),
            "what": finding.what,
        })
    };
    json!({
        "event": "verified", "sessions": done.sessions, "events": done.events, "opened": done.opened,
        "blobs": done.blobs, "snapshots": done.snapshots, "slices": done.slices, "records": done.records,
        "bytes": done.bytes, "destroyed": done.destroyed, "keys": has_keys, "wrong": done.wrong,
        "findings": done.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn status(arguments: &Status) -> Result<()> {
    let config = config::load(&arguments.options)?;
    let address = Address::of(&config);
    let standing = wait(address.look(Others::Allowed)?.standing(System.now()))?;
    match arguments.json {
        true => say(&format!("{:#}", standing_json(&standing))),
        false => say(&standing_text(&address, &standing)),
    }
    Ok(())
}

fn standing_json(standing: &Standing) -> Value {
    let hex = |bytes: [u8; 16]| data_encoding::HEXLOWER.encode(&bytes);
    let shards = standing.shards.iter().map(|holding| {
        json!({
            "shard": holding.shard.0, "epoch": holding.epoch.0, "commits": holding.commits,
            "holder": holding.holder.map(hex), "is_held": holding.is_held,
        })
    });
    json!({
        "backend": standing.backend, "format": standing.format, "bytes": standing.bytes,
        "files": standing.files.0, "file_bytes": standing.files.1, "sessions": standing.sessions,
        "open": standing.open, "erased": standing.erased, "events": standing.events,
        "wakeups": standing.wakeups.0, "wakeups_due": standing.wakeups.1, "idempotency": standing.idempotency,
        "shards": shards.collect::<Vec<_>>(),
    })
}

fn standing_text(address: &Address, standing: &Standing) -> String {
    let held = standing.shards.iter().filter(|holding| holding.is_held).count();
    let holders: std::collections::BTreeSet<_> =
        standing.shards.iter().filter(|holding| holding.is_held).filter_map(|holding| holding.holder).collect();
    let rows = [
        ("store", format!("{address} ({}, format {})", standing.backend, standing.format)),
        ("size", format!("{} and {} blob files of {}", size(standing.bytes), standing.files.0, size(standing.files.1))),
        ("sessions", format!("{}, {} of them open, {} erased", standing.sessions, standing.open, standing.erased)),
        ("events", standing.events.to_string()),
        ("wakeups", format!("{}, {} of them due", standing.wakeups.0, standing.wakeups.1)),
        ("idempotency", format!("{} records", standing.idempotency)),
        ("shards", format!("{} taken so far, {held} held now by {} processes", standing.shards.len(), holders.len())),
    ];
    rows.map(|(name, value)| format!("{name:12}{value}")).join("\n")
}

fn migrate(arguments: &Status) -> Result<()> {
    let config = config::load(&arguments.options)?;
    let done = Address::of(&config).migrate()?;
    match arguments.json {
        true => say(&json!({ "event": "migrated", "from": done.from, "to": done.to }).to_string()),
        false if done.from == done.to => say(&format!("format {}: nothing to do", done.to)),
        false => say(&format!("format {}, was {}", done.to, done.from)),
    }
    Ok(())
}
