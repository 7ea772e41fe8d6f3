//! What the kernel offers for sandboxes to whoever runs this program, found out by trying: each ability in a process
//! of its own, which uses it and looks whether it holds. Nothing is needed of them yet; tools will run in them.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
use rustix::{
    process::{getgid, getpgid, getuid},
    thread::UnshareFlags,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::finding::Finding;

/// Landlock's versions, newest first, by the number that the kernel gives them.
const VERSIONS: [(ABI, u8); 6] = [(ABI::V6, 6), (ABI::V5, 5), (ABI::V4, 4), (ABI::V3, 3), (ABI::V2, 2), (ABI::V1, 1)];

/// An ability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Probe {
    /// A user of its own, without rights outside, with its own mounts, network and processes.
    UserNamespaces,
    /// A process gives up files.
    Landlock,
    /// A process gives up system calls.
    Seccomp,
}

pub(super) fn examine() -> Vec<Finding> {
    let advice = [
        (
            Probe::UserNamespaces,
            "allow them: sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns; in a container, its profile",
        ),
        (Probe::Landlock, "boot a kernel of 5.13 or later with landlock in its lsm= list"),
        (Probe::Seccomp, "use a kernel with CONFIG_SECCOMP_FILTER"),
    ];
    advice.map(|(probe, advice)| probe.finding(advice)).into()
}

impl Probe {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Tries the ability in another process.
    fn finding(self, advice: &str) -> Finding {
        let subject = format!("sandbox {}", self.name());
        match self.elsewhere() {
            Ok(found) => Finding::ok(subject, found),
            Err(error) => Finding::warn(subject, format!("{error:#}; nothing needs it yet"), advice),
        }
    }

    fn elsewhere(self) -> Result<String> {
        let program = std::env::current_exe().context("finding this program")?;
        let output = Command::new(program).args(["doctor", "--probe", &self.name()]).output().context("trying")?;
        told(output.status.success(), &output.stdout, &output.stderr)
    }

    /// Tries the ability in this process, and says what holds.
    pub(super) fn run(self) -> Result<ExitCode> {
        let found = match self {
            Self::UserNamespaces => user_namespaces(),
            Self::Landlock => landlock(),
            Self::Seccomp => seccomp(),
        };
        println!("{}", found?);
        Ok(ExitCode::SUCCESS)
    }
}

/// What a process that tried an ability tells.
fn told(holds: bool, stdout: &[u8], stderr: &[u8]) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !holds {
        bail!("{}", text(stderr).trim_start_matches("mainstay: "));
    }
    Ok(text(stdout))
}

#[allow(deprecated, reason = "the flags that could be unsound, sharing of open files, are not given")]
fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    rustix::thread::unshare(flags)
}

fn user_namespaces() -> Result<String> {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    unshare(UnshareFlags::NEWUSER).context("a user namespace cannot be made")?;
    fs::write("/proc/self/setgroups", "deny").context("groups cannot be given up")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).context("the user cannot be mapped")?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).context("the group cannot be mapped")?;
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWPID)
        .context("mounts, network and processes cannot be had in it")?;
    Ok("with mounts, network and processes of its own".to_owned())
}

fn landlock() -> Result<String> {
    let supported = |abi: ABI| {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        ruleset.handle_access(AccessFs::from_all(abi))?.create()
    };
    let made = VERSIONS.into_iter().find_map(|(abi, version)| Some((supported(abi).ok()?, version)));
    let (ruleset, version) = made.context("the kernel does not have it")?;
    ruleset.restrict_self().context("a process cannot give up files")?;
    match fs::read_dir("/") {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(format!("version {version}")),
        _ => bail!("a file that was given up can still be read"),
    }
}

fn seccomp() -> Result<String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).context("not for this processor")?;
    let refused = BTreeMap::from([(libc::SYS_getpgid, Vec::new())]);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(refused, SeccompAction::Allow, refuse, arch)?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?).context("a filter cannot be set")?;
    match getpgid(None) {
        Err(rustix::io::Errno::PERM) => Ok("filters hold".to_owned()),
        _ => bail!("a system call that was given up can still be made"),
    }
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn an_ability_that_does_not_hold_is_told_with_its_reason() {
        assert_eq!(told(true, b"version 6\n", b"").unwrap(), "version 6");
        let reason = told(false, b"", b"mainstay: a user namespace cannot be made: EPERM\n").unwrap_err();
        assert_eq!(reason.to_string(), "a user namespace cannot be made: EPERM");
    }
}
