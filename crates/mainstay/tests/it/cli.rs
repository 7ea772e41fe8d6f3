//! The command line against a server: `mainstay` is run as a script or a person runs it, and its outputs and exit codes
//! are looked at.

mod chat;
mod hostile;
mod native;
mod sessions;
mod shell;
mod terminal;

use std::{
    io::Read,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::server::{Home, Server};

/// Answers that say which turn it is, one that takes long, and ones that go wrong.
const SCRIPT: &str = r#"
continues_prefix = true
[[reply]]
when = { contains = "long" }
steps = [{ text = "one two three " }, { delay_ms = 60000 }, { text = "four" }]
[[reply]]
when = { contains = "broken" }
repeat = true
steps = [{ fail = { kind = "invalid_request", message = "no such thing" } }]
[[reply]]
when = { contains = "think" }
repeat = true
steps = [{ reasoning = "Hm." }, { text = "Yes." }, { usage = { input = 1000000, output = 2 } }]
[[reply]]
when = { turn = 1 }
repeat = true
steps = [{ text = "the first answer" }]
[[reply]]
when = { turn = 2 }
repeat = true
steps = [{ text = "the second answer" }]
[[reply]]
repeat = true
steps = [{ text = "a later answer" }]
"#;

/// What a command left behind.
struct Done {
    code: i32,
    out: String,
    error: String,
}

impl Done {
    /// Standard output as one JSON document.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.error))
    }

    /// The exit code must be 0.
    #[track_caller]
    fn good(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.error);
        self
    }
}

/// A user's command line at a server.
struct User<'a> {
    home: &'a Home,
    url: String,
}

impl<'a> User<'a> {
    fn new(home: &'a Home, server: &Server) -> Self {
        Self { home, url: format!("http://{}", server.address) }
    }

    /// A command that talks to the server, without anything of this machine's user.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(arguments).arg("--url").arg(&self.url).arg("--data").arg(self.home.data());
        command.env("XDG_STATE_HOME", self.home.path().join("state"));
        command.env("XDG_CONFIG_HOME", self.home.path().join("configuration"));
        for name in ["MAINSTAY_URL", "MAINSTAY_API_KEY", "MAINSTAY_DATA", "NO_COLOR"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments))
    }

    /// Asks one question in a new session; the session's id.
    fn ask(&self, prompt: &str) -> String {
        let answer = self.run(&["chat", "--new", "--json", prompt]).good().json();
        answer["session_id"].as_str().unwrap().to_owned()
    }
}

fn finish(mut command: Command) -> Done {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap_or(-1), out: text(output.stdout), error: text(output.stderr) }
}

/// A command under way.
struct Running {
    child: Child,
    out: ChildStdout,
    seen: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        Self { child, out, seen: String::new() }
    }

    /// Reads on until standard output holds this.
    fn wait_for(&mut self, text: &str) {
        let mut byte = [0];
        while !self.seen.contains(text) {
            assert_eq!(self.out.read(&mut byte).unwrap(), 1, "it ended: {}", self.seen);
            self.seen.push(char::from(byte[0]));
        }
    }

    /// Ctrl-C.
    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    fn end(mut self) -> Done {
        self.out.read_to_string(&mut self.seen).unwrap();
        let output = self.child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        Done { code: output.status.code().unwrap_or(-1), out: self.seen, error }
    }
}
