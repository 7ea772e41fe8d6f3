//! What the build needs beyond cargo: C and C++ compilers, and for llama.cpp cmake and libclang. What is missing comes
//! from pinned packages under `target/tools`, else from the system's package manager where this user may, else the one
//! command that installs it is named.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::process::{answers, captured, expect_success, in_root, root};

/// The environment that the packages are installed into.
const VENV: &str = "target/tools/venv";
/// What is installed there.
const PACKAGES: [&str; 2] = ["cmake==4.4.4", "libclang==18.1.1"];
/// Where systems keep libclang; the first `*` stands for one folder.
const LIBRARY_FOLDERS: [&str; 6] = [
    "/usr/lib/llvm-*/lib",
    "/usr/lib/*-linux-gnu",
    "/usr/lib64",
    "/usr/lib64/llvm*/lib",
    "/usr/lib",
    "/opt/homebrew/opt/llvm/lib",
];

/// What cargo must be run with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tools {
    environment: Vec<(&'static str, String)>,
}

/// Ways to install what a system offers, by the program that does it: its words, and what the compilers, cmake and
/// libclang are called there.
const SYSTEMS: [(&str, &str, &str, &str); 6] = [
    ("apt-get", "apt-get install -y", "build-essential", "cmake libclang-dev"),
    ("dnf", "dnf install -y", "gcc gcc-c++ make", "cmake clang-devel"),
    ("zypper", "zypper install -y", "gcc gcc-c++ make", "cmake clang-devel"),
    ("pacman", "pacman -S --noconfirm", "base-devel", "cmake clang"),
    ("apk", "apk add", "build-base", "cmake clang-dev"),
    ("brew", "brew install", "gcc", "cmake llvm"),
];

impl Tools {
    /// Hands them to a command.
    pub(crate) fn lend(&self, command: &mut Command) {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }
}

/// Finds or gets the compilers.
///
/// # Errors
/// Where they are missing and cannot be installed: names the command.
pub(crate) fn compilers() -> Result<()> {
    let has = || answers("cc", &["--version"]) && answers("c++", &["--version"]);
    if !has() {
        install("a C and a C++ compiler", |(_, _, compilers, _)| compilers)?;
    }
    if !has() {
        bail!("there is still no C and C++ compiler that answers to `cc` and `c++`");
    }
    Ok(())
}

/// Finds or gets what compiles llama.cpp.
///
/// # Errors
/// Where something is missing and cannot be had: names the command.
pub(crate) fn for_llama() -> Result<Tools> {
    let from_system = || libclang().filter(|_| has_cmake()).map(|library| tools(None, library));
    if let Some(tools) = from_system().or_else(from_packages) {
        return Ok(tools);
    }
    install("cmake and libclang", |(_, _, _, llama)| llama)?;
    from_system().context("cmake or libclang is still not found after its installation")
}

/// Where the programs of the environment under `target/tools` are, a `python3` with pip among them; made if need be.
///
/// # Errors
/// Where it cannot be made.
pub(crate) fn programs() -> Result<PathBuf> {
    let folder = root().join(VENV).join("bin");
    if !answers(&folder.join("python3").display().to_string(), &["-m", "pip", "--version"]) {
        expect_success(&mut in_root("python3", &["-m", "venv", VENV]))?;
    }
    Ok(folder)
}

fn has_cmake() -> bool {
    let named = std::env::var("CMAKE").unwrap_or_else(|_| "cmake".to_owned());
    answers(&named, &["--version"])
}

/// The folder of the system's libclang.
fn libclang() -> Option<PathBuf> {
    let is_library = |file: fs::DirEntry| {
        let name = file.file_name().to_string_lossy().into_owned();
        let version = name.strip_prefix("libclang-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        name.starts_with("libclang.so") || version && name.contains(".so") || name == "libclang.dylib"
    };
    let holds = |folder: &PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().any(is_library);
    let named = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    named.into_iter().chain(LIBRARY_FOLDERS.iter().flat_map(|pattern| folders(pattern))).find(holds)
}

/// Folders that fit a pattern with at most one `*` in one of its names.
fn folders(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![PathBuf::from(pattern)] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let (suffix, rest) = after.split_once('/').unwrap_or((after, ""));
    let names = fs::read_dir(parent).into_iter().flatten().flatten().map(|file| file.file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    let mut fitting: Vec<_> = names.filter(|name| name.starts_with(prefix) && name.ends_with(suffix)).collect();
    fitting.sort_unstable_by(|one, other| other.cmp(one));
    fitting.into_iter().map(|name| Path::new(parent).join(name).join(rest)).collect()
}

/// Both from packages, in an environment that is made once. `None` where that cannot be.
fn from_packages() -> Option<Tools> {
    let python = root().join(VENV).join("bin/python");
    let answers_both = || has_packages(&python);
    if !answers_both() {
        if !answers("python3", &["-c", "import ensurepip, venv"]) {
            return None;
        }
        println!("  cmake and libclang come from packages into {VENV}");
        let made = expect_success(&mut in_root("python3", &["-m", "venv", "--clear", VENV])).and_then(|()| {
            let pip = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--retries",
                "10",
                "--timeout",
                "60",
            ];
            expect_success(Command::new(&python).args(pip).args(PACKAGES))
        });
        if let Err(error) = made {
            println!("  not to be had that way: {error:#}");
            return None;
        }
    }
    let library = package_folder(&python, "clang")?.join("native");
    let cmake = root().join(VENV).join("bin/cmake");
    (answers_both() && library.is_dir()).then(|| tools(Some(cmake), library))
}

fn has_packages(python: &Path) -> bool {
    let ask = "import importlib.metadata as m, sys; sys.exit(any(m.version(p) != v for p, v in (a.split('==') for a in sys.argv[1:])))";
    let mut command = Command::new(python);
    command.args(["-c", ask]).args(PACKAGES).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn package_folder(python: &Path, package: &str) -> Option<PathBuf> {
    let ask = format!("import importlib.util as u; print(u.find_spec('{package}').submodule_search_locations[0])");
    captured(Command::new(python).args(["-c", &ask])).ok().map(|folder| PathBuf::from(folder.trim()))
}

/// `cmake` where it is not on PATH. The headers of the compiler itself are named because a libclang by itself has none.
fn tools(cmake: Option<PathBuf>, library: PathBuf) -> Tools {
    let mut environment = vec![("LIBCLANG_PATH", library.display().to_string())];
    environment.extend(cmake.map(|cmake| ("CMAKE", cmake.display().to_string())));
    let own = std::env::var("BINDGEN_EXTRA_CLANG_ARGS").ok();
    if let Some(arguments) = own.or_else(|| Some(format!("-isystem {}", compiler_headers()?))) {
        environment.push(("BINDGEN_EXTRA_CLANG_ARGS", arguments));
    }
    Tools { environment }
}

/// Where the C compiler has `stddef.h` and its like.
fn compiler_headers() -> Option<String> {
    let folder = captured(Command::new("cc").arg("-print-file-name=include")).ok()?.trim().to_owned();
    Path::new(&folder).join("stddef.h").is_file().then_some(folder)
}

/// A row of `SYSTEMS`.
type System = (&'static str, &'static str, &'static str, &'static str);

/// Installs by the system's package manager where this user may, else fails with the command that would.
fn install(what: &str, packages: fn(System) -> &'static str) -> Result<()> {
    let Some(system) = SYSTEMS.iter().find(|(program, ..)| answers(program, &["--version"])) else {
        bail!("{what} is missing, and no package manager is known here that has it");
    };
    let (program, words, ..) = *system;
    let command = format!("{words} {}", packages(*system));
    let is_root = captured(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if program != "apt-get" || !is_root {
        let sudo = if is_root || program == "brew" { "" } else { "sudo " };
        bail!("{what} is missing; install it and try again:\n\n    {sudo}{command}\n");
    }
    println!("  {what}: {command}");
    expect_success(&mut in_root("apt-get", &["-q", "-o", "Acquire::Retries=10", "update"]))?;
    let mut install =
        in_root("sh", &["-c", &format!("DEBIAN_FRONTEND=noninteractive {command} --no-install-recommends")]);
    expect_success(&mut install)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_the_folders_that_fit_it() {
        let base = root().join("xtask").display().to_string();
        assert_eq!(folders(&format!("{base}/s*/up")), [root().join("xtask/src/up")]);
        assert_eq!(folders(&base), [root().join("xtask")]);
        assert!(folders(&format!("{base}/none*")).is_empty());
    }

    #[test]
    fn every_system_names_what_is_missing() {
        for (program, words, compilers, llama) in SYSTEMS {
            assert!(words.starts_with(program) && !compilers.is_empty() && llama.contains("cmake"), "{program}");
        }
    }
}
