//! Verbs that talk to a server: hands what this process finds in its surroundings to `mainstay_cli`, and turns what
//! comes back into an exit code.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use mainstay_cli::{Error, Reach, Surroundings, approvals, chat, sessions};

use crate::{
    Options,
    config::{self, Environment},
    server_file,
};

/// `chat`.
pub(crate) fn chat(options: &chat::Options) -> Result<ExitCode> {
    let around = surroundings(&options.reach)?;
    Ok(exit(chat::run(options, &around)))
}

/// `sessions`.
pub(crate) fn sessions(verb: &sessions::Verb) -> Result<ExitCode> {
    let around = surroundings(verb.reach())?;
    Ok(exit(sessions::run(verb, &around)))
}

/// `approvals`.
pub(crate) fn approvals(verb: &approvals::Approvals) -> Result<ExitCode> {
    let around = surroundings(verb.reach())?;
    Ok(exit(approvals::approvals(verb, &around)))
}

/// `effects`.
pub(crate) fn effects(verb: &approvals::Effects) -> Result<ExitCode> {
    let around = surroundings(verb.reach())?;
    Ok(exit(approvals::effects(verb, &around)))
}

fn surroundings(reach: &Reach) -> Result<Surroundings> {
    let options = Options { config: reach.config.clone(), data: reach.data.clone(), listen: None };
    let config = config::load(&options)?;
    let environment = &config.environment;
    let variable = |name: &str| environment.get(name).map(str::to_owned);
    // An address that says "any" is none to connect to.
    let configured = Some(config.listen).filter(|listen| listen.port() != 0 && !listen.ip().is_unspecified());
    Ok(Surroundings {
        url: variable("MAINSTAY_URL"),
        api_key: variable("MAINSTAY_API_KEY"),
        running: server_file::running(&config.data_dir).map(|running| running.url),
        configured: configured.map(|listen| format!("http://{listen}")),
        state_dir: state_dir(environment),
        is_plain: variable("NO_COLOR").is_some() || environment.get("TERM") == Some("dumb"),
        data_dir: config.data_dir,
    })
}

/// Where this user's programs remember things.
fn state_dir(environment: &Environment) -> Option<PathBuf> {
    let own = environment.get("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || environment.get("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    Some(own.or_else(home)?.join("mainstay"))
}

/// Says what went wrong, once, on standard error.
fn exit(outcome: Result<(), Error>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_silent() {
                eprintln!("mainstay: {error}");
            }
            ExitCode::from(error.exit.code())
        }
    }
}
