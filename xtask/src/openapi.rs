//! `cargo xtask openapi`: the document that the binary prints, committed, so that a change of the surface is seen.

use std::{fs, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::process::{captured, cargo, root};

/// Where the committed document is.
const DOCUMENT: &str = "docs/openapi.json";

/// What to do with the document.
#[derive(Args)]
pub struct Arguments {
    /// Compare with the committed document and write nothing.
    #[arg(long)]
    check: bool,
}

/// Writes or compares the document.
///
/// # Errors
/// Where the binary cannot print it, or the file cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let printed = captured(&mut cargo(&["run", "--quiet", "--package", "mainstay", "--", "openapi"]))?;
    let path = root().join(DOCUMENT);
    if !arguments.check {
        fs::write(&path, printed).context(DOCUMENT)?;
        println!("wrote {DOCUMENT}");
        return Ok(ExitCode::SUCCESS);
    }
    let committed = fs::read_to_string(&path).context(DOCUMENT)?;
    let Some(line) = first_difference(&committed, &printed) else {
        println!("{DOCUMENT} is what the binary prints");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{DOCUMENT}:{line}: differs from what the binary prints; run `cargo xtask openapi`");
    Ok(ExitCode::FAILURE)
}

/// The first line, from 1, in which two texts differ.
fn first_difference(old: &str, new: &str) -> Option<usize> {
    let same = old.split('\n').zip(new.split('\n')).take_while(|(old, new)| old == new).count();
    (old != new).then_some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_difference_has_a_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\nb\n", "a\nb"), Some(3));
        assert_eq!(first_difference("", "a"), Some(1));
    }
}
