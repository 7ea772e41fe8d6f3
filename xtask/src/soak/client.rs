//! Soaks with programs that are not ours to keep: a compliance suite that is fetched by hand, and a model server on
//! this machine. Each is a file of Python tests; what is missing is said and skipped.

use std::path::Path;

use anyhow::Result;

use crate::{
    phase::{Outcome, Phase},
    process::{cargo, expect_success, in_root, root},
    test::{FAULTS, node, python},
    up::{self, tools},
};

/// The path of a checkout of the Open Responses suite.
const CHECKOUT: &str = "MAINSTAY_OPEN_RESPONSES";
/// What it runs on and needs, with exact versions.
const SUITE_NEEDS: [&str; 2] = ["bun@1.4.5", "zod@3.25.76"];
/// Where that is installed.
const SUITE: &str = "target/node/open-responses";

/// Where the model of the embedded engine is installed; the tests look for it there.
const ENGINE_DATA: &str = "target/tmp/local-server";

/// The phases, in the order of `cargo xtask soak --list`.
pub(super) fn phases() -> Vec<Phase> {
    vec![
        Phase {
            name: "open-responses",
            shows: "every test of the Open Responses suite, over HTTP and WebSocket",
            needs: &[],
            run: Box::new(open_responses),
        },
        Phase {
            name: "local-server",
            shows: "each client family by each upstream family, with the embedded model behind its own port",
            needs: &[],
            run: Box::new(local_server),
        },
    ]
}

fn open_responses() -> Result<Outcome> {
    let checkout = std::env::var(CHECKOUT).unwrap_or_default();
    if !Path::new(&checkout).join("bin/compliance-test.ts").exists() {
        return Ok(Outcome::Skipped(format!("{CHECKOUT} names no checkout of the suite")));
    }
    prepare()?;
    if let Some(missing) = node::prepare()? {
        return Ok(Outcome::Skipped(missing));
    }
    let arguments: Vec<_> = ["install", "--no-save"].into_iter().chain(SUITE_NEEDS).collect();
    node::npm(&arguments, SUITE)?;
    tests("test_open_responses.py")
}

fn local_server() -> Result<Outcome> {
    if let Err(error) = tools::for_llama() {
        return Ok(Outcome::Skipped(format!("{error:#}")));
    }
    up::build(false)?;
    let data = root().join(ENGINE_DATA);
    up::model(&up::server::binary(), &data)?;
    prepare()?;
    tests("test_local_server.py")
}

fn prepare() -> Result<()> {
    expect_success(&mut cargo(&["build", "--package", "mainstay", "--features", FAULTS, "--locked"]))?;
    python::prepare().map(|_| ())
}

fn tests(file: &str) -> Result<Outcome> {
    let path = format!("{}/{file}", python::SOAKS);
    expect_success(&mut in_root(python::PYTHON, &["-m", "pytest", &path, "-q", "-s", "-p", "no:cacheprovider"]))?;
    Ok(Outcome::Passed)
}
