//! The embedded engine's models: what can be pulled, what is installed, and how it gets here. Start with `pull` and
//! `library`. Must not know how a model is run.

mod catalogue;
mod digest;
mod http;
mod import;
mod library;
mod local;
mod name;
mod package;
mod partial;
mod progress;
mod pull;
mod stop;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::json;

use self::{import::Import, name::Name, pull::Pull};
use crate::{Options, config};

pub(crate) use self::{
    catalogue::{Catalogue, DEFAULT, Entry, Settings},
    library::{Installed, Library},
    progress::{Progress, say, size},
};

/// `mainstay pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArguments {
    /// Which model; `mainstay models` lists them.
    name: String,
    /// Take the file from this folder (or file), under any name, instead of the network.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Print events as lines of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// `mainstay import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// A GGUF file.
    file: PathBuf,
    /// What the model is to be called; left out: as the file is.
    #[arg(long)]
    name: Option<Name>,
    /// Print events as lines of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// `mainstay models`.
#[derive(Debug, Args)]
pub(crate) struct ModelsArguments {
    #[command(subcommand)]
    verb: Option<ModelsVerb>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum ModelsVerb {
    /// List what can be pulled and what is installed (the same as no verb).
    List,
    /// Remove an installed model and what a broken pull left of it.
    Remove {
        /// Which one.
        name: Name,
    },
}

/// Installs a model of the catalogue.
pub(crate) fn pull(arguments: PullArguments) -> Result<()> {
    let config = config::load(&arguments.options)?;
    let catalogue = Catalogue::new(&config.file.model)?;
    let library = Library::open(&config.data_dir);
    let entry = catalogue.find(&arguments.name)?;
    let mut progress = Progress::new(&entry.name, arguments.json);
    let mut pull = Pull { library: &library, entry, settings: &config.file.models, progress: &mut progress };
    pull.run(arguments.from).map(drop)
}

/// Installs a file of this machine.
pub(crate) fn import(arguments: ImportArguments) -> Result<()> {
    let config = config::load(&arguments.options)?;
    let catalogue = Catalogue::new(&config.file.model)?;
    let library = Library::open(&config.data_dir);
    let name = match arguments.name {
        Some(name) => name,
        None => {
            let file = arguments.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            Name::of_file(file).context("the file's name makes no model's name; give one with --name")?
        }
    };
    let mut progress = Progress::new(&name, arguments.json);
    let settings = &config.file.models;
    let import = Import { library: &library, catalogue: &catalogue, settings, file: arguments.file, name };
    import.run(&mut progress).map(drop)
}

/// Lists or removes.
pub(crate) fn models(arguments: &ModelsArguments) -> Result<()> {
    let config = config::load(&arguments.options)?;
    let library = Library::open(&config.data_dir);
    match &arguments.verb {
        Some(ModelsVerb::Remove { name }) => remove(name, &library, arguments.json),
        Some(ModelsVerb::List) | None => {
            let catalogue = Catalogue::new(&config.file.model)?;
            let installed = library.list();
            let list = if arguments.json { as_json } else { as_text };
            say(&list(&catalogue, &installed));
            Ok(())
        }
    }
}

fn remove(name: &Name, library: &Library, as_json: bool) -> Result<()> {
    let lock = library.lock(name, &mut Progress::new(name, as_json))?;
    library.remove(&lock)?;
    match as_json {
        true => say(&json!({ "event": "removed", "name": name }).to_string()),
        false => say(&format!("removed {name}")),
    }
    Ok(())
}

fn as_json(catalogue: &Catalogue, installed: &[Installed]) -> String {
    let known = catalogue.entries().iter().map(|entry| {
        json!({
            "name": entry.name, "description": entry.description, "digest": entry.digest, "bytes": entry.bytes,
            "licence": entry.licence, "sources": entry.sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    let here = installed.iter().map(|model| json!({ "model": model, "path": model.path }));
    format!("{:#}", json!({ "catalogue": known.collect::<Vec<_>>(), "installed": here.collect::<Vec<_>>() }))
}

fn as_text(catalogue: &Catalogue, installed: &[Installed]) -> String {
    let is_here = |name: &Name| installed.iter().any(|model| model.name == name.as_str());
    let known = catalogue.entries().iter().map(|entry| entry.name.as_str());
    let width = known.chain(installed.iter().map(|model| model.name.as_str())).map(str::len).max().unwrap_or_default();
    let line = |name: &str, bytes: Option<u64>, licence: &str, what: &str| {
        format!("  {name:width$}  {:>9}  {licence:10}  {what}", bytes.map_or_else(String::new, size))
    };
    let mut lines = vec!["Installed".to_owned()];
    lines.extend(installed.iter().map(|model| line(&model.name, Some(model.bytes), &model.licence, &model.source)));
    if installed.is_empty() {
        lines.push(format!("  nothing yet: mainstay pull {DEFAULT}"));
    }
    let rest: Vec<_> = catalogue.entries().iter().filter(|entry| !is_here(&entry.name)).collect();
    if !rest.is_empty() {
        lines.push("To be had by `mainstay pull NAME`".to_owned());
    }
    lines.extend(rest.iter().map(|entry| line(entry.name.as_str(), entry.bytes, &entry.licence, &entry.description)));
    lines.join("\n")
}
