//! `cargo xtask`: what a developer and CI run. Must not hold a rule of the product.
//! Each subcommand is a file of the library beside this; start with `test`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{bench, docs, openapi, soak, test, tidy, up};

/// Builds, checks and measures Mainstay.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds the release binary and serves with its defaults.
    Up(up::Arguments),
    /// Runs all that CI runs.
    Test(test::Arguments),
    /// Runs the long variants of the tests that try to break a promise.
    Soak(soak::Arguments),
    /// Compares the tree with its own rules.
    Tidy,
    /// Measures, each figure beside its target or peer.
    Bench(bench::Arguments),
    /// Writes the pages that are made of other files, or compares them.
    Docs(docs::Arguments),
    /// Writes the OpenAPI document, or compares it.
    Openapi(openapi::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Up(arguments) => up::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Soak(arguments) => soak::run(&arguments),
        Task::Tidy => tidy::report(),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Docs(arguments) => docs::run(&arguments),
        Task::Openapi(arguments) => openapi::run(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
