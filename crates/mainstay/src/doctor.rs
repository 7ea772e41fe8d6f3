//! `mainstay doctor`: what is wrong with this installation, and what to do about it. Looks, tries and measures; changes
//! nothing but a file of its own that it removes again. A running server is asked, never disturbed.
//! Start with `examine`; each subject is a file.

mod clock;
mod disk;
mod engine;
mod finding;
mod key_file;
mod provider;
mod sandbox;
mod server;
mod store;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    Options,
    config::{self, Config},
    offer::{self, Offers},
    server_file::{self, Running},
};
use finding::{Finding, Report};
use sandbox::Probe;

/// What `doctor` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Also ask the providers, wherever they are: whether they answer, take their keys, and agree on the time.
    #[arg(long)]
    online: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Try one ability of the sandbox in this very process, which is not good for anything else afterwards.
    #[arg(long, hide = true, value_name = "ABILITY")]
    probe: Option<Probe>,
}

/// What every subject may look at.
struct World {
    config: Config,
    offers: Option<Offers>,
    running: Option<Running>,
    online: bool,
}

/// Examines and prints; fails where something is wrong.
///
/// # Errors
/// Where the result cannot be printed. What is wrong is part of the result.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(probe) = arguments.probe {
        return probe.run();
    }
    let report = match config::load(&arguments.options) {
        Ok(config) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("starting threads")?.block_on(examine(config, arguments.online))
        }
        Err(error) => {
            let advice = "correct it; nothing else was examined";
            Report(vec![Finding::fail("configuration", format!("{error:#}"), advice)])
        }
    };
    report.print(arguments.json)?;
    Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn examine(config: Config, online: bool) -> Report {
    let offers = offer::look(&config).await;
    let running = server_file::running(&config.data_dir);
    let world = World { config, offers, running, online };
    let mut findings = vec![of_configuration(&world.config)];
    findings.push(server::examine(&world).await);
    findings.extend(key_file::examine(&world.config.data_dir));
    findings.extend(store::examine(&world).await);
    findings.extend(disk::examine(&world.config));
    let (providers, dates) = provider::examine(&world).await;
    findings.push(clock::examine(&world.config.data_dir, &dates));
    findings.push(disk::open_files(&world.config));
    findings.push(engine::examine(&world.config));
    findings.extend(providers);
    findings.extend(sandbox::examine());
    Report(findings)
}

fn of_configuration(config: &Config) -> Finding {
    let file = config.path.as_ref().map_or("no file, defaults".to_owned(), |path| path.display().to_string());
    match config.strangers() {
        strangers if strangers.is_empty() => Finding::ok("configuration", file),
        strangers => {
            let found = format!("{file}; these variables name no setting: {}", strangers.join(", "));
            Finding::warn("configuration", found, "correct their names, or ignore them where they are somebody else's")
        }
    }
}
