//! Two rules of form: every file begins by saying what it is; nothing unfinished and no machine's path stays in.

use anyhow::Result;

use super::{
    Finding,
    manifest::Metadata,
    source::{Source, line_of},
    tree::Tree,
};

/// Most lines that a file's opening words may take.
const LONGEST_HEADER: usize = 5;
/// Marks of unfinished work, and what hides a failing test. Split so that this file passes its own rule.
const UNFINISHED: &[&str] = &[concat!("todo", "!"), concat!("unimplemented", "!"), concat!("#[ig", "nore")];
/// Where somebody's machine keeps things.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Every Rust file begins with one to five lines of `//!`.
pub(crate) fn check_headers(tree: &Tree, _: &Metadata) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let header = text.lines().take_while(|line| line.starts_with("//!")).count();
        if header == 0 {
            findings.push(Finding::new(
                path,
                1,
                "begin with `//!`: what this is, what it must not know, where to start",
            ));
        } else if header > LONGEST_HEADER {
            let what = format!("the opening has {header} lines; at most {LONGEST_HEADER}, the rest belongs on items");
            findings.push(Finding::new(path, 1, what));
        }
    }
    Ok(findings)
}

/// No unfinished code, no skipped test, no path of somebody's machine.
pub(crate) fn check_leftovers(tree: &Tree, _: &Metadata) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let code = Source::new(text).code;
        for mark in UNFINISHED {
            let places = code.match_indices(mark).map(|(at, _)| line_of(&code, at));
            findings.extend(places.map(|line| Finding::new(path, line, format!("`{mark}` is not for the tree"))));
        }
    }
    for (path, text) in tree.all() {
        for machine in MACHINE_PATHS {
            let places = text.match_indices(machine).filter(|(at, _)| is_absolute(&text[..*at]));
            let what = format!("`{machine}` is a path of somebody's machine");
            findings.extend(places.map(|(at, _)| Finding::new(path, line_of(text, at), what.clone())));
        }
    }
    Ok(findings)
}

/// Whether a path that comes after this text begins there, rather than going on (as `…/environments/{id}/…` does).
fn is_absolute(before: &str) -> bool {
    before.chars().next_back().is_none_or(|c| !c.is_alphanumeric() && !"}/._-~".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Tree, &Metadata) -> Result<Vec<Finding>>, path: &str, text: &str) -> Vec<usize> {
        let findings = rule(&Tree::sample(&[(path, text)]), &Metadata::default()).unwrap();
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_file_without_opening_words_is_found() {
        assert_eq!(lines(check_headers, "a.rs", "fn a() {}\n"), [1]);
        assert_eq!(lines(check_headers, "a.rs", &"//! x\n".repeat(6)), [1]);
        assert!(lines(check_headers, "a.rs", "//! x\nfn a() {}\n").is_empty());
    }

    #[test]
    fn unfinished_code_is_found_and_words_about_it_are_not() {
        let bad = format!("//! x\nfn a() {{ {}() }}\n// {0}\n", UNFINISHED[0]);
        assert_eq!(lines(check_leftovers, "a.rs", &bad), [2]);
        let skipped = format!("//! x\n#[test]\n{}]\nfn a() {{}}\n", UNFINISHED[2]);
        assert_eq!(lines(check_leftovers, "a.rs", &skipped), [3]);
    }

    #[test]
    fn machine_paths_are_found_in_any_text() {
        let path = MACHINE_PATHS[0];
        assert_eq!(lines(check_leftovers, "a.md", &format!("x\nsee `{path}main`\n")), [2]);
        assert!(lines(check_leftovers, "a.md", &format!("POST /v1/environments/x{path}poll\n")).is_empty());
    }
}
