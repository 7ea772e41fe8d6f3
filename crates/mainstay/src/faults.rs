//! What a test build breaks, from the environment: `MAINSTAY_FAULT_KILL=CommandCommitted:3`, `MAINSTAY_FAULT_BUG=…`.
//! In every other build this is empty.

use anyhow::Result;
use mainstay_runtime::fault::Faults;

/// What to break.
#[cfg(feature = "faults")]
#[allow(clippy::disallowed_methods, reason = "test builds only; no part of the configuration")]
pub(crate) fn from_environment() -> Result<Faults> {
    use anyhow::Context;
    use mainstay_runtime::fault::{BUGS, POINTS};
    let mut faults = Faults::default();
    if let Ok(text) = std::env::var("MAINSTAY_FAULT_KILL") {
        let (name, count) = text.split_once(':').context("MAINSTAY_FAULT_KILL is POINT:COUNT")?;
        let point = POINTS.into_iter().find(|point| format!("{point:?}") == name);
        faults.kill = Some((point.with_context(|| format!("no point {name}"))?, count.parse::<u64>()?.into()));
    }
    if let Ok(name) = std::env::var("MAINSTAY_FAULT_BUG") {
        let bug = BUGS.into_iter().find(|bug| format!("{bug:?}") == name);
        faults.bug = Some(bug.with_context(|| format!("no bug {name}"))?);
    }
    Ok(faults)
}

/// Nothing.
#[cfg(not(feature = "faults"))]
#[allow(clippy::unnecessary_wraps, reason = "the same signature in every build")]
pub(crate) fn from_environment() -> Result<Faults> {
    Ok(Faults::default())
}
