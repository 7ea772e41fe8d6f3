//! Clients from npm under `target/node/clients`, installed again only when their lock changes, and the tests with
//! them. Node itself comes from Python's registry: the machine needs neither Node nor npm.

use std::fs;

use anyhow::{Context as _, Result, bail};

use super::python::PYTHON;
use crate::{
    phase::Outcome,
    process::{answers, expect_success, in_root, root},
};

/// The pins of Node and npm.
pub(super) const NODE_PINS: &str = "tests/node/requirements.txt";
/// What npm is run as, beside the interpreter.
pub(super) const NPM: &str = "target/python/bin/npm";
/// The clients, with exact versions, and all that they need.
const PINS: [&str; 2] = ["package.json", "package-lock.json"];
/// Where the pins are.
const PROGRAMS: &str = "tests/node";
/// Where the clients are installed, and where the programs of the tests run.
const CLIENTS: &str = "target/node/clients";
/// A copy of the lock that they were installed from; written last.
const STAMP: &str = "target/node/clients/installed.json";
/// The tests.
pub(super) const TESTS: &str = "tests/python/node";
/// A registry may be busy for a moment; npm's own retries are for single files.
const ATTEMPTS: u32 = 3;

/// Installs what is missing and runs the tests.
pub(super) fn run() -> Result<Outcome> {
    if let Some(missing) = prepare()? {
        return Ok(Outcome::Skipped(missing));
    }
    expect_success(&mut in_root(PYTHON, &["-m", "pytest", TESTS, "-q", "-p", "no:cacheprovider"]))?;
    Ok(Outcome::Passed)
}

/// Installs the clients. Returns why they cannot be had; a lock that npm refuses is an error.
pub(crate) fn prepare() -> Result<Option<String>> {
    if !has_npm() {
        return Ok(Some(format!("pip cannot install {NODE_PINS} here")));
    }
    let root = root();
    let lock = fs::read_to_string(root.join(PROGRAMS).join(PINS[1])).context(PINS[1])?;
    if fs::read_to_string(root.join(STAMP)).is_ok_and(|made_from| made_from == lock) {
        return Ok(None);
    }
    fs::create_dir_all(root.join(CLIENTS)).context(CLIENTS)?;
    for pin in PINS {
        fs::copy(root.join(PROGRAMS).join(pin), root.join(CLIENTS).join(pin)).context(pin)?;
    }
    for _ in 0..ATTEMPTS {
        if npm(&["ci"], CLIENTS).is_ok() {
            fs::write(root.join(STAMP), lock).context(STAMP)?;
            return Ok(None);
        }
    }
    if answers(NPM, &["ping"]) {
        bail!("npm cannot install what {PROGRAMS}/{} says", PINS[1]);
    }
    Ok(Some("npm reaches no registry".to_owned()))
}

/// `npm` in a folder. No package runs a program of its own while it is installed.
pub(crate) fn npm(arguments: &[&str], folder: &str) -> Result<()> {
    let mut command = in_root(NPM, arguments);
    command.args(["--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "10"]);
    expect_success(&mut command)
}

pub(super) fn has_npm() -> bool {
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "10", "-r", NODE_PINS];
    answers(PYTHON, &pip) && answers(NPM, &["--version"])
}
