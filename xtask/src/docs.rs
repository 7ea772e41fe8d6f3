//! `cargo xtask docs`: the configuration reference, made of the defaults and their comments, so that there is one place
//! where a setting is described. Committed, and compared by a test.

use std::{fmt::Write as _, fs, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::process::root;

/// What the page is made of.
const DEFAULTS: &str = "crates/mainstay/src/config.default.toml";

/// The page.
const PAGE: &str = "docs/reference/configuration.md";

/// What stands before what is generated.
const HEAD: &str = "\
# Configuration

<!-- Made by `cargo xtask docs` from crates/mainstay/src/config.default.toml; change that file. -->

A mistake is refused with file, line and reason. `mainstay config print` shows what is in force and where each value
came from; `mainstay init` writes a file to begin with.
";

/// What to do with the page.
#[derive(Args)]
pub struct Arguments {
    /// Compare with the committed page and write nothing.
    #[arg(long)]
    check: bool,
}

/// Writes or compares the page.
///
/// # Errors
/// Where a file cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let made = made()?;
    let path = root().join(PAGE);
    if !arguments.check {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, made).context(PAGE)?;
        println!("wrote {PAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    if fs::read_to_string(&path).context(PAGE)? == made {
        println!("{PAGE} is what {DEFAULTS} says");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{PAGE}: differs from what {DEFAULTS} says; run `cargo xtask docs`");
    Ok(ExitCode::FAILURE)
}

/// The page as it should be.
fn made() -> Result<String> {
    Ok(page(&fs::read_to_string(root().join(DEFAULTS)).context(DEFAULTS)?))
}

/// The page of a file of defaults: its comments as text, its settings as tables, its examples as they are.
fn page(defaults: &str) -> String {
    let mut page = HEAD.to_owned();
    for block in defaults.split("\n\n") {
        let lines: Vec<_> = block.lines().filter(|line| !line.is_empty()).collect();
        let header = lines.iter().position(|line| line.starts_with('['));
        if let Some(at) = header {
            let section = lines[at].trim_matches(['[', ']']);
            let _ = write!(page, "\n## `[{section}]`\n\n{}\n\n", prose(&lines[..at]));
            settings(&mut page, section, &lines[at + 1..]);
        } else if lines.first().is_some_and(|line| line.starts_with("# [[")) {
            example(&mut page, &lines);
        } else if !lines.is_empty() {
            let _ = write!(page, "\n{}\n", prose(&lines));
        }
    }
    page
}

/// A table of the settings of a section: each after its comment.
fn settings(page: &mut String, section: &str, lines: &[&str]) {
    page.push_str("| setting | default | variable | what it is |\n|---|---|---|---|\n");
    let mut comment = Vec::new();
    for line in lines {
        let Some((name, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            comment.push(*line);
            continue;
        };
        let variable = format!("MAINSTAY_{}_{}", section.to_uppercase(), name.to_uppercase());
        let text = prose(&comment).replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(page, "| `{name}` | `{value}` | `{variable}` | {text} |");
        comment.clear();
    }
}

/// A commented-out list, as it would be written.
fn example(page: &mut String, lines: &[&str]) {
    let name = lines.first().map_or("", |line| line.trim_start_matches("# ").split("]]").next().unwrap_or_default());
    let _ = write!(page, "\n### `{name}]]`\n\n```toml\n");
    lines.iter().for_each(|line| page.push_str(&format!("{}\n", uncommented(line))));
    page.push_str("```\n");
}

fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| uncommented(line)).collect::<Vec<_>>().join("\n")
}

fn uncommented(line: &str) -> &str {
    line.strip_prefix("# ").unwrap_or_else(|| line.trim_start_matches('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_what_the_defaults_say() {
        let committed = fs::read_to_string(root().join(PAGE)).unwrap();
        assert!(committed == made().unwrap(), "run `cargo xtask docs`");
    }

    #[test]
    fn every_setting_is_a_row_and_every_list_an_example() {
        let defaults = "# Head.\n\n# Of a.\n[a]\n# One,\n# two | three.\nb_ms = 5\n# Four.\nc = \"\"\n\n# Text.\n\n# [[d]]\n# e = 1  # f\n";
        let made = page(defaults);
        let expected = "\nHead.\n\n## `[a]`\n\nOf a.\n\n| setting | default | variable | what it is |\n|---|---|---|---|\n\
            | `b_ms` | `5` | `MAINSTAY_A_B_MS` | One, two \\| three. |\n| `c` | `\"\"` | `MAINSTAY_A_C` | Four. |\n\
            \nText.\n\n### `[[d]]`\n\n```toml\n[[d]]\ne = 1  # f\n```\n";
        assert_eq!(made.strip_prefix(HEAD).unwrap(), expected);
    }
}
