//! What cargo knows of the workspace, and the rule about dependencies: from the workspace's list, without default
//! features, each with a line that says why it is there.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use toml::Table;

use super::{Finding, table, tree::Tree};
use crate::process;

/// The page that says why each dependency is there.
const REASONS: &str = "docs/decisions/dependencies.md";
/// What a crate of this workspace is called beyond its folder.
const PREFIX: &str = "mainstay-";

/// `cargo metadata`, as far as the rules need it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    /// Every package of the graph on this platform, members included.
    pub(crate) packages: Vec<Package>,
}

/// A package.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Package {
    /// Its name on the registry.
    pub(crate) name: String,
    /// An SPDX expression.
    pub(crate) license: Option<String>,
    /// Where it came from; `None` is this workspace.
    pub(crate) source: Option<String>,
    /// Where its manifest is.
    pub(crate) manifest_path: String,
    /// What it asks for.
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency as declared.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Dependency {
    /// Its name on the registry.
    pub(crate) name: String,
    /// `None` is an ordinary one; `dev` and `build` are the others.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// Asks cargo, for this machine's platform only, so that nothing needs to be fetched that was not built.
    pub(crate) fn read() -> Result<Self> {
        let about = process::captured(&mut process::in_root("rustc", &["-vV"]))?;
        let host = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
        let arguments = ["metadata", "--format-version", "1", "--filter-platform", host];
        let text = process::captured(&mut process::cargo(&arguments))?;
        serde_json::from_str(&text).context("cargo metadata has another shape")
    }

    /// The crates of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.source.is_none())
    }
}

impl Package {
    /// Its folder's name, which is what the wall table calls it.
    pub(crate) fn folder(&self) -> &str {
        Path::new(&self.manifest_path).parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or("")
    }
}

/// A dependency as the wall table calls it: a crate of ours by its folder.
pub(crate) fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Checks the workspace's list, its reasons and that members take from it.
pub(crate) fn check(tree: &Tree, _: &Metadata) -> Result<Vec<Finding>> {
    let root: Table = tree.file("Cargo.toml")?.parse().context("Cargo.toml")?;
    let listed =
        root.get("workspace").and_then(|workspace| workspace.get("dependencies")).and_then(toml::Value::as_table);
    let listed = listed.context("Cargo.toml has no [workspace.dependencies]")?;
    let outside: Vec<_> = listed.iter().filter(|(_, value)| value.get("path").is_none()).collect();
    let names: Vec<&str> = outside.iter().map(|(name, _)| name.as_str()).collect();

    let mut findings = Vec::new();
    for (name, value) in &outside {
        if value.get("default-features").and_then(toml::Value::as_bool) != Some(false) {
            findings.push(Finding::new("Cargo.toml", 0, format!("`{name}` needs default-features = false")));
        }
    }
    findings.extend(reasons(tree.file(REASONS)?, &names));
    let used = members(tree, listed, &mut findings)?;
    for name in names.iter().filter(|name| !used.iter().any(|used| used == *name)) {
        findings.push(Finding::new("Cargo.toml", 0, format!("no member uses `{name}`; remove it")));
    }
    Ok(findings)
}

fn reasons(page: &str, names: &[&str]) -> Vec<Finding> {
    let rows = table::rows(page, &["crate", "why", "licence"]);
    let explained: Vec<&str> = rows.iter().flat_map(|row| table::quoted(row.cells[0])).collect();
    let missing = names.iter().filter(|name| !explained.contains(name));
    let stale = explained.iter().filter(|name| !names.contains(name));
    missing
        .map(|name| format!("no line says why `{name}` is there"))
        .chain(stale.map(|name| format!("`{name}` is no dependency any more; remove its line")))
        .map(|what| Finding::new(REASONS, 0, what))
        .collect()
}

/// Names that members take; one that is not from the list is a finding.
fn members(tree: &Tree, listed: &Table, findings: &mut Vec<Finding>) -> Result<Vec<String>> {
    let mut used = Vec::new();
    for (path, text) in tree.ending("/Cargo.toml") {
        let manifest: Table = text.parse().with_context(|| path.to_owned())?;
        if manifest.contains_key("workspace") {
            // Another workspace (`fuzz/`): nothing of it is built with this one.
            continue;
        }
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest.get(kind).and_then(toml::Value::as_table).into_iter().flatten() {
                let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                if !inherited && !listed.get(name).is_some_and(|listed| narrows(value, listed)) {
                    findings.push(Finding::new(path, 0, format!("`{name}` must come from the workspace's list")));
                }
                used.push(name.clone());
            }
        }
    }
    Ok(used)
}

/// Whether a member takes the listed version with fewer features, which inheriting cannot say.
fn narrows(value: &toml::Value, listed: &toml::Value) -> bool {
    let field = |value: &toml::Value, name: &str| value.get(name).cloned();
    let features =
        |value: &toml::Value| value.get("features").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let offered = features(listed);
    ["version", "default-features"]
        .iter()
        .all(|name| value.get(name).is_some() && field(value, name) == field(listed, name))
        && features(value).iter().all(|feature| offered.contains(feature))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "| crate | why | licence |\n|---|---|---|\n| `a` | x | MIT |\n";

    fn found(root: &str, member: &str, page: &str) -> Vec<String> {
        let tree = Tree::sample(&[("Cargo.toml", root), ("crates/x/Cargo.toml", member), (REASONS, page)]);
        check(&tree, &Metadata::default()).unwrap().into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_lean_explained_used_dependency_passes() {
        let root = "[workspace.dependencies]\na = { version = \"1\", default-features = false }\n";
        assert!(found(root, "[dependencies]\na.workspace = true\n", PAGE).is_empty());
    }

    #[test]
    fn default_features_are_found() {
        let root = "[workspace.dependencies]\na = \"1\"\n";
        let found = found(root, "[dependencies]\na.workspace = true\n", PAGE);
        assert_eq!(found, ["`a` needs default-features = false"]);
    }

    #[test]
    fn missing_and_stale_reasons_are_found() {
        let root = "[workspace.dependencies]\nb = { version = \"1\", default-features = false }\n";
        let found = found(root, "[dependencies]\nb.workspace = true\n", PAGE);
        assert_eq!(found, ["no line says why `b` is there", "`a` is no dependency any more; remove its line"]);
    }

    #[test]
    fn a_members_own_version_and_an_unused_line_are_found() {
        let root = "[workspace.dependencies]\na = { version = \"1\", default-features = false }\n";
        let found = found(root, "[dev-dependencies]\nc = \"1\"\n", PAGE);
        assert_eq!(found, ["`c` must come from the workspace's list", "no member uses `a`; remove it"]);
    }

    #[test]
    fn another_workspace_has_a_list_of_its_own() {
        let root = "[workspace.dependencies]\n";
        assert!(
            found(root, "[workspace]\n[dependencies]\nc = \"1\"\n", "| crate | why | licence |\n|---|---|---|\n")
                .is_empty()
        );
    }

    #[test]
    fn a_member_may_take_fewer_features_and_not_more() {
        let root = "[workspace.dependencies]\na = { version = \"1\", default-features = false, features = [\"x\"] }\n";
        let member = |feature| {
            format!("[dependencies]\na = {{ version = \"1\", default-features = false, features = [{feature}] }}\n")
        };
        assert!(found(root, &member(""), PAGE).is_empty());
        assert_eq!(found(root, &member("\"y\""), PAGE), ["`a` must come from the workspace's list"]);
    }
}
