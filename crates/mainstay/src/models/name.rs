//! What a model is called: on the command line, in the configuration, and as the name of its file.

use std::{fmt, str::FromStr};

use anyhow::{Error, Result, bail};
use serde::{Deserialize, Serialize};

/// Longest name, bytes: with every ending it is still a file name anywhere.
const LONGEST: usize = 96;

/// A name that is safe as a file's: lower-case letters, digits, `.`, `_` and `-`, a letter or digit first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Name(String);

impl Name {
    /// The name that a file suggests: its own without the ending, in lower case, anything else as `-`.
    pub(crate) fn of_file(file: &str) -> Result<Self> {
        let stem = file.strip_suffix(".gguf").or_else(|| file.strip_suffix(".GGUF")).unwrap_or(file);
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let text: String = stem.chars().map(|c| if fits(c) { c.to_ascii_lowercase() } else { '-' }).collect();
        text.trim_matches(['.', '_', '-']).parse()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'_' | b'-');
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !begins || text.len() > LONGEST || !text.bytes().all(fits) {
            bail!(
                "{text:?} cannot be a model's name: lower-case letters, digits, `.`, `_`, `-`, at most {LONGEST} bytes"
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Name {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_name_never_leaves_its_folder() {
        for wrong in ["", ".", "..", "../x", "a/b", "/a", "-a", ".a", "A", "a b", "a\0", &"a".repeat(97)] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong:?}");
        }
        assert_eq!("qwen2.5-coder_0".parse::<Name>().unwrap().as_str(), "qwen2.5-coder_0");
    }

    #[test]
    fn a_file_suggests_a_name() {
        assert_eq!(Name::of_file("SmolLM2 135M.Q4_1.gguf").unwrap().as_str(), "smollm2-135m.q4_1");
        assert!(Name::of_file("….gguf").is_err());
    }
}
