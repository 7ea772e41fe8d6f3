//! Sizes, as a ratchet: a file past 400 code lines needs an entry with its size and a reason in
//! `xtask/long-files.toml`, may shrink but not grow, and never passes 600. Functions end by 70 lines. Tests are free.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Finding, manifest::Metadata, source::Source, tree::Tree};

/// Past this a file must say why.
const LONG_FILE: usize = 400;
/// Past this no reason helps.
const LONGEST_FILE: usize = 600;
/// Past this a function is split.
const LONGEST_FUNCTION: usize = 70;
/// The files that said why.
const ALLOWED: &str = "xtask/long-files.toml";

/// An entry of the list, under the file's path.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    lines: usize,
    reason: String,
}

/// Checks files and functions.
pub(crate) fn check(tree: &Tree, _: &Metadata) -> Result<Vec<Finding>> {
    let allowed: BTreeMap<String, Long> = toml::from_str(tree.file(ALLOWED)?).context(ALLOWED)?;
    let mut findings: Vec<Finding> = allowed
        .iter()
        .filter(|(path, _)| !tree.has(path))
        .map(|(path, _)| Finding::new(ALLOWED, 0, format!("{path} is gone; remove its entry")))
        .collect();
    for (path, text) in tree.shipped_rust() {
        let source = Source::new(text);
        if let Some(what) = file_objection(source.code_lines(), allowed.get(path)) {
            findings.push(Finding::new(path, 0, what));
        }
        for function in source.functions().into_iter().filter(|function| function.lines > LONGEST_FUNCTION) {
            let what = format!("`{}` has {} lines; past {LONGEST_FUNCTION} split it", function.name, function.lines);
            findings.push(Finding::new(path, function.line, what));
        }
    }
    Ok(findings)
}

fn file_objection(lines: usize, entry: Option<&Long>) -> Option<String> {
    if lines > LONGEST_FILE {
        return Some(format!("{lines} code lines; past {LONGEST_FILE} it must be split"));
    }
    match entry {
        None if lines > LONG_FILE => Some(format!("{lines} code lines; split it or give a reason in {ALLOWED}")),
        None => None,
        Some(_) if lines <= LONG_FILE => Some(format!("{lines} code lines; remove its entry from {ALLOWED}")),
        Some(long) if lines > long.lines => Some(format!("grew from {} to {lines} code lines", long.lines)),
        Some(long) if long.reason.trim().is_empty() => Some(format!("its entry in {ALLOWED} gives no reason")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: usize, list: &str) -> Vec<String> {
        let text = "const A: u8 = 1;\n".repeat(lines);
        let tree = Tree::sample(&[("crates/a/src/b.rs", &text), (ALLOWED, list)]);
        check(&tree, &Metadata::default()).unwrap().into_iter().map(|finding| finding.what).collect()
    }

    fn entry(lines: usize, reason: &str) -> String {
        format!("[\"crates/a/src/b.rs\"]\nlines = {lines}\nreason = \"{reason}\"\n")
    }

    #[test]
    fn a_long_file_needs_a_reason_and_may_not_grow() {
        assert!(found(400, "").is_empty());
        assert!(found(401, "")[0].starts_with("401 code lines; split it"));
        assert!(found(450, &entry(450, "one table")).is_empty());
        assert_eq!(found(451, &entry(450, "one table")), ["grew from 450 to 451 code lines"]);
        assert!(found(450, &entry(450, " "))[0].contains("gives no reason"));
    }

    #[test]
    fn no_reason_helps_past_the_end() {
        assert!(found(601, &entry(700, "one table"))[0].contains("must be split"));
    }

    #[test]
    fn stale_entries_are_found() {
        assert!(found(10, &entry(450, "one table"))[0].contains("remove its entry"));
        let gone = check(&Tree::sample(&[(ALLOWED, &entry(450, "x"))]), &Metadata::default()).unwrap();
        assert!(gone[0].what.contains("is gone"));
    }

    #[test]
    fn long_functions_are_found_unless_they_are_tests() {
        let long = format!("fn long() {{\n{}}}\n", "    a();\n".repeat(69));
        let tree = |path: &str| Tree::sample(&[(path, &long), (ALLOWED, "")]);
        let shipped = check(&tree("crates/a/src/b.rs"), &Metadata::default()).unwrap();
        assert_eq!(shipped[0].what, "`long` has 71 lines; past 70 split it");
        assert!(check(&tree("crates/a/tests/b.rs"), &Metadata::default()).unwrap().is_empty());
    }
}
