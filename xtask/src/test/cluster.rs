//! The SDK tests once more, against two nodes on one PostgreSQL behind a balancer that hands each request to the next
//! node. The balancer is nginx: the system's, else Debian's package unpacked under `target`, where it starts no service.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{postgres, python};
use crate::{
    phase::Outcome,
    process::{answers, expect_success, in_root, root},
};

/// What goes through sessions, which is what nodes hand to each other.
const TESTS: [&str; 5] = ["test_agents", "test_responses", "test_conversations", "test_managed", "test_two_vendors"];
/// Where the package is unpacked.
const UNPACKED: &str = "target/nginx";
/// Its package.
const PACKAGE: &str = "nginx";

/// Runs the tests.
pub(super) fn run() -> Result<Outcome> {
    if !postgres::has_oldest() {
        return Ok(Outcome::Skipped("PostgreSQL 15 is not here".to_owned()));
    }
    let Some(nginx) = nginx()? else {
        return Ok(Outcome::Skipped("nginx is not here; on Debian: apt-get install -y nginx-light".to_owned()));
    };
    let files = TESTS.map(|name| format!("{}/{name}.py", python::TESTS));
    let mut pytest = in_root(python::PYTHON, &["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    pytest.args(files).env("MAINSTAY_TEST_CLUSTER", "1").env("MAINSTAY_NGINX", nginx);
    expect_success(&mut pytest)?;
    Ok(Outcome::Passed)
}

fn nginx() -> Result<Option<PathBuf>> {
    if let Some(found) = ["/usr/sbin/nginx", "/usr/bin/nginx"].map(PathBuf::from).into_iter().find(|path| path.exists())
    {
        return Ok(Some(found));
    }
    let folder = root().join(UNPACKED);
    let program = folder.join("usr/sbin/nginx");
    if program.exists() {
        return Ok(Some(program));
    }
    if !answers("dpkg-deb", &["--version"]) || !answers("apt-get", &["--version"]) {
        return Ok(None);
    }
    fs::create_dir_all(&folder).context(UNPACKED)?;
    let retries = "Acquire::Retries=10";
    // Without a list of packages none is found; to read one needs root.
    let _ = in_root("apt-get", &["-o", retries, "update", "-q"]).status();
    expect_success(in_root("apt-get", &["-o", retries, "download", PACKAGE]).current_dir(&folder))?;
    let packages = fs::read_dir(&folder).context(UNPACKED)?.flatten().map(|file| file.path());
    for package in packages.filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
        let (package, folder) = (package.to_string_lossy(), folder.to_string_lossy());
        expect_success(&mut in_root("dpkg-deb", &["-x", &package, &folder]))?;
    }
    if !program.exists() {
        bail!("{PACKAGE} was unpacked into {UNPACKED}, and usr/sbin/nginx is not there");
    }
    Ok(Some(program))
}
