//! The rules of the house as code. Each rule is a pure function from the tree (and what cargo says of it) to
//! findings; nothing here writes. Start with `RULES`.

mod document;
mod form;
mod licence;
mod manifest;
mod name;
mod promise;
mod size;
mod source;
mod table;
mod tree;
mod wall;

use std::{fmt, process::ExitCode};

use anyhow::Result;
use manifest::Metadata;
use tree::Tree;

/// A place where the tree breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the root.
    pub path: String,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.path, self.what),
            line => write!(out, "{}:{line}: {}", self.path, self.what),
        }
    }
}

type Rule = fn(&Tree, &Metadata) -> Result<Vec<Finding>>;

/// Every rule, by the name that is printed.
const RULES: &[(&str, Rule)] = &[
    ("the wall table is what cargo sees", wall::check),
    ("dependencies are lean and explained", manifest::check),
    ("licences and sources are allowed", licence::check),
    ("every file says what it is", form::check_headers),
    ("no leftovers, no machine paths", form::check_leftovers),
    ("files and functions are small", size::check),
    ("names say something", name::check),
    ("promises name their tests", promise::check),
    ("documents are whole", document::check),
];

/// Runs every rule on the workspace.
///
/// # Errors
/// Where the tree or cargo's metadata cannot be read, or a document cannot be understood.
pub fn run() -> Result<Vec<(&'static str, Vec<Finding>)>> {
    let root = crate::process::root();
    let tree = Tree::read(&root)?;
    let metadata = Metadata::read()?;
    RULES.iter().map(|(name, rule)| Ok((*name, rule(&tree, &metadata)?))).collect()
}

/// Runs every rule and prints what it found.
///
/// # Errors
/// As `run`.
pub fn report() -> Result<ExitCode> {
    let mut clean = true;
    for (rule, findings) in run()? {
        println!("{} {rule}", if findings.is_empty() { "ok  " } else { "FAIL" });
        for finding in &findings {
            println!("       {finding}");
        }
        clean &= findings.is_empty();
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
