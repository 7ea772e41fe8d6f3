//! Durable fenced appends of 1 KiB on a private PostgreSQL 18, beside plain SQL with group commit in the same run: an
//! example of `testkit` measures.

use anyhow::Result;

use super::{
    Scale,
    appends::{Aim, figures},
    figure::Figure,
};
use crate::{
    process::{captured, cargo},
    test::postgres,
};

/// Seconds for each case.
const SECONDS: (&str, &str) = ("1", "5");
/// What is held against what.
const AIM: Aim = Aim { row: "postgres", limit: "bare_append", rate: ">= 80 % of limit", worst: "" };

pub(super) fn run(scale: &Scale) -> Result<Vec<Figure>> {
    postgres::newest()?;
    let seconds = if scale.quick { SECONDS.0 } else { SECONDS.1 };
    let example = ["run", "--quiet", "--release", "-p", "mainstay-testkit", "--example", "postgres", "--"];
    figures(&AIM, &captured(cargo(&example).arg(seconds))?)
}
