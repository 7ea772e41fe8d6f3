//! The Python environment under `target/python`, made again only when the pins change, and the SDK tests in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::node;
use crate::{
    phase::Outcome,
    process::{answers, expect_success, in_root, root},
};

/// Where the tests and their pins are.
pub(super) const TESTS: &str = "tests/python";
/// Tests among them that only a soak runs.
pub(crate) const SOAKS: &str = "tests/python/soak";
/// What must be installed, with exact versions.
const PINS: &str = "tests/python/requirements.txt";
/// The environment.
const ENVIRONMENT: &str = "target/python";
/// Its interpreter.
pub(crate) const PYTHON: &str = "target/python/bin/python";
/// A copy of the pins that it was made from.
const STAMP: &str = "target/python/pins.txt";

/// How an interpreter installs packages.
pub(super) const PIP: [&str; 8] =
    ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=10", "--timeout=60", "--no-input"];

/// Makes the environment if it is not there or was made from other pins.
pub(crate) fn prepare() -> Result<Outcome> {
    let root = root();
    if !root.join(PINS).exists() {
        return Ok(Outcome::Skipped(format!("{PINS} does not exist yet")));
    }
    let pins = fs::read_to_string(root.join(PINS)).context(PINS)?;
    if fs::read_to_string(root.join(STAMP)).is_ok_and(|made_from| made_from == pins) && answers(PYTHON, &["--version"])
    {
        return Ok(Outcome::Passed);
    }
    if !answers(PYTHON, &["-m", "pip", "--version"]) {
        create(&root, ENVIRONMENT)?;
    }
    expect_success(in_root(PYTHON, &PIP).args(["-r", PINS]))?;
    fs::write(root.join(STAMP), pins).context(STAMP)?;
    Ok(Outcome::Passed)
}

/// Makes an empty environment.
pub(super) fn create(root: &Path, folder: &str) -> Result<()> {
    if !answers("python3", &["--version"]) {
        bail!("no python3; on Debian or Ubuntu: apt-get install -y python3 python3-venv");
    }
    if !answers("python3", &["-c", "import ensurepip, venv"]) {
        bail!("python3 cannot make environments; on Debian or Ubuntu: apt-get install -y python3-venv");
    }
    fs::create_dir_all(root.join("target")).context("target")?;
    expect_success(&mut in_root("python3", &["-m", "venv", "--clear", folder]))
}

/// Runs the SDK tests.
pub(super) fn sdk() -> Result<Outcome> {
    if !has_tests(&root().join(TESTS)) {
        return Ok(Outcome::Skipped(format!("{TESTS} has no test yet")));
    }
    expect_success(&mut in_root(
        PYTHON,
        &["-m", "pytest", TESTS, "--ignore", node::TESTS, "--ignore", SOAKS, "-q", "-p", "no:cacheprovider"],
    ))?;
    Ok(Outcome::Passed)
}

fn has_tests(folder: &PathBuf) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.file_name().to_string_lossy().into_owned()).any(|name| {
        name.starts_with("test_") && Path::new(&name).extension().is_some_and(|extension| extension == "py")
    })
}
