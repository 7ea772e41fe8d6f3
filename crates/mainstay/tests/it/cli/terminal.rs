//! The conversation on a terminal, through a pseudo-terminal: what is typed, what is shown, Ctrl-C, Ctrl-D, coming back.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    process::{Child, Command},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::{SCRIPT, User};
use crate::server::Home;

/// A program on a terminal of 80 columns.
struct Terminal {
    child: Child,
    master: File,
    shown: String,
    /// Up to where `wait_for` has looked.
    seen: usize,
}

impl Terminal {
    fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = OpenOptions::new().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&slave, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        command.env("TERM", "xterm-256color");
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = command.spawn().unwrap();
        // The command holds the terminal's other end; without it, the end of the program shows.
        drop(command);
        Self { child, master: File::from(master), shown: String::new(), seen: 0 }
    }

    /// Types.
    fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads on until this was shown after what was waited for before.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            let mut bytes = [0; 4_096];
            let count = self.master.read(&mut bytes).unwrap_or(0);
            assert!(count > 0, "it ended before {text:?} was shown: {}", self.shown);
            // Torn characters only matter to who reads them: nothing here waits for one that is.
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Waits for the prompt.
    #[track_caller]
    fn wait_for_prompt(&mut self) {
        self.wait_for("›");
    }

    fn end(mut self) -> (i32, String) {
        let mut bytes = [0; 4_096];
        while let Ok(count @ 1..) = self.master.read(&mut bytes) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        (self.child.wait().unwrap().code().unwrap_or(-1), self.shown)
    }
}

#[test]
fn a_conversation_can_be_held_interrupted_left_and_come_back_to() {
    let home = Home::new("cli-terminal", SCRIPT, "");
    let server = home.start();
    let user = User::new(&home, &server);
    let mut terminal = Terminal::start(user.command(&["chat"]));
    terminal.wait_for("new session");
    terminal.wait_for("mock");
    terminal.wait_for_prompt();
    terminal.send("hello\r");
    terminal.wait_for("the first answer");
    terminal.wait_for("out");
    terminal.wait_for_prompt();
    terminal.send("a long one\r");
    terminal.wait_for("three");
    kill_process(Pid::from_child(&terminal.child), Signal::INT).unwrap();
    terminal.wait_for("interrupted");
    terminal.wait_for_prompt();
    terminal.send("/sessions\r");
    terminal.wait_for("hello");
    terminal.wait_for_prompt();
    terminal.send("/nothing\r");
    terminal.wait_for("/help");
    terminal.wait_for_prompt();
    terminal.send("again\r");
    terminal.wait_for("a later answer");
    terminal.wait_for_prompt();
    terminal.send("\u{4}");
    terminal.wait_for("come back with");
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");

    let mut terminal = Terminal::start(user.command(&["chat"]));
    terminal.wait_for("going on");
    terminal.wait_for("3 turns");
    terminal.wait_for("a later answer");
    terminal.wait_for_prompt();
    // What was typed comes back with the arrow key.
    terminal.send("\u{1b}[A");
    terminal.wait_for("again");
    terminal.send("\u{3}");
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
}

#[test]
fn tables_fit_the_terminal_and_colours_can_be_refused() {
    let home = Home::new("cli-table", SCRIPT, "");
    let server = home.start();
    let user = User::new(&home, &server);
    let id = user.ask(&"many words that do not fit into a row ".repeat(5));
    let (code, shown) = Terminal::start(user.command(&["sessions", "list"])).end();
    assert!(code == 0 && shown.contains("\u{1b}[") && shown.contains('…'), "{shown}");
    assert!(shown.contains(&id[id.len() - 8..]) && !shown.contains(&id), "{shown}");
    let mut command = user.command(&["sessions", "list"]);
    command.env("NO_COLOR", "1");
    let (_, plain) = Terminal::start(command).end();
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert!(plain.lines().all(|line| line.trim_end().chars().count() <= 80), "{plain}");
}
