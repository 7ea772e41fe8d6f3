//! A data directory with its configuration, and the processes that serve it.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http::{Reply, Request, exchange};

/// Between two looks at a process that is to end.
const LOOK: Duration = Duration::from_millis(5);

/// A model named `mock`, served by the script beside the configuration.
const MOCK: &str = r#"
[[provider]]
name = "mock"
kind = "scripted"
script = "SCRIPT"
[[deployment]]
model = "mock"
provider = "mock"
"#;

/// A directory for one test, kept when the test fails.
pub(crate) struct Home {
    path: PathBuf,
    keeps: bool,
}

impl Home {
    /// A home whose model `mock` plays `script`; `rest` is more configuration.
    pub(crate) fn new(name: &str, script: &str, rest: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{count}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let replies = path.join("replies.toml");
        fs::write(&replies, script).unwrap();
        let config = MOCK.replace("SCRIPT", replies.to_str().unwrap());
        fs::write(path.join("mainstay.toml"), format!("{rest}\n{config}")).unwrap();
        Self { path, keeps: false }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journals are.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Leaves the directory where it is.
    #[cfg(feature = "faults")]
    pub(crate) fn keep(&mut self) {
        self.keeps = true;
    }

    /// The binary with this home's configuration.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.arg(verb).arg("--config").arg(self.path.join("mainstay.toml")).arg("--data").arg(self.data());
        command.args(["--listen", "127.0.0.1:0"]).env_remove("MAINSTAY_FAULT_KILL").env_remove("MAINSTAY_FAULT_BUG");
        command
    }

    /// Starts a server that must live.
    pub(crate) fn start(&self) -> Server {
        self.start_with(&[]).unwrap_or_else(|status| panic!("the server ended at once: {status}; {}", self.log()))
    }

    /// Starts a server with more environment; the exit status if it ended before it listened.
    pub(crate) fn start_with(&self, environment: &[(&str, String)]) -> Result<Server, ExitStatus> {
        let mut command = self.command("serve");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        self.spawn(command)
    }

    /// Starts a server where another one listened.
    pub(crate) fn start_at(&self, address: SocketAddr) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.arg("serve").arg("--config").arg(self.path.join("mainstay.toml")).arg("--data").arg(self.data());
        command.arg("--listen").arg(address.to_string());
        self.spawn(command).unwrap_or_else(|status| panic!("the server ended at once: {status}; {}", self.log()))
    }

    fn spawn(&self, mut command: Command) -> Result<Server, ExitStatus> {
        let log = OpenOptions::new().create(true).append(true).open(self.path.join("log")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        let address = line.trim().strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        match address {
            Some(address) => Ok(Server { key: self.key(), child, address }),
            None => Err(child.wait().unwrap()),
        }
    }

    /// The first API key.
    pub(crate) fn key(&self) -> String {
        fs::read_to_string(self.data().join("api-key")).unwrap_or_default().trim().to_owned()
    }

    /// What the servers said on standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path.join("log")).unwrap_or_default()
    }

    /// No server of this home may have panicked.
    pub(crate) fn check_log(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "a server panicked; {}\n{log}", self.path.display());
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.keeps || std::thread::panicking() {
            eprintln!("kept: {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A server that runs. Killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
}

impl Server {
    /// Sends a request under the first key.
    pub(crate) async fn send(&self, request: Request) -> Reply {
        exchange(self.address, &request.key(&self.key)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Request::post(path, body)).await
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, then waits for the end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).unwrap();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Resident memory, bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = File::open(format!("/proc/{}/status", self.child.id())).unwrap();
        let lines = BufReader::new(status).lines().map_while(Result::ok);
        let line = lines.filter_map(|line| line.strip_prefix("VmRSS:").map(str::to_owned)).next().unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
