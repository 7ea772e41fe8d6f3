//! `cargo xtask test`: all that CI runs, in phases. Start with `phases`; the Python side is in `test/python.rs`.

mod cluster;
mod engine;
mod mcp;
pub(crate) mod node;
pub(crate) mod postgres;
pub(crate) mod python;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    phase::{self, Outcome, Phase},
    process::{answers, cargo, expect_success},
};

/// The runner that the configuration in `.config/nextest.toml` was written for.
const NEXTEST: &str = "0.9.143";

/// Kill points and planted bugs, which the tests of the promises need. The same in every phase: nothing is built twice.
pub(crate) const FAULTS: &str = "mainstay/faults";

/// What to run.
#[derive(Args)]
pub struct Arguments {
    /// Run this phase alone; may be given several times.
    #[arg(long, value_name = "PHASE")]
    only: Vec<String>,
    /// Show the phases and run nothing.
    #[arg(long)]
    list: bool,
}

/// Runs the phases.
///
/// # Errors
/// Where a phase was asked for that does not exist; a failing phase is in the exit code.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let chosen = phase::select(phases(), &arguments.only)?;
    if arguments.list {
        phase::list(&chosen);
        return Ok(ExitCode::SUCCESS);
    }
    Ok(phase::run(&chosen))
}

fn phases() -> Vec<Phase> {
    vec![
        step("tools", "a C compiler and the test runner are there", &[], tools),
        cargo_step("fmt", "the code is formatted", &[], &["fmt", "--all", "--check"]),
        cargo_step(
            "clippy",
            "no warning anywhere",
            &["tools"],
            &["clippy", "--workspace", "--all-targets", "--features", FAULTS, "--locked", "--", "-D", "warnings"],
        ),
        cargo_step(
            "build",
            "the binary builds",
            &["tools"],
            &["build", "--workspace", "--features", FAULTS, "--locked"],
        ),
        step("python", "the pinned Python packages are under target/python", &[], python::prepare),
        step("servers", "the MCP servers from npm are under target/node/mcp", &["python"], mcp::prepare),
        step("postgres", "PostgreSQL 15 and 18 are there for the tests to start", &[], postgres::prepare),
        cargo_step(
            "tests",
            "unit and integration tests, and the tree is tidy",
            &["tools", "build", "postgres", "servers"],
            &["nextest", "run", "--workspace", "--features", FAULTS, "--locked", "--profile", "ci"],
        ),
        cargo_step(
            "doc",
            "examples in the documentation run",
            &["build"],
            &["test", "--workspace", "--features", FAULTS, "--locked", "--doc"],
        ),
        step("sdk", "the vendors' SDKs, unmodified, against the binary", &["build", "python"], python::sdk),
        step(
            "cluster",
            "the SDKs once more, against two nodes on one PostgreSQL",
            &["build", "python", "postgres"],
            cluster::run,
        ),
        step("node", "clients from npm, unmodified, against the binary", &["build", "python"], node::run),
        step("mcp", "the MCP conformance suite, from npm, against our client", &["tools", "servers"], mcp::conform),
        step("engine", "the release binary with the embedded engine builds", &["tools"], engine::build),
        step("up", "one command: a conversation with the embedded model", &["engine"], engine::up),
        step("local", "the embedded engine's own tests, in the release profile", &["engine"], engine::tests),
        step("deny", "cargo deny agrees about licences and bans", &[], deny),
    ]
}

fn step(
    name: &'static str,
    shows: &'static str,
    needs: &'static [&'static str],
    run: fn() -> Result<Outcome>,
) -> Phase {
    Phase { name, shows, needs, run: Box::new(run) }
}

fn cargo_step(
    name: &'static str,
    shows: &'static str,
    needs: &'static [&'static str],
    arguments: &'static [&'static str],
) -> Phase {
    let run = || expect_success(&mut cargo(arguments)).map(|()| Outcome::Passed);
    Phase { name, shows, needs, run: Box::new(run) }
}

fn tools() -> Result<Outcome> {
    if !answers("cc", &["--version"]) {
        bail!("no C compiler (SQLite and ring need one); on Debian or Ubuntu: apt-get install -y build-essential");
    }
    if !answers("cargo", &["nextest", "--version"]) {
        expect_success(&mut cargo(&["install", "--locked", "cargo-nextest", "--version", NEXTEST]))?;
    }
    Ok(Outcome::Passed)
}

fn deny() -> Result<Outcome> {
    if !answers("cargo", &["deny", "--version"]) {
        return Ok(Outcome::Skipped("cargo-deny is not installed; `tidy` holds deny.toml without it".to_owned()));
    }
    expect_success(&mut cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    Ok(Outcome::Passed)
}
