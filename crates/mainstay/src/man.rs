//! `man`: the manual's pages, made from the command line's own description.

use std::{fs, io::Write, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_mangen::Man;

/// What `man` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mainstay man | man -l -                       read the page
  mainstay man sessions show | man -l -         the page of a verb
  mainstay man --dir ~/.local/share/man/man1    install all pages")]
pub(crate) struct Arguments {
    /// The verb whose page is printed. Left out: the page of mainstay itself.
    #[arg(value_name = "VERB", conflicts_with = "dir")]
    verb: Vec<String>,
    /// Write all pages into this directory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints a page, or writes all.
pub(crate) fn print(arguments: &Arguments, mut command: Command) -> Result<()> {
    if let Some(dir) = &arguments.dir {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        return clap_mangen::generate_to(command, dir).with_context(|| format!("writing into {}", dir.display()));
    }
    command.build();
    let mut page = &command;
    for verb in &arguments.verb {
        page = page.find_subcommand(verb).with_context(|| format!("there is no verb {}", arguments.verb.join(" ")))?;
    }
    let mut text = Vec::new();
    Man::new(page.clone()).render(&mut text).context("making the page")?;
    std::io::stdout().write_all(&text).context("writing the page")
}
