//! `mainstay init`: writes what was found on this machine into a configuration file, with a comment on each choice.
//! Keys are named by their variables; their values are never written.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use toml::Value;

use crate::{
    Options,
    config::{self, Environment, Secret},
    offer::{self, Offer, Offers, Reach},
};

/// What comes first.
const HEAD: &str = "\
# Written by `mainstay init` from what it found. `mainstay config print` shows what is in force and where it came from;
# what is left out here has a default. A mistake is refused with its line and the reason.
";

/// What stands where no model was found.
const EXAMPLE: &str = r#"
# No model was found, and without a [[deployment]] only `echo` is served, a script that repeats what it is told.
# Any server that speaks OpenAI Chat Completions will do:
#
# [[provider]]
# name = "mine"
# kind = "openai-chat"
# base_url = "http://127.0.0.1:8000/v1"
# api_key = { env = "MY_KEY" }         # leave it out if the server wants none
#
# [[deployment]]
# model = "big"                        # what clients ask for
# provider = "mine"
# upstream_model = "big-2026-09"       # what the server calls it
"#;

/// What `init` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

/// Writes the file and says what to do next.
///
/// # Errors
/// Where there is a file already, or it cannot be written.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let environment = Environment::read();
    let path = target(&arguments.options, &environment)?;
    if path.exists() && !arguments.force {
        bail!("{} exists already: --force replaces it, --config FILE names another", path.display());
    }
    let config = config::without_file(&arguments.options, environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting threads")?;
    let offers = runtime.block_on(offer::look(&config)).unwrap_or_default();
    put(&path, &text(&arguments.options, &offers)).with_context(|| format!("writing {}", path.display()))?;
    println!("wrote {}\n\n{}", path.display(), offers.text());
    let is_found = config::user_path(&config.environment).as_deref() == Some(&path);
    let flag = if is_found { String::new() } else { format!(" --config {}", path.display()) };
    println!("next: mainstay serve{flag}");
    Ok(())
}

/// The file that is named, else the user's own.
fn target(options: &Options, environment: &Environment) -> Result<PathBuf> {
    let named = options.config.clone().or_else(|| environment.get("MAINSTAY_CONFIG").map(PathBuf::from));
    let path = named.or_else(|| config::user_path(environment));
    let path = path.context("neither XDG_CONFIG_HOME nor HOME is set: name a file with --config FILE")?;
    std::path::absolute(&path).with_context(|| format!("the file {}", path.display()))
}

/// Whole or not at all.
fn put(path: &Path, text: &str) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let beside = path.with_extension("toml.unfinished");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)
}

fn text(options: &Options, offers: &Offers) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n[server]\n");
    let listen = options.listen.map(|listen| listen.to_string());
    setting(&mut text, "listen", listen.as_deref(), "127.0.0.1:7070");
    let data = options.data.as_ref().and_then(|data| std::path::absolute(data).ok());
    setting(&mut text, "data_dir", data.as_deref().and_then(Path::to_str), "/var/lib/mainstay");
    if offers.is_echo() {
        text.push_str(EXAMPLE);
    } else {
        text.push_str("\n# The first model is the one that `mainstay chat` takes where it is told none.\n");
        offers.offered.iter().for_each(|offer| write_offer(&mut text, offer));
    }
    for reason in &offers.passed_over {
        let _ = writeln!(text, "\n# Not taken: {}", one_line(reason));
    }
    text
}

/// A setting that was given, or one to change.
fn setting(text: &mut String, name: &str, given: Option<&str>, example: &str) {
    let _ = match given {
        Some(value) => writeln!(text, "{name} = {}", quoted(value)),
        None => writeln!(text, "# {name} = {}", quoted(example)),
    };
}

fn write_offer(text: &mut String, offer: &Offer) {
    let provider = &offer.provider;
    let _ = writeln!(text, "\n# {}: {}.", one_line(&offer.because), one_line(&offer.destination()));
    let _ = writeln!(text, "[[provider]]\nname = {}\nkind = {}", quoted(&provider.name), quoted(&provider.kind));
    for (name, value) in [("base_url", &provider.base_url), ("dialect", &provider.dialect)] {
        if let Some(value) = value {
            let _ = writeln!(text, "{name} = {}", quoted(value));
        }
    }
    if let Some(Secret::Env(variable)) = &provider.api_key {
        let _ = writeln!(text, "api_key = {{ env = {} }}", quoted(variable));
    }
    for deployment in &offer.deployments {
        let _ = writeln!(text, "\n[[deployment]]\nmodel = {}", quoted(&deployment.model));
        let _ = writeln!(text, "provider = {}", quoted(&deployment.provider));
    }
    if offer.reach == Reach::Away {
        text.push_str("# What it costs and where it runs, as far as you know it, in each deployment:\n");
        text.push_str("# price = { input = \"2.00\", output = \"10.00\" }       # USD per million tokens\n");
        text.push_str("# place = { jurisdiction = \"eu\", evidence = \"declared\" }\n");
    }
}

/// As TOML writes a string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Fit for a comment: what was found is text of others.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        offer::{Found, decide, ollama::Ollama},
    };

    fn written(variables: &[(&str, &str)], ollama: Ollama, options: &Options) -> (String, Offers) {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let own_keys = Vec::new();
        let offers = decide(&Found { environment: &environment, own_keys, ollama, embedded: Vec::new() });
        (text(options, &offers), offers)
    }

    fn read_back(text: &str) -> Config {
        let folder = std::env::temp_dir().join(format!("mainstay-init-{}-{}", std::process::id(), text.len()));
        let path = folder.join("deeper/mainstay.toml");
        put(&path, text).unwrap();
        let options = Options { config: Some(path), ..Options::default() };
        let home = [("HOME".to_owned(), folder.display().to_string())].into_iter().collect();
        let config = config::load_in(&options, home);
        fs::remove_dir_all(folder).unwrap();
        config.unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_as_it_was_found() {
        let names = ["qwen3:4b", "we\"ird\\\n[[key]]"].map(str::to_owned).to_vec();
        let address = "127.0.0.1:11434".parse().unwrap();
        let ollama = Ollama::Running { address, local: names, remote: vec!["a\nb = 1".to_owned()] };
        let variables = [("OPENAI_API_KEY", "very-secret"), ("DEEPSEEK_API_KEY", "very-secret")];
        let (text, offers) = written(&variables, ollama, &Options::default());
        assert!(!text.contains("very-secret"));
        let config = read_back(&text);
        let models: Vec<_> = config.file.deployment.iter().map(|served| served.model.as_str()).collect();
        assert_eq!(models, offers.offered.iter().flat_map(Offer::models).collect::<Vec<_>>());
        for (found, offer) in config.file.provider.iter().zip(&offers.offered) {
            assert_eq!(format!("{found:?}"), format!("{:?}", offer.provider));
        }
    }

    #[test]
    fn without_a_model_there_is_an_example_and_flags_are_kept() {
        let options = Options {
            config: None,
            data: Some("/srv/mainstay".into()),
            listen: Some("127.0.0.1:7171".parse().unwrap()),
        };
        let config = read_back(&written(&[], Ollama::Absent, &options).0);
        assert!(config.file.deployment.is_empty() && config.file.provider.is_empty());
        assert_eq!((config.listen.port(), config.data_dir), (7171, "/srv/mainstay".into()));
    }
}
