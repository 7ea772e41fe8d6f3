//! `cargo xtask bench`: measures and prints each figure beside its target or peer. There is no pass or fail here:
//! machines differ, so ratios within one run and CPU per operation count. To add a measure, add a file and a row.

mod appends;
mod conversation;
mod figure;
mod first_byte;
mod gateway;
mod gateway_peer;
mod http;
mod langgraph;
mod postgres;
mod restart;
mod server;
mod start;
mod stream;
mod turn;
mod upstream;
mod wake;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::figure::{Figure, table};
use crate::process::{cargo, expect_success, root};

/// Where the rows work; each has a folder of its own that it begins and leaves empty.
const FOLDER: &str = "target/bench";

/// A measure.
struct Row {
    name: &'static str,
    shows: &'static str,
    run: fn(&Scale) -> Result<Vec<Figure>>,
}

const fn row(name: &'static str, shows: &'static str, run: fn(&Scale) -> Result<Vec<Figure>>) -> Row {
    Row { name, shows, run }
}

/// Every measure there is. All but the first two are of the release binary, over HTTP, with a scripted model.
const ROWS: &[Row] = &[
    row(
        "appends",
        "durable fenced commits of 1 KiB through the store, beside a raw log with group commit",
        appends::run,
    ),
    row("postgres", "the same on PostgreSQL 18, beside plain SQL with group commit", postgres::run),
    row("turn", "CPU of a full stateful turn, all promises on, beside LangGraph with its SQLite saver", turn::run),
    row("stream", "CPU of a streamed event, durable before it is shown; memory of many streams", stream::run),
    row("gateway", "CPU of an inference without a session, beside other gateways", gateway::run),
    row("conversation", "a conversation that grows, 320 bytes of text a turn, beside LangGraph", conversation::run),
    row("start", "time to the first answer of /healthz; memory when idle", start::run),
    row("first-byte", "time from an input to the first byte sent upstream, beside two fsyncs", first_byte::run),
    row("wake", "reading a long session that is not in memory", wake::run),
    row("restart", "time until all turns that a kill -9 interrupted are over", restart::run),
];

/// What to run.
#[derive(Args)]
pub struct Arguments {
    /// Measure this alone; may be given several times.
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Small sizes: minutes become seconds, figures become rough.
    #[arg(long)]
    quick: bool,
    /// Measure this binary instead of building one for release.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Print one JSON object a figure instead of tables.
    #[arg(long)]
    json: bool,
    /// How long LangGraph's conversation gets.
    #[arg(long, value_name = "TURNS", default_value_t = 1_000)]
    peer_turns: u32,
    /// Show the measures and run none.
    #[arg(long)]
    list: bool,
}

/// What is measured, and how much.
struct Scale {
    quick: bool,
    peer_turns: u32,
    /// The server.
    binary: PathBuf,
}

impl Scale {
    /// The smaller or the larger size.
    const fn of(&self, quick: usize, full: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// An empty folder.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = root().join(FOLDER).join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }
}

/// The release binary of the tree as it is.
fn built() -> Result<PathBuf> {
    expect_success(&mut cargo(&["build", "--quiet", "--release", "--locked", "--package", "mainstay"]))?;
    Ok(root().join("target/release/mainstay"))
}

/// Measures.
///
/// # Errors
/// Where a row was asked for that does not exist, or the build or a measure fails.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(unknown) = arguments.only.iter().find(|name| !ROWS.iter().any(|row| row.name == **name)) {
        bail!("there is no row `{unknown}`; `--list` shows what there is");
    }
    let wanted = |row: &&Row| arguments.only.is_empty() || arguments.only.iter().any(|name| name == row.name);
    let rows: Vec<_> = ROWS.iter().filter(wanted).collect();
    if arguments.list {
        rows.iter().for_each(|row| println!("{:14} {}", row.name, row.shows));
        return Ok(ExitCode::SUCCESS);
    }
    let binary = match &arguments.binary {
        Some(binary) => fs::canonicalize(binary).with_context(|| binary.display().to_string())?,
        None => built()?,
    };
    let scale = Scale { quick: arguments.quick, peer_turns: arguments.peer_turns, binary };
    for row in rows {
        let figures = (row.run)(&scale).with_context(|| row.name)?;
        if arguments.json {
            figures.iter().try_for_each(|figure| serde_json::to_string(figure).map(|line| println!("{line}")))?;
        } else {
            println!("{}: {}\n{}", row.name, row.shows, table(&figures));
        }
    }
    Ok(ExitCode::SUCCESS)
}
