//! A text of policies, as it is loaded.

/// The standard policy, commented.
pub(crate) const STANDARD: &str = include_str!("default.cedar");

/// A named text of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What faults call it: a file's name.
    pub name: String,
    /// Policies in Cedar's language.
    pub text: String,
}

impl Source {
    /// The standard policy, for loading it together with an operator's own.
    pub fn standard() -> Self {
        Self { name: "default.cedar".to_owned(), text: STANDARD.to_owned() }
    }
}
