//! The environment of the process, read once and handed down as a value, and the scheme by which it overrides
//! settings: `MAINSTAY_<SECTION>_<NAME>` for each scalar of `config.default.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

/// What every variable of a setting begins with.
const PREFIX: &str = "MAINSTAY_";

/// Short names of the settings that are given most often. The long name wins where both are set.
const SHORT: [(&str, &str); 3] =
    [("MAINSTAY_LISTEN", "server.listen"), ("MAINSTAY_DATA", "server.data_dir"), ("MAINSTAY_LOG", "server.log")];

/// Variables as they were when the process began. Those that are empty count as not set.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

/// A setting that the environment overrides.
#[derive(Debug, PartialEq)]
pub(super) struct Override {
    pub(super) section: String,
    pub(super) name: String,
    pub(super) value: Value,
    pub(super) variable: String,
}

impl Environment {
    /// The environment of this process. What is not text is left out: no setting could be read from it.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(crate) fn read() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// The value of a variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What overrides the settings of `defaults`, whose types say how a value is read.
    ///
    /// # Errors
    /// Where a value is not of its setting's type.
    pub(super) fn overrides(&self, defaults: &Table) -> Result<Vec<Override>> {
        let mut found = Vec::new();
        for (section, name, default) in scalars(defaults) {
            let dotted = format!("{section}.{name}");
            let short = SHORT.into_iter().find(|(_, setting)| *setting == dotted).map(|(variable, _)| variable);
            let variables = [Some(variable_of(section, name)), short.map(str::to_owned)];
            let set = variables.into_iter().flatten().find_map(|variable| Some((self.get(&variable)?, variable)));
            if let Some((text, variable)) = set {
                let value = parse(text, default).with_context(|| format!("${variable} = {text:?} ({dotted})"))?;
                found.push(Override { section: section.to_owned(), name: name.to_owned(), value, variable });
            }
        }
        Ok(found)
    }

    /// Variables that look like a setting's and are none's. They are not refused: container platforms set variables
    /// such as `MAINSTAY_SERVER_PORT` by themselves for a service that is called mainstay-server.
    pub(super) fn strangers(&self, defaults: &Table) -> Vec<String> {
        let known: BTreeSet<_> = scalars(defaults).map(|(section, name, _)| variable_of(section, name)).collect();
        let sections: Vec<_> = defaults.keys().map(|section| variable_of(section, "")).collect();
        let is_stranger = |name: &&String| {
            sections.iter().any(|section| name.starts_with(section.as_str())) && !known.contains(name.as_str())
        };
        self.0.keys().filter(is_stranger).cloned().collect()
    }
}

/// The variable of a setting.
pub(super) fn variable_of(section: &str, name: &str) -> String {
    format!("{PREFIX}{}_{}", section.to_uppercase(), name.to_uppercase())
}

/// Section, name and value of each setting of one value.
fn scalars(defaults: &Table) -> impl Iterator<Item = (&str, &str, &Value)> {
    defaults
        .iter()
        .filter_map(|(section, value)| Some((section, value.as_table()?)))
        .flat_map(|(section, table)| table.iter().map(move |(name, value)| (section.as_str(), name.as_str(), value)))
}

fn parse(text: &str, default: &Value) -> Result<Value> {
    match default {
        Value::String(_) => Ok(Value::String(text.to_owned())),
        Value::Integer(_) => text.parse().map(Value::Integer).ok().context("a whole number is needed"),
        Value::Boolean(_) => text.parse().map(Value::Boolean).ok().context("true or false is needed"),
        other => bail!("a {} cannot come from the environment", other.type_str()),
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
