//! Documents: the glossary has the house's words, every decision is in the index, and no link leads nowhere.

use anyhow::Result;

use super::{Finding, manifest::Metadata, source::line_of, table, tree::Tree};

/// The page of words.
const GLOSSARY: &str = "docs/glossary.md";
/// The words that must be in it; more are welcome.
const WORDS: &[&str] = &[
    "agent",
    "session",
    "turn",
    "step",
    "item",
    "command",
    "event",
    "effect",
    "outcome",
    "journal",
    "sequence",
    "batch",
    "wakeup",
    "lease",
    "epoch",
    "inference",
    "provider",
    "model",
    "deployment",
    "place",
    "receipt",
    "principal",
    "tenant",
    "verdict",
    "approval",
];
/// The folders whose pages an index must link.
const INDEXED: &[(&str, &str)] =
    &[("docs/decisions/", "docs/decisions/README.md"), ("docs/guides/", "ARCHITECTURE.md")];

/// Checks the three.
pub(crate) fn check(tree: &Tree, _: &Metadata) -> Result<Vec<Finding>> {
    let mut findings = glossary(tree.file(GLOSSARY)?);
    for (folder, index) in INDEXED {
        let links: Vec<String> = links(tree.file(index)?).map(|(_, link)| resolve(index, link)).collect();
        let pages = tree.all().filter(|(path, _)| path.starts_with(folder) && path != index);
        let unlinked = pages.filter(|(path, _)| !links.iter().any(|link| link == path));
        findings.extend(unlinked.map(|(path, _)| Finding::new(path, 0, format!("{index} does not link it"))));
    }
    for (path, text) in tree.ending(".md") {
        for (line, link) in links(text) {
            let target = resolve(path, link);
            let known = tree.has(&target) || tree.all().any(|(file, _)| file.starts_with(&format!("{target}/")));
            // Licences have no extension and are not read.
            if !known && !target.starts_with("LICENSE-") {
                findings.push(Finding::new(path, line, format!("`{link}` leads nowhere")));
            }
        }
    }
    Ok(findings)
}

fn glossary(page: &str) -> Vec<Finding> {
    let rows = table::rows(page, &["word", "meaning", "not"]);
    let explained: Vec<&str> = rows.iter().flat_map(|row| row.cells[0].split(", ")).collect();
    let missing = WORDS.iter().filter(|word| !explained.contains(word));
    missing.map(|word| Finding::new(GLOSSARY, 0, format!("`{word}` is missing"))).collect()
}

/// Links of a page that stay within the tree, with their lines, without what follows a `#`.
fn links(page: &str) -> impl Iterator<Item = (usize, &str)> {
    page.match_indices("](").filter_map(|(at, mark)| {
        let link = page[at + mark.len()..].split(')').next()?;
        let link = link.split('#').next().filter(|link| !link.is_empty() && !link.contains("://"))?;
        Some((line_of(page, at), link))
    })
}

/// A link of a page as a path from the root.
fn resolve(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(index: &str, words: &[&str]) -> Vec<String> {
        let mut page = "| word | meaning | not |\n|---|---|---|\n".to_owned();
        words.iter().for_each(|word| page.push_str(&format!("| {word} | x | y |\n")));
        let files = [
            (GLOSSARY, page.as_str()),
            ("docs/decisions/README.md", index),
            ("docs/decisions/0001-x.md", "[back](../glossary.md)\n"),
            ("ARCHITECTURE.md", ""),
        ];
        let findings = check(&Tree::sample(&files), &Metadata::default()).unwrap();
        findings.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn whole_documents_pass() {
        assert!(found("[one](0001-x.md)", WORDS).is_empty());
    }

    #[test]
    fn a_missing_word_is_found() {
        assert_eq!(found("[one](0001-x.md)", &WORDS[1..]), ["docs/glossary.md: `agent` is missing"]);
    }

    #[test]
    fn an_unlinked_decision_is_found() {
        assert_eq!(found("", WORDS), ["docs/decisions/0001-x.md: docs/decisions/README.md does not link it"]);
    }

    #[test]
    fn a_link_to_nowhere_is_found() {
        let index = "[one](0001-x.md)\n[two](0002-y.md#part) [far](https://example.com)";
        assert_eq!(found(index, WORDS), ["docs/decisions/README.md:2: `0002-y.md` leads nowhere"]);
    }
}
