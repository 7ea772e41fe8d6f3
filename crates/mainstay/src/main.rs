//! The binary: command line, configuration, wiring. Start with `serve`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod client;
mod completions;
mod config;
mod deployments;
mod doctor;
mod faults;
mod hands;
mod init;
mod key;
mod keyring;
mod loopback;
mod man;
mod models;
mod offer;
mod operate;
mod policies;
mod serve;
mod server_file;
mod stores;
mod webhooks;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};
use mainstay_cli::{EXIT_CODES, approvals, chat, sessions};

/// A stateful runtime for AI agents: sessions outlive the process, the model and the vendor.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the wires until SIGTERM or Ctrl-C; what is under way goes on with the next start.
    Serve(Options),
    /// Talk to a model, in a session that outlives this program; with a prompt: one question, one answer.
    Chat(chat::Options),
    /// List, show, follow, cancel, fork and delete sessions.
    #[command(subcommand)]
    Sessions(sessions::Verb),
    /// List, approve and deny the calls of tools that wait for a person.
    #[command(subcommand)]
    Approvals(approvals::Approvals),
    /// List the calls of tools whose outcome nobody knows, and say what became of them.
    #[command(subcommand)]
    Effects(approvals::Effects),
    /// Print the first API key; it serves as OPENAI_API_KEY and ANTHROPIC_API_KEY.
    Key(Options),
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Say what is wrong with this installation and what to do about it; exits 1 where something fails.
    Doctor(doctor::Arguments),
    /// Write a commented configuration with what is found on this machine.
    Init(init::Arguments),
    /// Install a model of the catalogue for the embedded engine: found, resumed, verified.
    Pull(models::PullArguments),
    /// Install a GGUF file of this machine.
    Import(models::ImportArguments),
    /// List the models that can be pulled and those that are installed, or remove one.
    Models(models::ModelsArguments),
    /// Write the store into a folder, complete and verified; the server may run meanwhile.
    Backup(operate::BackupArguments),
    /// Verify a backup and write it into an empty data directory.
    Restore(operate::RestoreArguments),
    /// Verify the store, say how it stands, bring it to this version's format.
    #[command(subcommand)]
    Db(operate::DbVerb),
    /// Make a cluster's master key, bring keys into its database.
    #[command(subcommand)]
    Keys(operate::KeysVerb),
    /// Move a store.
    #[command(subcommand)]
    Store(operate::StoreVerb),
    /// Print the OpenAPI document of what is served.
    Openapi,
    /// Print the script that completes this command line in a shell.
    Completions(completions::Arguments),
    /// Print a page of the manual, or write all of them.
    Man(man::Arguments),
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Show the merged configuration and where each value came from; secrets stay hidden.
    Print(config::PrintArguments),
}

/// What the command line may override.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Options {
    /// Configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mainstay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Chat(options) => return client::chat(&options),
        Verb::Sessions(verb) => return client::sessions(&verb),
        Verb::Approvals(verb) => return client::approvals(&verb),
        Verb::Effects(verb) => return client::effects(&verb),
        Verb::Completions(arguments) => completions::print(&arguments, Cli::command()),
        Verb::Man(arguments) => man::print(&arguments, Cli::command()),
        Verb::Db(verb) => return operate::db(&verb),
        Verb::Doctor(arguments) => return doctor::run(&arguments),
        Verb::Serve(options) => serve::run(config::load(&options)?),
        Verb::Key(options) => key::print(&config::load(&options)?),
        Verb::Config { verb: ConfigVerb::Print(arguments) } => config::print(&arguments),
        Verb::Init(arguments) => init::run(&arguments),
        Verb::Pull(arguments) => models::pull(arguments),
        Verb::Import(arguments) => models::import(arguments),
        Verb::Models(arguments) => models::models(&arguments),
        Verb::Backup(arguments) => operate::backup(&arguments),
        Verb::Restore(arguments) => operate::restore(&arguments),
        Verb::Keys(verb) => operate::keys(&verb),
        Verb::Store(verb) => operate::store(&verb),
        Verb::Openapi => {
            println!("{}", mainstay_wire::openapi::document());
            Ok(())
        }
    }?;
    Ok(ExitCode::SUCCESS)
}
