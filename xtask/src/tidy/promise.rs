//! `docs/promises.md`: each promise has a row; a promise that is shown names tests, and those tests exist.

use anyhow::Result;

use super::{Finding, manifest::Metadata, source::words, table, tree::Tree};

/// The page with the table.
const PAGE: &str = "docs/promises.md";
/// How its header begins.
const HEADER: &[&str] = &["promise", "what it says", "tests", "state"];
/// P1 to P10.
const PROMISES: usize = 10;

/// Checks rows, states and that the named tests exist.
pub(crate) fn check(tree: &Tree, _: &Metadata) -> Result<Vec<Finding>> {
    let rows = table::rows(tree.file(PAGE)?, HEADER);
    let mut findings = Vec::new();
    for number in 1..=PROMISES {
        let label = format!("P{number}");
        if rows.iter().filter(|row| row.cells[0] == label).count() != 1 {
            findings.push(Finding::new(PAGE, 0, format!("{label} needs one row")));
        }
    }
    for row in rows {
        let [label, _, tests, state] = row.cells[..] else {
            findings.push(Finding::new(PAGE, row.line, "the row needs four cells"));
            continue;
        };
        let tests = table::quoted(tests);
        match state {
            "open" => {}
            "shown" | "partly" if tests.is_empty() => {
                findings.push(Finding::new(PAGE, row.line, format!("{label} is said to be {state}, by which test?")));
            }
            "shown" | "partly" => {
                let missing = tests.iter().filter(|test| !exists(tree, test));
                findings.extend(missing.map(|test| Finding::new(PAGE, row.line, format!("there is no test `{test}`"))));
            }
            other => findings.push(Finding::new(PAGE, row.line, format!("`{other}` is none of open, partly, shown"))),
        }
    }
    Ok(findings)
}

/// Whether a function of that name exists: `fn` in Rust, `def` in Python. A path before the name is for the reader.
fn exists(tree: &Tree, test: &str) -> bool {
    let name = test.rsplit("::").next().unwrap_or(test);
    let declared = |text: &str, keyword: &str| {
        let mut before = "";
        words(text).any(|(_, word)| std::mem::replace(&mut before, word) == keyword && word == name)
    };
    tree.ending(".rs").any(|(_, text)| declared(text, "fn"))
        || tree.ending(".py").any(|(_, text)| declared(text, "def"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(change: &str) -> Vec<String> {
        let mut page = "| promise | what it says | tests | state |\n|---|---|---|---|\n".to_owned();
        for number in 2..=PROMISES {
            page.push_str(&format!("| P{number} | x | planned | open |\n"));
        }
        page.push_str(change);
        let tree = Tree::sample(&[(PAGE, &page), ("crates/a/tests/it.rs", "//! x\nfn kills_lose_nothing() {}\n")]);
        check(&tree, &Metadata::default()).unwrap().into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_shown_promise_with_its_test_passes() {
        assert!(found("| P1 | x | `a::kills_lose_nothing` | shown |\n").is_empty());
    }

    #[test]
    fn a_missing_promise_is_found() {
        assert_eq!(found(""), ["P1 needs one row"]);
    }

    #[test]
    fn a_missing_test_is_found() {
        assert_eq!(found("| P1 | x | `kills_lose_all` | shown |\n"), ["there is no test `kills_lose_all`"]);
        assert_eq!(found("| P1 | x | `kills_lose_all` | partly |\n"), ["there is no test `kills_lose_all`"]);
        assert_eq!(found("| P1 | x | planned | shown |\n"), ["P1 is said to be shown, by which test?"]);
        assert_eq!(found("| P1 | x | planned | partly |\n"), ["P1 is said to be partly, by which test?"]);
    }

    #[test]
    fn an_unknown_state_is_found() {
        assert_eq!(found("| P1 | x | – | done |\n"), ["`done` is none of open, partly, shown"]);
    }
}
