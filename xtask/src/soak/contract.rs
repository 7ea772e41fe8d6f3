//! Schemathesis over our own OpenAPI document, at length. The test is `tests/python/test_schemathesis.py`; CI runs it
//! short.

use crate::{
    phase::{Outcome, Phase},
    process::{cargo, expect_success, in_root},
    test::{FAULTS, python},
};

/// How many requests are made of each operation and phase.
const EXAMPLES: u64 = 300;

/// The soak.
pub(super) fn phase(amount: Option<u64>) -> Phase {
    let run = move || {
        expect_success(&mut cargo(&["build", "--package", "mainstay", "--features", FAULTS, "--locked"]))?;
        python::prepare()?;
        let arguments = ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/python/test_schemathesis.py"];
        let mut command = in_root(python::PYTHON, &arguments);
        let examples = amount.unwrap_or(EXAMPLES).to_string();
        expect_success(command.env("MAINSTAY_SOAK", "1").env("MAINSTAY_EXAMPLES", examples))?;
        Ok(Outcome::Passed)
    };
    let shows = "requests made of our own OpenAPI document: no 5xx, no answer that it does not describe";
    Phase { name: "schemathesis", shows, needs: &[], run: Box::new(run) }
}
