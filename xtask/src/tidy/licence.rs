//! `deny.toml` against the whole graph: licences, banned crates, sources. The same file serves `cargo deny`, which
//! knows more; this part needs nothing to be installed.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{
    Finding,
    manifest::{Metadata, Package},
    tree::Tree,
};

/// The file with the rules.
const RULES: &str = "deny.toml";
/// How a registry's packages name their source.
const REGISTRY: &str = "registry+";

#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// Checks every package that came from outside.
pub(crate) fn check(tree: &Tree, metadata: &Metadata) -> Result<Vec<Finding>> {
    let deny: Deny = toml::from_str(tree.file(RULES)?).context(RULES)?;
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let Some(source) = &package.source else { continue };
        findings.extend(objections(package, source, &deny).map(|what| Finding::new(RULES, 0, what)));
    }
    Ok(findings)
}

fn objections(package: &Package, source: &str, deny: &Deny) -> impl Iterator<Item = String> {
    let name = &package.name;
    let licence = package.license.as_deref().unwrap_or("");
    let allowed = |id: &str| deny.licenses.allow.iter().any(|allowed| allowed == id);
    let foreign = (!source.starts_with(REGISTRY)).then(|| format!("`{name}` comes from {source}, not from a registry"));
    let banned = deny.bans.deny.iter().find(|ban| ban.name == *name);
    let banned = banned.map(|ban| format!("`{name}` is banned: {}", ban.reason));
    let unlicensed = (!satisfied(licence, &allowed)).then(|| format!("`{name}` has the licence `{licence}`"));
    foreign.into_iter().chain(banned).chain(unlicensed)
}

/// Whether an SPDX expression can be met with what is allowed. `/` is an old way to write OR.
fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = either(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= both(words, allowed);
    }
    met
}

fn both(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        return either(words, allowed) & words.next_if_eq(&")").is_some();
    }
    // An exception only ever adds permissions to the licence before it.
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    allowed(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [{ crate = \"openssl\", reason = \"one TLS\" }]\n";

    fn found(name: &str, licence: &str, source: &str) -> Vec<String> {
        let package = Package {
            name: name.to_owned(),
            license: Some(licence.to_owned()),
            source: Some(source.to_owned()),
            ..Package::default()
        };
        let metadata = Metadata { packages: vec![package] };
        let findings = check(&Tree::sample(&[(RULES, FILE)]), &metadata).unwrap();
        findings.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn an_allowed_package_passes() {
        assert!(found("a", "MIT OR GPL-3.0", "registry+x").is_empty());
    }

    #[test]
    fn licences_bans_and_sources_are_found() {
        assert_eq!(found("a", "GPL-3.0", "registry+x"), ["`a` has the licence `GPL-3.0`"]);
        assert_eq!(found("a", "", "registry+x"), ["`a` has the licence ``"]);
        assert_eq!(found("openssl", "MIT", "registry+x"), ["`openssl` is banned: one TLS"]);
        assert_eq!(found("a", "MIT", "git+x"), ["`a` comes from git+x, not from a registry"]);
    }

    #[test]
    fn expressions_mean_what_spdx_says() {
        let met = |expression| satisfied(expression, &|id| ["MIT", "ISC", "Apache-2.0"].contains(&id));
        assert!(met("GPL-3.0 OR MIT AND ISC"));
        assert!(met("MIT/GPL-3.0"));
        assert!(met("(MIT OR GPL-3.0) AND Apache-2.0 WITH LLVM-exception"));
        assert!(!met("MIT AND GPL-3.0"));
        assert!(!met("(GPL-3.0 OR GPL-2.0) AND MIT"));
        assert!(!met("(MIT"));
        assert!(!met("MIT ISC"));
    }
}
