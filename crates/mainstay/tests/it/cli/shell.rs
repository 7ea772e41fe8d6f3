//! What shells and manuals are given: completions that each shell reads, pages for every verb.

use std::{
    fs,
    process::{Command, Stdio},
};

use super::finish;
use crate::server::Home;

fn mainstay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(arguments);
    command
}

#[test]
fn completions_are_read_by_their_shells() {
    let home = Home::new("cli-completions", "", "");
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute"), ("elvish", ""), ("powershell", "")]
    {
        let script = finish(mainstay(&["completions", shell])).good().out;
        assert!(script.contains("sessions") && script.contains("until-idle"), "{shell}");
        let path = home.path().join(shell);
        fs::write(&path, script).unwrap();
        // A shell that this machine lacks is not asked.
        let found = Command::new(shell).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if found && !check.is_empty() {
            assert!(Command::new(shell).arg(check).arg(&path).status().unwrap().success(), "{shell}");
        }
    }
    assert_eq!(finish(mainstay(&["completions", "tcsh"])).code, 2);
}

#[test]
fn every_verb_has_a_page() {
    let home = Home::new("cli-man", "", "");
    let pages = home.path().join("pages");
    finish(mainstay(&["man", "--dir", pages.to_str().unwrap()])).good();
    for name in ["mainstay.1", "mainstay-chat.1", "mainstay-sessions.1", "mainstay-sessions-show.1", "mainstay-serve.1"]
    {
        let page = fs::read_to_string(pages.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".TH ") && page.contains(".SH SYNOPSIS"), "{name}");
    }
    let page = finish(mainstay(&["man", "sessions", "show"])).good().out;
    assert!(page.contains("timeline"), "{page}");
    let top = finish(mainstay(&["man"])).good().out;
    assert!(top.contains("130"), "the exit codes are in it");
    let unknown = finish(mainstay(&["man", "nothing"]));
    assert_eq!(unknown.code, 1, "{}", unknown.error);
}

#[test]
fn help_names_the_exit_codes() {
    let help = finish(mainstay(&["--help"])).good().out;
    for part in ["chat", "sessions", "completions", "Exit codes", "130"] {
        assert!(help.contains(part), "{part}");
    }
}
