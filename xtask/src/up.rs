//! `cargo xtask up`: from a fresh checkout to a conversation in one command. Finds what the build lacks, builds, installs
//! the embedded model, starts the server, opens a chat. Start with `run`.

pub(crate) mod build;
mod live;
pub(crate) mod server;
pub(crate) mod tools;

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::{server::Place, tools::Tools};
use crate::process::{answers, root};

/// The model that is installed.
const MODEL: &str = "smollm2-135m-instruct";
/// What is asked where there is no terminal.
const PROMPT: &str = "Say hello in one sentence.";
/// The feature that compiles the embedded engine in.
const LOCAL: &str = "local";

/// How to come up.
#[derive(Args)]
pub struct Arguments {
    /// Build without the embedded engine: minutes faster, and models come from a configuration or the environment.
    #[arg(long)]
    without_local: bool,
    /// Data directory; left out: the user's own.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Ask this, print the answer, and stop the server that was started for it. The same without a terminal.
    #[arg(long, value_name = "TEXT", num_args = 0..=1, default_missing_value = PROMPT)]
    prompt: Option<String>,
    /// Serve in the foreground; no model is installed, no chat opened.
    #[arg(long)]
    serve_only: bool,
    /// Arguments of `mainstay serve`, such as `--config FILE` or `--listen ADDR`: serves in the foreground with them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "SERVE ARGUMENTS")]
    serve: Vec<String>,
}

/// Comes up.
///
/// # Errors
/// Where something is missing and cannot be had, the build fails, or the server cannot be started.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let data = arguments.data.as_ref().map(std::path::absolute).transpose().context("--data")?;
    build(arguments.without_local)?;
    if arguments.serve_only || !arguments.serve.is_empty() {
        return serve(data.as_deref(), &arguments.serve);
    }
    let binary = server::binary();
    let place = Place::ask(&binary, data.as_deref())?;
    if !arguments.without_local {
        phase("model", "a small one, for the first conversation");
        model(&binary, &place.data)?;
    }
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let prompt = arguments.prompt.as_deref().or((!is_terminal).then_some(PROMPT));
    phase("server", &format!("data in {}", place.data.display()));
    let (running, how) = match place.running() {
        Some(running) => (running, "runs already"),
        None => (server::start(&binary, &place, prompt.is_none())?, "started"),
    };
    println!("  {how} at {} (process {})", running.url, running.pid);
    match prompt {
        Some(prompt) => ask(&binary, &place, running, prompt),
        None => talk(&binary, &place, running),
    }
}

fn phase(name: &str, what: &str) {
    println!("{name:8}{what}");
}

/// Builds the release binary, with what it needs.
pub(crate) fn build(without_local: bool) -> Result<Tools> {
    phase(
        "tools",
        if without_local { "compilers" } else { "compilers, and cmake and libclang for the embedded engine" },
    );
    tools::compilers()?;
    let tools = match without_local {
        true => Tools::default(),
        false => tools::for_llama()
            .context("the embedded engine cannot be built (cargo xtask up --without-local builds the rest)")?,
    };
    phase("build", if without_local { "without the embedded engine" } else { "the first time takes minutes" });
    build::run(&tools, if without_local { &[] } else { &[LOCAL] })?;
    Ok(tools)
}

/// Installs the model by the binary, which shows how far it is.
pub(crate) fn model(binary: &Path, data: &Path) -> Result<()> {
    let mut command = Command::new(binary);
    command.args(["pull", MODEL, "--data"]).arg(data);
    if !answers("python3", &["-m", "pip", "--version"]) {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", tools::programs()?.display()));
    }
    match command.status().context("cannot start the binary")?.success() {
        true => Ok(()),
        false => bail!("the model could not be installed"),
    }
}

/// One question and its answer; the server ends if it was started for this.
fn ask(binary: &Path, place: &Place, running: server::Running, prompt: &str) -> Result<ExitCode> {
    phase("chat", prompt);
    let status = chat(binary, place, &running).args(["--new", prompt]).status().context("cannot start the chat")?;
    if running.is_own() {
        running.stop()?;
        phase("server", "stopped");
    }
    if !status.success() {
        bail!("the chat ended with {status}");
    }
    println!("\nTalk yourself, in a terminal: cargo xtask up");
    Ok(ExitCode::SUCCESS)
}

/// A conversation; the server goes on after it.
fn talk(binary: &Path, place: &Place, running: server::Running) -> Result<ExitCode> {
    let program = root().join(build::BINARY);
    let (url, pid, program, data) = (running.url.clone(), running.pid, program.display(), place.data.display());
    println!("  an SDK   export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=\"$({program} key --data {data})\"");
    println!("  to stop  kill {pid}");
    phase("chat", "Ctrl-D leaves; the server and the session stay\n");
    let status = chat(binary, place, &running).status().context("cannot start the chat")?;
    running.leave();
    println!("\nThe server goes on at {url} (to stop it: kill {pid}). Back to the chat: cargo xtask up");
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chat(binary: &Path, place: &Place, running: &server::Running) -> Command {
    let mut command = Command::new(binary);
    command.arg("chat").arg("--url").arg(&running.url).arg("--data").arg(&place.data);
    command
}

/// Becomes the server, so that a signal to this process reaches it.
fn serve(data: Option<&Path>, arguments: &[String]) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    let given = arguments.iter().map(|argument| format!(" {argument}")).collect::<String>();
    phase("server", &format!("in the foreground: {} serve{given}", build::BINARY));
    println!("  stop it with Ctrl-C; the sessions stay in its data directory");
    println!("  the API key: {} key{given}", build::BINARY);
    println!("  a conversation, in another terminal: {} chat", build::BINARY);
    let mut command = Command::new(server::binary());
    command.arg("serve").args(arguments).args(data.iter().flat_map(|data| [Path::new("--data"), data]));
    Err(command.exec()).with_context(|| format!("cannot start {}", build::BINARY))
}
