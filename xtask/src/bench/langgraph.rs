//! The peer: LangGraph with its SQLite saver, in a Python environment under `target/bench-python`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::process::{answers, captured, expect_success, in_root, root};

/// What is installed.
const PINS: &str = "xtask/bench/requirements.txt";
const PROGRAM: &str = "xtask/bench/langgraph_peer.py";
const ENVIRONMENT: &str = "target/bench-python";
const PYTHON: &str = "target/bench-python/bin/python";

/// What the program prints.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Line {
    pub(super) turns: u32,
    pub(super) cpu_us_per_turn: f64,
    pub(super) bytes: f64,
}

/// Runs conversations, `threads` of them, one after the other.
pub(super) fn run(folder: &Path, turns: u32, threads: u32) -> Result<Vec<Line>> {
    prepare()?;
    let printed = captured(in_root(PYTHON, &[PROGRAM]).arg(folder).args([turns.to_string(), threads.to_string()]))?;
    printed.lines().map(|line| serde_json::from_str(line).with_context(|| format!("{PROGRAM}: `{line}`"))).collect()
}

/// Makes the environment where it is missing or of other pins.
fn prepare() -> Result<()> {
    let stamp = root().join(ENVIRONMENT).join("pins.txt");
    let pins = fs::read_to_string(root().join(PINS)).context(PINS)?;
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == pins) && answers(PYTHON, &["--version"]) {
        return Ok(());
    }
    if !answers("python3", &["-c", "import ensurepip, venv"]) {
        bail!("the peer needs python3 with venv; on Debian or Ubuntu: apt-get install -y python3 python3-venv");
    }
    expect_success(&mut in_root("python3", &["-m", "venv", "--clear", ENVIRONMENT]))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "10", "-r", PINS];
    expect_success(&mut in_root(PYTHON, &pip))?;
    fs::write(stamp, pins).context("the stamp of the peer's environment")
}
