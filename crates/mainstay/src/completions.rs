//! `completions`: what a shell needs to complete this command line, made from the command line's own description.

use std::io::Write;

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_complete::Shell;

/// What `completions` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mainstay completions bash > ~/.local/share/bash-completion/completions/mainstay
  mainstay completions zsh  > ~/.zfunc/_mainstay      (with ~/.zfunc in $fpath)
  mainstay completions fish > ~/.config/fish/completions/mainstay.fish")]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
pub(crate) fn print(arguments: &Arguments, mut command: Command) -> Result<()> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    std::io::stdout().write_all(&script).context("writing the completions")
}
