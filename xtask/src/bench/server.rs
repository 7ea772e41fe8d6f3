//! The release binary under measure: started on a folder of its own with a scripted model, asked for what it used.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::http::Client;
use crate::process::captured;

/// Longest wait for a server to begin or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The model that the script plays.
const MODEL: &str = "bench";

/// A running server; killed when it is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) host: String,
    pub(super) key: String,
    pub(super) data: PathBuf,
    /// From the start of the process to the first answer of `/healthz`.
    pub(super) began_in: Duration,
}

impl Server {
    /// Starts on `folder/data`, fresh or not. The model plays `steps`, over and over.
    pub(super) fn start(binary: &Path, folder: &Path, steps: &str) -> Result<Self> {
        let script = format!("[[reply]]\nrepeat = true\nsteps = [{steps}]\n");
        fs::write(folder.join("script.toml"), script).context("writing the script")?;
        Self::with_provider(binary, folder, "kind = \"scripted\"\nscript = \"script.toml\"")
    }

    /// Starts with the model behind a provider of these settings.
    pub(super) fn with_provider(binary: &Path, folder: &Path, provider: &str) -> Result<Self> {
        let config = format!(
            "[[provider]]\nname = \"mock\"\n{provider}\n\n[[deployment]]\nmodel = \"{MODEL}\"\nprovider = \"mock\"\n"
        );
        fs::write(folder.join("mainstay.toml"), config).context("writing the configuration")?;
        let data = folder.join("data");
        let serve = Command::new(binary)
            .args(["serve", "--config", "mainstay.toml", "--data", "data", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .env("MAINSTAY_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let begun = Instant::now();
        let mut child = serve.with_context(|| format!("starting {}", binary.display()))?;
        let host = host_of(&mut child)?;
        healthy(&host)?;
        let began_in = begun.elapsed();
        let key = captured(Command::new(binary).args(["key", "--data", "data"]).current_dir(folder))?;
        Ok(Self { child, host, key: key.trim().to_owned(), data, began_in })
    }

    pub(super) fn client(&self) -> Result<Client> {
        Client::connect(&self.host, &self.key)
    }

    /// What the process has used.
    pub(super) fn meter(&self) -> Meter {
        Meter::of(self.child.id())
    }

    /// CPU time of all its threads so far, microseconds.
    pub(super) fn cpu_us(&self) -> Result<f64> {
        self.meter().cpu_us()
    }

    /// Bytes that it has handed to `write` so far: files, and what little goes to clients that way.
    pub(super) fn written(&self) -> Result<f64> {
        self.meter().number("io", "wchar:")
    }

    /// Memory in use, MiB.
    pub(super) fn resident_mib(&self) -> Result<f64> {
        self.meter().resident_mib()
    }

    /// The most memory that was in use, MiB.
    pub(super) fn peak_mib(&self) -> Result<f64> {
        Ok(self.meter().number("status", "VmHWM:")? / 1_024.0)
    }

    /// Space that its data takes on disk, bytes.
    pub(super) fn size(&self) -> Result<f64> {
        let mut bytes = 0;
        for file in fs::read_dir(&self.data).context("reading the data directory")? {
            let metadata = file?.metadata()?;
            bytes += if metadata.is_file() { metadata.len() } else { 0 };
        }
        Ok(bytes as f64)
    }

    /// Ends it as an operator would.
    pub(super) fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &pid]).status()?.success(), "cannot signal the server");
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(asked.elapsed() < PATIENCE, "the server does not stop");
            sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Ends it as a power cut would.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().context("killing the server")?;
        self.child.wait().context("killing the server")?;
        Ok(())
    }
}

/// What a process has used so far.
pub(super) struct Meter {
    process: u32,
}

impl Meter {
    pub(super) const fn of(process: u32) -> Self {
        Self { process }
    }

    /// CPU time of all its threads, microseconds.
    pub(super) fn cpu_us(&self) -> Result<f64> {
        let tasks = fs::read_dir(self.proc("task")).context("reading the process's threads")?;
        let mut nanoseconds = 0.0;
        for task in tasks {
            // A thread may end in between; ours has none that come and go while it works.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanoseconds += text.split(' ').next().and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0);
        }
        Ok(nanoseconds / 1e3)
    }

    /// Memory in use, MiB.
    pub(super) fn resident_mib(&self) -> Result<f64> {
        Ok(self.number("status", "VmRSS:")? / 1_024.0)
    }

    fn number(&self, file: &str, name: &str) -> Result<f64> {
        let text = fs::read_to_string(self.proc(file)).with_context(|| format!("reading the process's {file}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        line.split_whitespace().next().and_then(|number| number.parse().ok()).with_context(|| format!("{name}{line}"))
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.process))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address that it prints first.
fn host_of(child: &mut Child) -> Result<String> {
    let out = child.stdout.take().context("no standard output")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    let host = line.trim().strip_prefix("listening on http://");
    host.map(str::to_owned).with_context(|| format!("the server said `{}`", line.trim()))
}

fn healthy(host: &str) -> Result<()> {
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE {
        if Client::connect(host, "").and_then(|mut client| client.ask("GET", "/healthz", None)).is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(1));
    }
    bail!("no answer from /healthz")
}

/// The body that begins a session, with a first input where one is given.
pub(super) fn session_body(input: Option<&str>, stream: bool) -> Value {
    let mut body = json!({ "agent": { "model": MODEL }, "environment": { "type": "none" } });
    if let Some(input) = input {
        body["input"] = json!(input);
        body["stream"] = json!(stream);
    }
    body
}

/// The body that sends one message.
pub(super) fn message_body(text: &str) -> Value {
    json!({ "events": [{ "type": "agent.session.input.message", "input": text }] })
}

/// The body that asks for a response.
pub(super) fn response_body(text: &str, previous: Option<&str>) -> Value {
    json!({ "model": MODEL, "input": text, "previous_response_id": previous })
}

/// The text of an object's id.
pub(super) fn id_of(object: &Value) -> Result<String> {
    object.get("id").and_then(Value::as_str).map(str::to_owned).with_context(|| format!("no id in {object}"))
}
