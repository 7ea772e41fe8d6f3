//! Builds the release binary and shows how far it is: cargo's messages counted against its own list of packages, and
//! llama.cpp, which is most of the work, by its object files.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{live::Live, tools::Tools};
use crate::process::{captured, cargo, root};

/// What is built.
pub(crate) const BINARY: &str = "target/release/mainstay";
/// The package that holds llama.cpp.
const LLAMA: &str = "llama-cpp-sys-2";
/// Object files that it has in the pinned version.
const LLAMA_OBJECTS: usize = 129;
/// Between two looks at what there is to show.
const LOOK: Duration = Duration::from_millis(250);

/// Seconds of one core that a unit takes, about: what is heavy by name, everything else alike. Measured on a two-core
/// machine; only their proportions matter.
const COMPILE: f64 = 1.5;
const SCRIPTS: [(&str, f64); 3] = [(LLAMA, 700.0), ("libsqlite3-sys", 30.0), ("ring", 8.0)];
const OWN: f64 = 12.0;
const LINK: f64 = 200.0;

/// Builds with these features.
///
/// # Errors
/// Where cargo fails; it has said why.
pub(crate) fn run(tools: &Tools, features: &[&str]) -> Result<()> {
    let mut live = Live::begin();
    let features = features.join(",");
    let mut units = Units::estimate(&features)?;
    let mut command = cargo(&["build", "--release", "--locked", "--quiet", "--package", "mainstay"]);
    command.args(["--features", &features, "--message-format", "json-render-diagnostics"]);
    tools.lend(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start cargo")?;
    let messages = messages(&mut child)?;
    let began = SystemTime::now();
    loop {
        match messages.recv_timeout(LOOK) {
            Ok(Said::Message(message)) => units.note(&message),
            Ok(Said::Line(line)) => live.interrupt(&line),
            Err(RecvTimeoutError::Timeout) => units.objects = objects_since(began),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if units.done() == 0.0 {
            // Another cargo may be at work, which this one waits for.
            live.restart();
        }
        live.show(units.done(), &units.shown());
    }
    let status = child.wait().context("waiting for cargo")?;
    if !status.success() {
        live.end("the build failed");
        bail!("cargo build ended with {status}");
    }
    live.end(&format!("{BINARY} is built"));
    Ok(())
}

/// What cargo says.
enum Said {
    /// How far it is.
    Message(Value),
    /// A line of an error or a warning.
    Line(String),
}

/// All that cargo says, read by threads so that waiting for it does not hold up what is shown.
fn messages(child: &mut Child) -> Result<Receiver<Said>> {
    let output = child.stdout.take().context("cargo has no output")?;
    let errors = child.stderr.take().context("cargo has no output")?;
    let (sender, receiver) = channel();
    read_lines(output, sender.clone(), |line| serde_json::from_str(&line).ok().map(Said::Message));
    read_lines(errors, sender, |line| Some(Said::Line(line)));
    Ok(receiver)
}

fn read_lines(from: impl Read + Send + 'static, to: Sender<Said>, said: fn(String) -> Option<Said>) {
    std::thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        lines.filter_map(said).try_for_each(|said| to.send(said))
    });
}

/// What is to be done, in seconds of work.
struct Units {
    /// By package and kind; taken out as they are done.
    open: HashMap<(String, Kind), f64>,
    done: f64,
    packages: usize,
    built: HashSet<String>,
    /// Packages whose build script was there already, and so what it makes.
    fresh_scripts: HashSet<String>,
    llama: Option<String>,
    objects: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Compile,
    Script,
    RunScript,
}

impl Units {
    /// Everything that the binary needs, as cargo resolves it for this machine.
    fn estimate(features: &str) -> Result<Self> {
        let version = captured(Command::new("rustc").arg("-vV"))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
        let mut command = cargo(&["metadata", "--format-version", "1", "--locked", "--filter-platform", host]);
        let features: Vec<_> = features.split(',').filter(|f| !f.is_empty()).map(|f| format!("mainstay/{f}")).collect();
        command.args(["--features", &features.join(",")]);
        let metadata: Value = serde_json::from_str(&captured(&mut command)?).context("cargo's metadata")?;
        Ok(Self::of(&metadata))
    }

    fn of(metadata: &Value) -> Self {
        let needed = needed(metadata);
        let mut units = Self {
            open: HashMap::new(),
            done: 0.0,
            packages: needed.len(),
            built: HashSet::new(),
            fresh_scripts: HashSet::new(),
            llama: None,
            objects: 0,
        };
        for package in list(&metadata["packages"]).filter(|package| needed.contains(text(&package["id"]))) {
            let (id, name) = (text(&package["id"]).to_owned(), text(&package["name"]));
            if name == LLAMA {
                units.llama = Some(id.clone());
            }
            if list(&package["targets"]).any(is_script) {
                let run = SCRIPTS.iter().find(|(known, _)| *known == name).map_or(COMPILE, |(_, seconds)| *seconds);
                units.open.insert((id.clone(), Kind::Script), COMPILE);
                units.open.insert((id.clone(), Kind::RunScript), run);
            }
            let compile = match (name, package["source"].is_null()) {
                ("mainstay", _) => LINK,
                (_, true) => OWN,
                (_, false) => COMPILE,
            };
            units.open.insert((id, Kind::Compile), compile);
        }
        units
    }

    /// Takes one message of cargo in. What was there already is no work that was done.
    fn note(&mut self, message: &Value) {
        let id = text(&message["package_id"]).to_owned();
        match text(&message["reason"]) {
            "compiler-artifact" => {
                let kind = if is_script(&message["target"]) { Kind::Script } else { Kind::Compile };
                let is_fresh = message["fresh"].as_bool().unwrap_or_default();
                if is_fresh && kind == Kind::Script {
                    self.fresh_scripts.insert(id.clone());
                }
                if kind == Kind::Compile {
                    self.built.insert(id.clone());
                }
                self.close(id, kind, is_fresh);
            }
            "build-script-executed" => {
                let is_fresh = self.fresh_scripts.contains(&id);
                self.close(id, Kind::RunScript, is_fresh);
            }
            _ => {}
        }
    }

    fn close(&mut self, id: String, kind: Kind, is_fresh: bool) {
        let seconds = self.open.remove(&(id, kind)).unwrap_or_default();
        self.done += if is_fresh { 0.0 } else { seconds };
    }

    /// The part of llama.cpp that is compiled, in seconds, while it is not done.
    fn llama_done(&self) -> f64 {
        let open = self.llama.clone().and_then(|id| self.open.get(&(id, Kind::RunScript)));
        open.map_or(0.0, |seconds| seconds * (self.objects as f64 / LLAMA_OBJECTS as f64).min(1.0))
    }

    /// How much of the work is done, of 1.
    fn done(&self) -> f64 {
        let done = self.done + self.llama_done();
        let all = self.done + self.open.values().sum::<f64>();
        if all > 0.0 { done / all } else { 1.0 }
    }

    fn shown(&self) -> String {
        let llama = match self.llama_done() > 0.0 {
            true => format!(", llama.cpp {} of {LLAMA_OBJECTS} files", self.objects.min(LLAMA_OBJECTS)),
            false => String::new(),
        };
        format!("{} of {} packages{llama}", self.built.len().min(self.packages), self.packages)
    }
}

/// Ids of the packages that the binary is made of, with what builds them; not what only tests need.
fn needed(metadata: &Value) -> HashSet<&str> {
    let nodes: HashMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"]).map(|node| (text(&node["id"]), node)).collect();
    let binary = list(&metadata["packages"]).find(|package| text(&package["name"]) == "mainstay");
    let mut found = HashSet::new();
    let mut open: Vec<&str> = binary.map(|package| text(&package["id"])).into_iter().collect();
    while let Some(id) = open.pop() {
        let Some(node) = nodes.get(id).filter(|_| found.insert(id)) else { continue };
        let ships = |dep: &&Value| list(&dep["dep_kinds"]).any(|kind| kind["kind"] != "dev");
        open.extend(list(&node["deps"]).filter(ships).map(|dep| text(&dep["pkg"])));
    }
    found
}

fn is_script(target: &Value) -> bool {
    list(&target["kind"]).any(|kind| kind == "custom-build")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Object files of llama.cpp that were made since this build began.
fn objects_since(began: SystemTime) -> usize {
    let builds = fs::read_dir(root().join("target/release/build")).into_iter().flatten().flatten();
    let of_llama = builds.filter(|build| build.file_name().to_string_lossy().starts_with(LLAMA));
    of_llama.map(|build| objects_in(&build.path().join("out"), began)).sum()
}

fn objects_in(folder: &Path, began: SystemTime) -> usize {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |file: fs::DirEntry| match file.metadata() {
        Ok(found) if found.is_dir() => objects_in(&file.path(), began),
        Ok(found) => {
            let is_object = file.path().extension().is_some_and(|ending| ending == "o");
            usize::from(is_object && found.modified().is_ok_and(|at| at >= began))
        }
        Err(_) => 0,
    };
    files.map(count).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata() -> Value {
        json!({
            "packages": [
                { "id": "m", "name": "mainstay", "targets": [{ "kind": ["bin"] }] },
                { "id": "l", "name": LLAMA, "source": "registry", "targets": [{ "kind": ["lib"] }, { "kind": ["custom-build"] }] },
                { "id": "t", "name": "only-for-tests", "targets": [{ "kind": ["lib"] }] },
            ],
            "resolve": { "nodes": [
                { "id": "m", "deps": [
                    { "pkg": "l", "dep_kinds": [{ "kind": null }] },
                    { "pkg": "t", "dep_kinds": [{ "kind": "dev" }] },
                ]},
                { "id": "l", "deps": [] },
                { "id": "t", "deps": [] },
            ]},
        })
    }

    fn artifact(id: &str, kind: &str, fresh: bool) -> Value {
        json!({ "reason": "compiler-artifact", "package_id": id, "target": { "kind": [kind] }, "fresh": fresh })
    }

    #[test]
    fn work_is_counted_as_it_is_done() {
        let mut units = Units::of(&metadata());
        assert_eq!((units.packages, units.open.len(), units.done()), (2, 4, 0.0));
        units.note(&artifact("l", "custom-build", false));
        units.objects = LLAMA_OBJECTS / 2;
        assert!((0.3..0.5).contains(&units.done()), "{}", units.done());
        assert!(units.shown().contains("64 of 129"), "{}", units.shown());
        units.note(&json!({ "reason": "build-script-executed", "package_id": "l" }));
        units.note(&artifact("l", "lib", false));
        units.note(&artifact("m", "bin", false));
        assert_eq!((units.done(), units.shown().as_str()), (1.0, "2 of 2 packages"));
    }

    #[test]
    fn what_was_there_already_is_no_work() {
        let mut units = Units::of(&metadata());
        units.note(&artifact("l", "custom-build", true));
        units.note(&json!({ "reason": "build-script-executed", "package_id": "l" }));
        units.note(&artifact("l", "lib", true));
        assert_eq!((units.done(), units.done), (0.0, 0.0));
        units.note(&artifact("m", "bin", false));
        assert_eq!(units.done(), 1.0);
    }
}
