//! `cargo xtask up`: from a fresh checkout to a running server in one command.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::process::{cargo, expect_success, root};

/// The binary that `cargo build --release` leaves behind.
const BINARY: &str = "target/release/mainstay";

/// What to hand on.
#[derive(Args)]
pub struct Arguments {
    /// Arguments of `mainstay serve`, such as `--config FILE`, `--data DIR` or `--listen ADDR`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    serve: Vec<String>,
}

/// Builds and serves until it is stopped.
///
/// # Errors
/// Where the build fails or the server cannot be started.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    expect_success(&mut cargo(&["build", "--release", "--locked", "--package", "mainstay"]))?;
    let given = arguments.serve.iter().map(|argument| format!(" {argument}")).collect::<String>();
    println!("{BINARY} serve{given}");
    println!("  stop it with Ctrl-C; the sessions stay in its data directory");
    println!("  the API key:       {BINARY} key{given}");
    println!("  a server of yours: cargo xtask up --config mainstay.toml   (README.md shows the file)");
    serve(Command::new(root().join(BINARY)).arg("serve").args(&arguments.serve))
}

/// Becomes the server, so that a signal to this process reaches it.
#[cfg(unix)]
fn serve(command: &mut Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()).with_context(|| format!("cannot start {BINARY}"))
}

/// Waits for the server.
#[cfg(not(unix))]
fn serve(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("cannot start {BINARY}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
