//! The wall: which crate may use which, as the table of `ARCHITECTURE.md` says, against what cargo sees.
//!
//! A row names a crate; "may use" lists crates of ours and, where "must never know" says `everything else`, the
//! only foreign ones; a name in backticks under "must never know" is forbidden; one under "hides" is for that row alone.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

use super::{
    Finding,
    manifest::{Dependency, Metadata, Package, short},
    table,
    tree::Tree,
};

/// The page with the table.
const PAGE: &str = "ARCHITECTURE.md";
/// How its header begins.
const HEADER: &[&str] = &["crate", "may use", "must never know", "hides"];
/// A row with these words may use nothing but what it lists.
const STRICT: &str = "everything else";
/// What any crate may use in its tests.
const TESTS_ONLY: &str = "testkit";

/// One row.
struct Wall<'a> {
    line: usize,
    may: Vec<&'a str>,
    never: Vec<&'a str>,
    strict: bool,
}

/// The table, and which crates there are.
struct Plan<'a> {
    walls: BTreeMap<&'a str, Wall<'a>>,
    /// Who hides a foreign crate.
    owners: BTreeMap<&'a str, Vec<&'a str>>,
    ours: Vec<&'a str>,
}

/// Compares the table with the graph.
pub(crate) fn check(tree: &Tree, metadata: &Metadata) -> Result<Vec<Finding>> {
    let plan = Plan::read(tree.file(PAGE)?, metadata)?;
    let gone = plan.walls.iter().filter(|(name, _)| !plan.ours.contains(name));
    let gone = gone.map(|(name, wall)| Finding::new(PAGE, wall.line, format!("there is no crate `{name}`")));
    Ok(gone.chain(metadata.members().flat_map(|package| plan.findings(package))).collect())
}

impl<'a> Plan<'a> {
    fn read(page: &'a str, metadata: &'a Metadata) -> Result<Self> {
        let rows = table::rows(page, HEADER);
        ensure!(!rows.is_empty(), "{PAGE} has no wall table");
        let mut plan = Self {
            walls: BTreeMap::new(),
            owners: BTreeMap::new(),
            ours: metadata.members().map(Package::folder).collect(),
        };
        for row in &rows {
            let [names, may, never, hides] = row.cells[..] else {
                bail!("{PAGE}:{}: the row needs {} cells", row.line, HEADER.len());
            };
            let [names, may, hides] = [names, may, hides].map(table::quoted);
            for name in names {
                let strict = never.contains(STRICT);
                plan.walls.insert(name, Wall { line: row.line, may: may.clone(), never: table::quoted(never), strict });
                hides.iter().for_each(|foreign| plan.owners.entry(foreign).or_default().push(name));
            }
        }
        Ok(plan)
    }

    fn findings(&self, package: &Package) -> Vec<Finding> {
        let name = package.folder();
        let Some(wall) = self.walls.get(name) else {
            return vec![Finding::new(PAGE, 0, format!("`{name}` has no row"))];
        };
        let objections = package.dependencies.iter().filter_map(|dependency| {
            let why = self.objection(name, wall, dependency)?;
            Some(Finding::new(PAGE, wall.line, format!("`{name}` depends on `{}`: {why}", short(&dependency.name))))
        });
        objections.collect()
    }

    fn objection(&self, user: &str, wall: &Wall<'_>, dependency: &Dependency) -> Option<String> {
        let name = short(&dependency.name);
        let internal = self.ours.contains(&name);
        if dependency.kind.as_deref() == Some("dev") {
            let allowed = !internal || name == TESTS_ONLY || name == user || wall.may.contains(&name);
            return (!allowed).then(|| "its tests may use it only if the crate may".to_owned());
        }
        if wall.never.contains(&name) {
            return Some("it must never know it".to_owned());
        }
        if (internal || wall.strict) && !wall.may.contains(&name) {
            return Some("it is not among what it may use".to_owned());
        }
        let owners = self.owners.get(name)?;
        (!owners.contains(&user)).then(|| format!("only {} may, which hides it", owners.join(" and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| crate | may use | must never know | hides |\n|---|---|---|---|\n";

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        Package {
            name: format!("mainstay-{name}"),
            manifest_path: format!("crates/{name}/Cargo.toml"),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) })
                .collect(),
            ..Package::default()
        }
    }

    fn found(rows: &str, packages: Vec<Package>) -> Vec<String> {
        let page = format!("{HEAD}{rows}");
        let findings = check(&Tree::sample(&[(PAGE, &page)]), &Metadata { packages }).unwrap();
        findings.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn what_the_table_allows_passes() {
        let rows = "| `a` | `serde` | everything else | – |\n| `b` | `a` | `tokio` | `sqlite` |\n";
        let packages = vec![package("a", &[("serde", None)]), package("b", &[("mainstay-a", None), ("sqlite", None)])];
        assert!(found(rows, packages).is_empty());
    }

    #[test]
    fn an_arrow_that_is_not_in_the_table_is_found() {
        let rows = "| `a` | – | – | – |\n| `b` | – | – | – |\n";
        let packages = vec![package("a", &[]), package("b", &[("mainstay-a", None)])];
        assert_eq!(found(rows, packages), ["`b` depends on `a`: it is not among what it may use"]);
    }

    #[test]
    fn a_forbidden_crate_is_found() {
        let found = found("| `a` | – | `tokio` | – |\n", vec![package("a", &[("tokio", None)])]);
        assert_eq!(found, ["`a` depends on `tokio`: it must never know it"]);
    }

    #[test]
    fn a_strict_row_lists_all() {
        let found = found("| `a` | – | everything else | – |\n", vec![package("a", &[("serde", None)])]);
        assert_eq!(found, ["`a` depends on `serde`: it is not among what it may use"]);
    }

    #[test]
    fn what_another_row_hides_is_found() {
        let rows = "| `a` | – | – | `sqlite` |\n| `b` | – | – | – |\n";
        let packages = vec![package("a", &[]), package("b", &[("sqlite", None)])];
        assert_eq!(found(rows, packages), ["`b` depends on `sqlite`: only a may, which hides it"]);
    }

    #[test]
    fn tests_may_use_the_testkit_and_no_other_crate_of_ours() {
        let rows = "| `a` | – | – | – |\n| `b` | – | – | – |\n| `testkit` | – | – | – |\n";
        let dev = Some("dev");
        let uses = [("mainstay-a", dev), ("mainstay-testkit", dev), ("tokio", dev)];
        let packages = vec![package("a", &[]), package("b", &uses), package("testkit", &[])];
        assert_eq!(found(rows, packages), ["`b` depends on `a`: its tests may use it only if the crate may"]);
    }

    #[test]
    fn crates_and_rows_must_match() {
        let found = found("| `gone` | – | – | – |\n", vec![package("a", &[])]);
        assert_eq!(found, ["there is no crate `gone`", "`a` has no row"]);
    }
}
