//! Every code that a client can be told has its page under docs/errors, and every page a code.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What comes before a code in the sources of the edge and of the wires.
const MARKS: [&str; 4] = ["with_code(", "code: ", "code = ", "error("];

/// What stands in an arm that gives a reason its word.
const REASONS: [&str; 2] = ["ErrorCode::", "FailureKind::"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files that are not read: tests, and what an exported trace calls the end of an inference, which is no error's code.
const OTHERS: [&str; 2] = ["tests.rs", "trace.rs"];

/// Every Rust file of a folder that may hold codes.
fn sources(folder: &Path, texts: &mut Vec<String>) {
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, texts);
        } else if name.ends_with(".rs") && !OTHERS.contains(&name.as_str()) {
            let text = fs::read_to_string(&path).unwrap();
            texts.push(text.split("#[cfg(test)]").next().unwrap().to_owned());
        }
    }
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Codes that stand in the text as literals, or as constants of the same file.
fn codes_of(text: &str) -> BTreeSet<String> {
    let constant = |name: &str| {
        let rest = text.split(&format!("const {name}: &str = \"")).nth(1)?;
        rest.split('"').next().map(str::to_owned)
    };
    let after = |mark: &'static str| text.split(mark).skip(1);
    let named = MARKS.into_iter().flat_map(after).filter_map(|rest| match rest.strip_prefix('"') {
        Some(literal) => literal.split('"').next().map(str::to_owned),
        None => {
            let name = rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next()?;
            (!name.is_empty()).then(|| constant(name))?
        }
    });
    // A wire's words for the reasons of a failed turn or inference: the last text of an arm, on its line or the next.
    let arms = text
        .lines()
        .zip(std::iter::once("").chain(text.lines()))
        .filter(|(line, before)| REASONS.iter().any(|mark| line.contains(mark) || before.contains(mark)));
    let words = arms.filter(|(line, _)| !line.contains("::new(")).filter_map(|(line, _)| line.rsplit('"').nth(1));
    let words = words.filter(|word| word.contains('_')).map(str::to_owned);
    named.chain(words).filter(|code| is_code(code)).collect()
}

/// The reasons of a failed turn, as the journal and the Agents wire write them.
fn codes_of_turns() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("crates/session/src/event.rs")).unwrap();
    let body = text.split("pub enum ErrorCode {").nth(1).unwrap().split('}').next().unwrap();
    let variants = body.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.is_empty());
    variants.map(|variant| snake(variant.trim_end_matches(','))).collect()
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let mut texts = Vec::new();
    for folder in ["crates/api/src", "crates/wire/src"] {
        sources(&root().join(folder), &mut texts);
    }
    let mut codes: BTreeSet<String> = texts.iter().flat_map(|text| codes_of(text)).collect();
    codes.extend(codes_of_turns());
    let pages = fs::read_dir(root().join("docs/errors")).unwrap();
    let pages = pages.map(|page| page.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<_> = pages.filter(|page| page != "README.md").map(|page| page.replace(".md", "")).collect();
    assert_eq!(
        codes.difference(&pages).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "codes without a page: write docs/errors/CODE.md and its row"
    );
    assert_eq!(pages.difference(&codes).collect::<Vec<_>>(), Vec::<&String>::new(), "pages without a code");
    let index = fs::read_to_string(root().join("docs/errors/README.md")).unwrap();
    for page in &pages {
        assert!(index.contains(&format!("| [{page}]({page}.md) | ")), "{page} is not in the index");
        let text = fs::read_to_string(root().join(format!("docs/errors/{page}.md"))).unwrap();
        assert!(text.starts_with(&format!("# {page}: ")) && text.contains("**What to do.**"), "{page}");
    }
}

#[test]
fn codes_are_found_as_literals_constants_and_words() {
    let text = "const BUSY: &str = \"session_busy\";\n x.with_code(BUSY).with_code(\"a_b\"); Invalid { code: \"c\" }\n\
        ErrorCode::One => \"first_word\",\n ErrorCode::Two\n | ErrorCode::Three => \"server_error\", with_code(code)\n\
        FailureKind::Four => (502, \"kind_error\", \"fourth_word\"),\n FailureKind::Five => {\n (1, \"fifth_word\")\n }";
    let expected = ["a_b", "c", "fifth_word", "first_word", "fourth_word", "server_error", "session_busy"];
    let expected = expected.map(str::to_owned);
    assert_eq!(codes_of(text), BTreeSet::from(expected));
    assert_eq!(snake("ContextLengthExceeded"), "context_length_exceeded");
}
