//! The phases of the embedded engine. All of them use the release build of `cargo xtask up`, so that llama.cpp is
//! compiled once; where its compilers cannot be had they say so and are skipped.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::{
    phase::Outcome,
    process::{cargo, expect_success, root},
    up::{self, tools},
};

/// Where the phase's own data and configuration are.
const SCRATCH: &str = "target/tmp/up";
/// What `up` pulls.
const MODEL: &str = "smollm2-135m-instruct.gguf";
/// What is asked: short, so that a small model comes to an end.
const PROMPT: &str = "Say hello in one sentence.";

/// Builds as `up` does, with what it shows.
pub(super) fn build() -> Result<Outcome> {
    if let Err(error) = tools::for_llama() {
        return Ok(Outcome::Skipped(format!("{error:#}")));
    }
    up::build(false)?;
    Ok(Outcome::Passed)
}

/// The command as one types it, without a terminal and without anything that a machine may already have.
pub(super) fn up() -> Result<Outcome> {
    if let Err(error) = tools::for_llama() {
        return Ok(Outcome::Skipped(format!("{error:#}")));
    }
    let scratch = root().join(SCRATCH);
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
    let mut command = cargo(&["xtask", "up", "--prompt", PROMPT]);
    command.arg("--data").arg(scratch.join("data")).env("XDG_CONFIG_HOME", &scratch).stdin(Stdio::null());
    command.env_remove("MAINSTAY_URL").env_remove("MAINSTAY_API_KEY");
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{said}");
    ensure!(output.status.success(), "`cargo xtask up` ended with {}", output.status);
    let answer = said.split_once(PROMPT).and_then(|(_, rest)| rest.split_once("server  stopped"));
    ensure!(answer.is_some_and(|(answer, _)| answer.trim().len() > 1), "there was no answer");
    ensure!(!scratch.join("data/server.json").exists(), "the server did not stop in order");
    Ok(Outcome::Passed)
}

/// The crate's tests, with the compilers that built the binary: nothing of llama.cpp is compiled again.
pub(super) fn tests() -> Result<Outcome> {
    let tools = match tools::for_llama() {
        Ok(tools) => tools,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let mut command = cargo(&["nextest", "run", "--release", "--locked", "--profile", "ci"]);
    command.args(["--package", "mainstay-local", "--features", "mainstay-local/llama"]);
    tools.lend(&mut command);
    // The model that `up` has just pulled; without one, the tests say that they were skipped.
    let model = root().join(SCRATCH).join("data/models").join(MODEL);
    if model.exists() {
        command.env("MAINSTAY_TEST_MODEL", model);
    }
    expect_success(&mut command)?;
    Ok(Outcome::Passed)
}
