//! Other gateways, each as its packages start it, with everything optional off. Installed under `target/`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{http::Client, server::Meter};
use crate::process::{answers, expect_success, in_root, root};

/// What is installed from the Python index.
const PINS: &str = "xtask/bench/gateway-requirements.txt";
const ENVIRONMENT: &str = "target/bench-gateways";
const PYTHON: &str = "target/bench-gateways/bin/python";
/// What is installed from the Node registry, and where. Portkey takes any later 1.x of its server library; since 1.14 that
/// hands on the headers of a fetched answer as they are, immutable, and Portkey answers 500 to every stream.
const NODE_PACKAGE: &str = r#"{ "private": true, "dependencies": { "@portkey-ai/gateway": "1.15.2" },
  "overrides": { "@hono/node-server": "1.13.7" } }"#;
const NODE_FOLDER: &str = "target/bench-node";
/// Longest wait for one to serve: the slowest imports a great deal first.
const PATIENCE: Duration = Duration::from_secs(120);

/// The process, its address, and what its paths begin with.
type Begun = (Child, String, String);

/// A gateway to compare with.
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// What it calls the model.
    pub(super) model: &'static str,
    begin: fn(&Path, &str) -> Result<Begun>,
    /// Whether it is told by headers where the model is.
    wants_headers: bool,
}

/// All of them.
pub(super) const PEERS: &[Peer] = &[
    Peer {
        name: "TensorZero 2026.6.0",
        model: "tensorzero::model_name::bench",
        begin: tensorzero,
        wants_headers: false,
    },
    Peer { name: "LiteLLM 1.106.0", model: "bench", begin: litellm, wants_headers: false },
    Peer { name: "Portkey 1.15.2", model: "bench", begin: portkey, wants_headers: true },
];

/// One that serves; ended when it is dropped.
pub(super) struct Running {
    child: Child,
    pub(super) host: String,
    /// What its paths begin with.
    pub(super) base: String,
    /// What it wants to be told with every request.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Peer {
    /// Starts it in front of the model server at `upstream`.
    pub(super) fn start(&self, folder: &Path, upstream: &str) -> Result<Running> {
        let (child, host, base) = (self.begin)(folder, upstream)?;
        let headers = if self.wants_headers {
            vec![
                ("x-portkey-provider", "openai".to_owned()),
                ("x-portkey-custom-host", format!("http://{upstream}/v1")),
            ]
        } else {
            Vec::new()
        };
        let running = Running { child, host, base, headers };
        let asked = Instant::now();
        while Client::connect(&running.host, "").is_err() {
            if asked.elapsed() > PATIENCE {
                bail!("it does not listen");
            }
            sleep(Duration::from_millis(100));
        }
        Ok(running)
    }
}

impl Running {
    pub(super) fn meter(&self) -> Meter {
        Meter::of(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn prepare_python() -> Result<()> {
    let stamp = root().join(ENVIRONMENT).join("pins.txt");
    let pins = fs::read_to_string(root().join(PINS)).context(PINS)?;
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == pins) && answers(PYTHON, &["--version"]) {
        return Ok(());
    }
    expect_success(&mut in_root("python3", &["-m", "venv", "--clear", ENVIRONMENT]))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "10", "-r", PINS];
    expect_success(&mut in_root(PYTHON, &pip))?;
    fs::write(stamp, pins).context("the stamp of the peers' environment")
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn litellm(folder: &Path, upstream: &str) -> Result<Begun> {
    prepare_python()?;
    let config = format!(
        "model_list:\n  - model_name: bench\n    litellm_params:\n      model: openai/bench\n      \
         api_base: http://{upstream}/v1\n      api_key: none\n"
    );
    let file = folder.join("litellm.yaml");
    fs::write(&file, config).context("writing LiteLLM's configuration")?;
    let port = free_port()?;
    let program = root().join(ENVIRONMENT).join("bin/litellm");
    let mut command = Command::new(program);
    command.arg("--config").arg(&file).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.env("LITELLM_LOG", "ERROR").env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    // Without keys of its own, as the others run here.
    command.env("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true");
    let child = quiet(&mut command).spawn().context("starting LiteLLM")?;
    Ok((child, format!("127.0.0.1:{port}"), "/v1".to_owned()))
}

fn tensorzero(folder: &Path, upstream: &str) -> Result<Begun> {
    prepare_python()?;
    let config = format!(
        "[gateway]\nobservability.enabled = false\n[models.bench]\nrouting = [\"up\"]\n[models.bench.providers.up]\n\
         type = \"openai\"\nmodel_name = \"bench\"\napi_base = \"http://{upstream}/v1\"\napi_key_location = \"none\"\n"
    );
    let file = folder.join("tensorzero.toml");
    fs::write(&file, config).context("writing TensorZero's configuration")?;
    let mut command = in_root(PYTHON, &["xtask/bench/tensorzero_peer.py"]);
    command.arg(&file).env("OPENAI_API_KEY", "none");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("starting TensorZero")?;
    // Lines of its log come first.
    let lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("http://")).unwrap_or_default();
    let address = line.trim().trim_end_matches('/').strip_prefix("http://").map(str::to_owned);
    let Some((host, base)) = address.as_deref().and_then(|address| address.split_once('/')) else {
        let _ = child.kill();
        let _ = child.wait();
        bail!("TensorZero said `{}`", line.trim());
    };
    let (host, base) = (host.to_owned(), format!("/{base}"));
    Ok((child, host, base))
}

fn portkey(_: &Path, _: &str) -> Result<Begun> {
    let program = root().join(NODE_FOLDER).join("node_modules/@portkey-ai/gateway/build/start-server.js");
    let package = root().join(NODE_FOLDER).join("package.json");
    if !program.exists() || fs::read_to_string(&package).is_ok_and(|made_from| made_from != NODE_PACKAGE) {
        // What was made from another package would keep its versions.
        let _ = fs::remove_dir_all(root().join(NODE_FOLDER));
        fs::create_dir_all(root().join(NODE_FOLDER)).context(NODE_FOLDER)?;
        fs::write(&package, NODE_PACKAGE).context("the package of the peers from the Node registry")?;
        expect_success(&mut in_root("npm", &["install", "--silent", "--prefix", NODE_FOLDER]))?;
    }
    let port = free_port()?;
    let mut command = Command::new("node");
    // It refuses loopback addresses that it is not told to trust.
    command.env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost");
    command.arg(program).args([format!("--port={port}"), "--headless".to_owned()]);
    let child = quiet(&mut command).spawn().context("starting Portkey")?;
    Ok((child, format!("127.0.0.1:{port}"), "/v1".to_owned()))
}
