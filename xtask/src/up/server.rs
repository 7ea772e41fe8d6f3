//! The server that `up` talks to: one that runs already, or one that it starts on the first free port. What it needs to
//! know of the configuration it asks the binary.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::process::{captured, root};

/// Ports that are tried above one that is taken.
const PORTS: u16 = 50;
/// Longest wait for a server to begin or to end; it loads its models first.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at one that begins or ends.
const LOOK: Duration = Duration::from_millis(50);
/// Longest silence of a server that is asked whether it is well.
const SILENCE: Duration = Duration::from_secs(5);
/// Last bytes of the log that are shown where a server ended at once.
const LOG_BYTES: usize = 2_000;

/// Where things are, as the binary sees its configuration.
pub(super) struct Place {
    pub(super) data: PathBuf,
    listen: SocketAddr,
}

impl Place {
    /// Asks the binary.
    pub(super) fn ask(binary: &Path, data: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(["config", "print", "--json"]).args(data.iter().flat_map(|data| [Path::new("--data"), data]));
        let config: Value = serde_json::from_str(&captured(&mut command)?).context("`mainstay config print --json`")?;
        let data = config["data_dir"].as_str().context("no data directory in the configuration")?;
        let listen =
            config["settings"]["server.listen"]["value"].as_str().context("no address in the configuration")?;
        let listen = listen.parse().with_context(|| format!("server.listen = {listen:?}"))?;
        Ok(Self { data: PathBuf::from(data), listen })
    }

    /// A server of this data directory that is well.
    pub(super) fn running(&self) -> Option<Running> {
        let note: Value = serde_json::from_slice(&fs::read(self.data.join("server.json")).ok()?).ok()?;
        let url = note["url"].as_str()?.to_owned();
        let pid = note["pid"].as_u64()?;
        is_well(&url).then_some(Running { url, pid, child: None })
    }

    /// The configured address, or the same with the next port that is free.
    fn free_address(&self) -> Result<SocketAddr> {
        let wanted = self.listen;
        let ports = (0..=PORTS).map_while(|more| wanted.port().checked_add(more));
        let mut addresses = ports.map(|port| SocketAddr::new(wanted.ip(), port));
        let free = addresses.find(|address| TcpListener::bind(address).is_ok());
        free.with_context(|| format!("no port from {} on is free: --listen takes another address", wanted.port()))
    }

    fn log(&self) -> PathBuf {
        self.data.join("server.log")
    }
}

/// A server that answers.
pub(super) struct Running {
    pub(super) url: String,
    pub(super) pid: u64,
    /// Where this process started it.
    child: Option<Child>,
}

/// Starts a server. A detached one outlives this program and its terminal's Ctrl-C.
pub(super) fn start(binary: &Path, place: &Place, detached: bool) -> Result<Running> {
    let address = place.free_address()?;
    if address != place.listen {
        println!("  port {} is taken; {} it is", place.listen.port(), address.port());
    }
    fs::create_dir_all(&place.data).with_context(|| place.data.display().to_string())?;
    let log = OpenOptions::new().create(true).append(true).open(place.log()).context("the server's log")?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--data").arg(&place.data).arg("--listen").arg(address.to_string());
    command.stdin(Stdio::null()).stdout(log.try_clone().context("the server's log")?).stderr(log);
    if detached {
        command.process_group(0);
    }
    let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
    let mut running = Running { url: format!("http://{address}"), pid: child.id().into(), child: Some(child) };
    match running.wait_until_well() {
        Ok(()) => Ok(running),
        Err(error) => {
            running.kill();
            Err(error.context(format!("{}:\n{}", place.log().display(), tail(&place.log()))))
        }
    }
}

impl Running {
    /// Whether this process started it.
    pub(super) fn is_own(&self) -> bool {
        self.child.is_some()
    }

    fn wait_until_well(&mut self) -> Result<()> {
        let asked = Instant::now();
        while !is_well(&self.url) {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()? {
                bail!("the server ended with {status}");
            }
            ensure!(asked.elapsed() < PATIENCE, "the server does not answer");
            sleep(LOOK);
        }
        Ok(())
    }

    /// Ends it as an operator would, if this process started it.
    pub(super) fn stop(mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let signal = format!("kill -TERM {}", child.id());
        ensure!(Command::new("sh").args(["-c", &signal]).status()?.success(), "cannot signal the server");
        let asked = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            ensure!(asked.elapsed() < PATIENCE, "the server does not stop");
            sleep(LOOK);
        }
    }

    /// Lets it go on by itself.
    pub(super) fn leave(mut self) {
        self.child = None;
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Running {
    /// A failure on the way leaves no server behind.
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether `/healthz` answers 200.
fn is_well(url: &str) -> bool {
    let ask = || -> Option<bool> {
        let address: SocketAddr = url.strip_prefix("http://")?.parse().ok()?;
        let mut stream = TcpStream::connect_timeout(&address, SILENCE).ok()?;
        stream.set_read_timeout(Some(SILENCE)).ok()?;
        let head = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).ok()?;
        Some(answer == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

fn tail(log: &Path) -> String {
    let mut text = Vec::new();
    let _ = File::open(log).and_then(|mut file| file.read_to_end(&mut text));
    let from = text.len().saturating_sub(LOG_BYTES);
    String::from_utf8_lossy(&text[from..]).into_owned()
}

/// The binary.
pub(crate) fn binary() -> PathBuf {
    root().join(super::build::BINARY)
}
