//! MCP: real servers from npm under `target/node/mcp`, and the conformance suite against our client, one scenario at
//! a time. What it fails is listed in `tests/mcp/exceptions.toml`, each with its reason; an exception that passes is
//! an error, so that the list stays true.

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::node::{NODE_PINS, NPM, has_npm, npm};
use crate::{
    phase::Outcome,
    process::{answers, captured, cargo, expect_success, in_root, root},
};

/// Where the pins and the exceptions are.
const PINS: &str = "tests/mcp";
/// What is pinned.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];
/// Where the servers and the suite are installed.
const INSTALLED: &str = "target/node/mcp";
/// A copy of the lock that they were installed from; written last.
const STAMP: &str = "target/node/mcp/installed.json";
/// The suite.
const SUITE: &str = "target/node/mcp/node_modules/@modelcontextprotocol/conformance/dist/index.js";
/// What runs it.
const NODE: &str = "target/python/bin/node";
/// The client that it drives.
const CLIENT: &str = "target/debug/examples/mcp_client";
/// What the suite calls scenarios that belong to no specification.
const EXTENSION: &str = "extension";
/// The specifications that we speak, and what extends them.
const VERSIONS: [&str; 3] = ["2025-11-25", "2026-07-28", EXTENSION];
/// What it says when it had nothing to check, and yet passes.
const NOTHING: &str = "Passed: 0/0";
/// What it says when it did not run a scenario, and yet passes.
const SKIPPED: &str = "SKIPPED: scenario";
/// What we fail.
const EXCEPTIONS: &str = "tests/mcp/exceptions.toml";
/// A registry may be busy for a moment.
const ATTEMPTS: u32 = 3;

/// A scenario that we fail, by its name; or one that is not for us.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    /// The specifications where it fails.
    versions: Vec<String>,
    reason: String,
}

/// Installs the servers and the suite.
pub(super) fn prepare() -> Result<Outcome> {
    if !has_npm() {
        return Ok(Outcome::Skipped(format!("pip cannot install {NODE_PINS} here")));
    }
    let root = root();
    let lock = fs::read_to_string(root.join(PINS).join(FILES[1])).context(FILES[1])?;
    if fs::read_to_string(root.join(STAMP)).is_ok_and(|made_from| made_from == lock) {
        return Ok(Outcome::Passed);
    }
    fs::create_dir_all(root.join(INSTALLED)).context(INSTALLED)?;
    for file in FILES {
        fs::copy(root.join(PINS).join(file), root.join(INSTALLED).join(file)).context(file)?;
    }
    for _ in 0..ATTEMPTS {
        if npm(&["ci"], INSTALLED).is_ok() {
            fs::write(root.join(STAMP), lock).context(STAMP)?;
            return Ok(Outcome::Passed);
        }
    }
    if answers(NPM, &["ping"]) {
        bail!("npm cannot install what {PINS}/{} says", FILES[1]);
    }
    Ok(Outcome::Skipped("npm reaches no registry".to_owned()))
}

/// Runs every scenario of both specifications.
pub(super) fn conform() -> Result<Outcome> {
    if let Outcome::Skipped(why) = prepare()? {
        return Ok(Outcome::Skipped(why));
    }
    expect_success(&mut cargo(&["build", "--locked", "-p", "mainstay-tools", "--example", "mcp_client"]))?;
    let text = fs::read_to_string(root().join(EXCEPTIONS)).context(EXCEPTIONS)?;
    let exceptions: BTreeMap<String, Exception> = toml::from_str(&text).context(EXCEPTIONS)?;
    ensure!(exceptions.values().all(|exception| !exception.reason.is_empty()), "{EXCEPTIONS}: each has a reason");
    let scenarios = scenarios()?;
    if let Some(gone) = exceptions.keys().find(|name| !scenarios.iter().any(|(scenario, _)| scenario == *name)) {
        bail!("{EXCEPTIONS}: the suite has no scenario `{gone}`");
    }
    let (mut passed, mut excepted, mut wrong) = (0, 0, Vec::new());
    for version in VERSIONS {
        for (scenario, _) in scenarios.iter().filter(|(_, versions)| versions.iter().any(|known| known == version)) {
            let exception =
                exceptions.get(scenario).filter(|exception| exception.versions.iter().any(|v| v == version));
            match (run(scenario, version)?, exception) {
                (None, None) => passed += 1,
                (Some(_), Some(exception)) => {
                    excepted += 1;
                    println!("excepted  {version} {scenario}: {}", exception.reason);
                }
                (Some(said), None) => wrong.push(format!("{version} {scenario} fails:\n{said}")),
                (None, Some(_)) => wrong.push(format!("{version} {scenario} passes: take it out of {EXCEPTIONS}")),
            }
        }
    }
    println!("conformance: {passed} scenarios passed, {excepted} excepted, {} wrong", wrong.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(Outcome::Passed)
}

/// The suite's scenarios for clients, and the specifications of each.
fn scenarios() -> Result<Vec<(String, Vec<String>)>> {
    let listed = captured(&mut in_root(NODE, &[SUITE, "list", "--client"]))?;
    let read = |line: &str| {
        let (name, versions) = line.trim().strip_prefix("- ")?.split_once(" [")?;
        Some((name.to_owned(), versions.trim_end_matches(']').split(',').map(str::to_owned).collect()))
    };
    let scenarios: Vec<_> = listed.lines().filter_map(read).collect();
    ensure!(!scenarios.is_empty(), "the suite lists no scenario");
    Ok(scenarios)
}

/// Runs one; returns what it said where it failed.
fn run(scenario: &str, version: &str) -> Result<Option<String>> {
    let client = root().join(CLIENT).display().to_string();
    let mut command: Command = in_root(NODE, &[SUITE, "client", "--command", &client, "--scenario", scenario]);
    if version != EXTENSION {
        command.args(["--spec-version", version]);
    }
    let output = command.output().with_context(|| format!("cannot run scenario {scenario}"))?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let shown = !said.contains(NOTHING) && !said.contains(SKIPPED);
    Ok(Some(said).filter(|_| !output.status.success() || !shown))
}
