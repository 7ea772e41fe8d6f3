//! The text files of the workspace in memory, so that a rule can be shown a small bad sample.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};

/// Kinds of file that are read.
const KINDS: &[&str] = &["rs", "toml", "md", "py", "sh", "yml", "yaml", "service"];
/// Other files that are read too.
const NAMED: &[&str] = &[".ci/run", "deploy/Dockerfile", "docs/openapi.json"];
/// Folders that are not ours: build output, the repository's own records, what tools leave behind.
const FOREIGN: &[&str] = &["target", ".git", "__pycache__", "node_modules", ".venv"];

/// Files by their path relative to the root, with `/`.
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the workspace.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        walk(root, "", &mut files)?;
        Ok(Self { files })
    }

    /// A small sample.
    #[cfg(test)]
    pub(crate) fn sample(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// A file that must exist.
    pub(crate) fn file(&self, path: &str) -> Result<&str> {
        self.files.get(path).map(String::as_str).with_context(|| format!("{path} is missing"))
    }

    /// Whether a file was read.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Every file, in the order of paths.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Files whose name ends so.
    pub(crate) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.all().filter(move |(path, _)| path.ends_with(end))
    }

    /// Rust files that are not tests as a whole.
    pub(crate) fn shipped_rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ending(".rs").filter(|(path, _)| !is_test_file(path))
    }
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/benches/")
}

fn walk(root: &Path, under: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    let folder = root.join(under);
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if under.is_empty() { name.clone() } else { format!("{under}/{name}") };
        if entry.file_type()?.is_dir() {
            if !FOREIGN.contains(&name.as_str()) {
                walk(root, &path, files)?;
            }
        } else if NAMED.contains(&path.as_str()) || KINDS.iter().any(|kind| name.ends_with(&format!(".{kind}"))) {
            let text = fs::read_to_string(entry.path()).with_context(|| format!("cannot read {path}"))?;
            files.insert(path, text);
        }
    }
    Ok(())
}
