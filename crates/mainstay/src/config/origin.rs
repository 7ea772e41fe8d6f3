//! Where each value came from: a file and its line, a variable, a flag, or the defaults.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `config.default.toml`.
    Default,
    /// A configuration file and the line of the value, from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The origin of each value that is not a default, by dotted name such as `provider[0].base_url`.
#[derive(Debug, Default)]
pub(crate) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Notes the line of every value of a file, and of every table in a list.
    pub(super) fn note_file(&mut self, path: &Path, text: &str, table: &DeTable<'_>) {
        self.note_table("", table, &|at| Origin::File(path.to_owned(), line_of(text, at)));
    }

    pub(super) fn note(&mut self, name: String, origin: Origin) {
        self.0.insert(name, origin);
    }

    /// Where a value came from.
    pub(crate) fn of(&self, name: &str) -> Origin {
        self.0.get(name).cloned().unwrap_or(Origin::Default)
    }

    fn note_table(&mut self, path: &str, table: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin) {
        for (name, value) in table {
            let name = name.get_ref();
            let dotted = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            self.note_value(dotted, value, origin);
        }
    }

    fn note_value(&mut self, name: String, value: &Spanned<DeValue<'_>>, origin: &dyn Fn(usize) -> Origin) {
        match value.get_ref() {
            DeValue::Table(table) => self.note_table(&name, table, origin),
            DeValue::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    self.note_value(format!("{name}[{index}]"), value, origin);
                }
            }
            _ => {}
        }
        self.note(name, origin(value.span().start));
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
