//! Names of files, modules and types that say nothing. `docs/glossary.md` has the words that do.

use anyhow::Result;

use super::{
    Finding,
    manifest::Metadata,
    source::{Source, line_of, words},
    tree::Tree,
};

/// Empty wherever they stand in a name.
const EMPTY: &[&str] =
    &["manager", "helper", "helpers", "util", "utils", "processor", "legacy", "common", "misc", "v2"];
/// Empty as the last word: a `ServiceTier` is something, a `ChatService` is not.
const EMPTY_AT_END: &[&str] = &["service", "services", "data", "info", "new"];
/// What a name is given by.
const DECLARES: &[&str] = &["mod", "struct", "enum", "trait", "type", "union"];
/// Associated types that a foreign trait names so: HTTP bodies'.
const FOREIGN: &[&str] = &["Data"];

/// Checks the names of files, modules and types.
pub(crate) fn check(tree: &Tree, _: &Metadata) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        for part in path.trim_end_matches(".rs").split('/') {
            if let Some(word) = empty_word(part) {
                findings.push(Finding::new(path, 0, format!("`{word}` says nothing; name the file by its concept")));
            }
        }
        let code = Source::new(text).code;
        let mut declares = false;
        for (at, word) in words(&code) {
            if let (true, Some(empty)) = (declares && !FOREIGN.contains(&word), empty_word(word)) {
                let what = format!("`{word}`: `{empty}` says nothing");
                findings.push(Finding::new(path, line_of(&code, at), what));
            }
            declares = DECLARES.contains(&word);
        }
    }
    Ok(findings)
}

fn empty_word(name: &str) -> Option<String> {
    let words = split(name);
    let inside = words.iter().find(|word| EMPTY.contains(&word.as_str()));
    let at_end = words.last().filter(|word| EMPTY_AT_END.contains(&word.as_str()));
    inside.or(at_end).cloned()
}

/// The words of a snake, kebab or camel name, in lower case.
fn split(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    for c in name.chars() {
        if c.is_uppercase() || "_-".contains(c) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let findings = check(&Tree::sample(&[(path, text)]), &Metadata::default()).unwrap();
        findings.into_iter().map(|finding| (finding.line, finding.what)).collect()
    }

    #[test]
    fn empty_names_are_found() {
        assert_eq!(found("crates/a/src/text_utils.rs", "//! x\n").len(), 1);
        assert_eq!(
            found("a.rs", "//! x\nstruct TurnManager;\n"),
            [(2, "`TurnManager`: `manager` says nothing".into())]
        );
        assert_eq!(found("a.rs", "enum EventInfo {}\ntrait ChatService {}\nmod helper;\ntype KeyV2 = u8;\n").len(), 4);
    }

    #[test]
    fn full_names_and_prose_pass() {
        let text = "//! a manager\nstruct ServiceTier;\nenum NewestFirst {}\n// struct Manager\nfn new() {}\n";
        assert!(found("crates/a/src/data_plane.rs", text).is_empty());
    }
}
