//! The binary: command line, configuration, wiring. Start with `serve`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
mod faults;
mod key;
mod serve;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// A stateful runtime for AI agents: sessions outlive the process, the model and the vendor.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the wires until SIGTERM or Ctrl-C; what is under way goes on with the next start.
    Serve(Options),
    /// Print the first API key; it serves as OPENAI_API_KEY and ANTHROPIC_API_KEY.
    Key(Options),
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Print the OpenAPI document of what is served.
    Openapi,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Show the merged configuration and where each value came from; secrets stay hidden.
    Print(Options),
}

/// What the command line may override.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mainstay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Serve(options) => serve::run(config::load(&options)?),
        Verb::Key(options) => key::print(&config::load(&options)?),
        Verb::Config { verb: ConfigVerb::Print(options) } => config::print(&config::load(&options)?),
        Verb::Openapi => {
            println!("{}", mainstay_wire::openapi::document());
            Ok(())
        }
    }
}
