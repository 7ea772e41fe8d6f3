//! `cargo xtask soak`: the tests that try to break a promise, at a length that CI has no time for. The same tests
//! run short in CI; `MAINSTAY_SOAK` and the row's own variable tell them to go on. Start with `ROWS`;
//! what other people's programs try is in `soak/client.rs` and `soak/contract.rs`, what no program sends in
//! `soak/fuzz.rs`.

mod client;
mod contract;
mod fuzz;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{
    phase::{self, Outcome, Phase},
    process::{cargo, expect_success},
    test::FAULTS,
};

/// One kind of soak.
struct Row {
    /// What it is called on the command line.
    name: &'static str,
    /// What a pass shows.
    shows: &'static str,
    /// Which tests, as a filter of nextest. A filter that matches nothing fails.
    tests: &'static str,
    /// The variable that says how much, and how much unless `--amount` says otherwise.
    amount: (&'static str, u64),
}

/// Every soak that is a test of ours at length.
const ROWS: &[Row] = &[
    Row {
        name: "kill",
        shows: "SIGKILL at every commit point: nothing lost, nothing doubled, streams the same",
        tests: "test(/(^|::)kill/)",
        amount: ("MAINSTAY_KILLS", 500),
    },
    Row {
        name: "simulation",
        shows: "seeded faults under a virtual clock: safe, and in the end alive",
        tests: "test(/(^|::)simulation/)",
        amount: ("MAINSTAY_SEEDS", 1_000_000),
    },
    Row {
        name: "crash",
        shows: "every state that a crash can leave on disk opens with all that was acknowledged",
        tests: "test(/(^|::)crash/)",
        amount: ("MAINSTAY_CRASH_STATES", 200_000),
    },
];

/// What to run.
#[derive(Args)]
pub struct Arguments {
    /// Which; all of them if none is named.
    names: Vec<String>,
    /// How many kills, seeds, states, seconds of each fuzz target or examples, instead of the row's own number.
    #[arg(long)]
    amount: Option<u64>,
    /// Fuzz this target alone.
    #[arg(long)]
    target: Option<String>,
    /// Show what there is and run nothing.
    #[arg(long)]
    list: bool,
}

/// Runs the soaks.
///
/// # Errors
/// Where one was asked for that does not exist; a failing one is in the exit code.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let rows = ROWS.iter().map(|row| row.phase(arguments.amount));
    let amount = arguments.amount;
    let ours = [fuzz::phase(arguments.target.as_deref(), amount), contract::phase(amount)];
    let phases = rows.chain(ours).chain(client::phases()).collect();
    let chosen = phase::select(phases, &arguments.names)?;
    if arguments.list {
        phase::list(&chosen);
        return Ok(ExitCode::SUCCESS);
    }
    Ok(phase::run(&chosen))
}

impl Row {
    fn phase(&'static self, amount: Option<u64>) -> Phase {
        let run = move || {
            let (variable, usual) = self.amount;
            let mut command = cargo(&["nextest", "run", "--workspace", "--features", FAULTS, "--release"]);
            command.args(["--profile", "soak", "-E", self.tests]);
            command.env("MAINSTAY_SOAK", "1").env(variable, amount.unwrap_or(usual).to_string());
            expect_success(&mut command)?;
            Ok(Outcome::Passed)
        };
        Phase { name: self.name, shows: self.shows, needs: &[], run: Box::new(run) }
    }
}
