//! `chat` with one prompt: the answer, the session that goes on, a server that dies, Ctrl-C.

use std::{fs, io::Write, process::Stdio};

use super::{Running, SCRIPT, User, finish};
use crate::server::Home;

#[test]
fn one_question_gives_its_answer_and_nothing_else() {
    let home = Home::new("cli-once", SCRIPT, "");
    let server = home.start();
    let user = User::new(&home, &server);
    let done = user.run(&["chat", "hello"]).good();
    assert_eq!((done.out.as_str(), done.error.as_str()), ("the first answer\n", ""));
    let answer = user.run(&["chat", "--new", "--json", "please", "think"]).good().json();
    assert_eq!((&answer["text"], &answer["status"]), (&"Yes.".into(), &"completed".into()));
    assert_eq!(answer["usage"]["input_tokens"], 1_000_000);
    assert!(answer["turn_id"].as_str().unwrap().starts_with("turn_"), "{answer}");
}

#[test]
fn the_last_session_goes_on_unless_another_is_asked_for() {
    let home = Home::new("cli-resume", SCRIPT, "");
    let server = home.start();
    let user = User::new(&home, &server);
    let first = user.ask("hello");
    assert_eq!(user.run(&["chat", "again"]).good().out, "the second answer\n");
    let second = user.ask("hello");
    assert_ne!(first, second);
    assert_eq!(user.run(&["chat", "--session", &first, "third"]).good().out, "a later answer\n");
    let ending = &second[second.len() - 8..];
    assert_eq!(user.run(&["chat", "-s", ending, "again"]).good().out, "the second answer\n");
    assert_eq!(user.run(&["chat", "--session", "last", "third"]).good().out, "a later answer\n");
    // What is gone is not gone on with.
    user.run(&["sessions", "delete", "--yes", "last"]).good();
    assert_eq!(user.run(&["chat", "hello"]).good().out, "the first answer\n");
    // A model is of a session, so it begins one.
    assert_eq!(user.run(&["chat", "--model", "mock", "hello"]).good().out, "the first answer\n");
}

#[test]
fn standard_input_is_the_prompt_or_a_part_of_it() {
    let echo = "[[reply]]\nrepeat = true\nsteps = [{ echo = true }]\n";
    let home = Home::new("cli-stdin", echo, "");
    let server = home.start();
    let user = User::new(&home, &server);
    for (arguments, expected) in [
        (&["chat", "--new"][..], "piped words\n"),
        (&["chat", "--new", "Sum up:", "-"], "Sum up:\n\npiped words\n"),
        (&["chat", "--new", "only", "this"], "only this\n"),
    ] {
        let mut child = user
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The last one does not read it.
        let _ = child.stdin.take().unwrap().write_all(b"piped words\n");
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(user.run(&["chat"]).code, 2, "nothing is piped");
}

#[test]
fn an_answer_goes_on_after_the_server_was_killed() {
    let home = Home::new("cli-kill", SCRIPT, "");
    let mut server = home.start();
    let user = User::new(&home, &server);
    let mut chat = Running::start(user.command(&["chat", "a long one"]));
    chat.wait_for("three");
    server.kill();
    // What the model waited for has come.
    fs::write(home.path().join("replies.toml"), SCRIPT.replace("60000", "1")).unwrap();
    let _server = home.start_at(server.address);
    let done = chat.end().good();
    assert_eq!(done.out, "one two three four\n", "each word once");
    assert!(done.error.contains("lost") && done.error.contains("again"), "{}", done.error);
    home.check_log();
}

#[test]
fn ctrl_c_interrupts_the_turn_and_the_session_stays() {
    let home = Home::new("cli-interrupt", SCRIPT, "");
    let server = home.start();
    let user = User::new(&home, &server);
    let mut chat = Running::start(user.command(&["chat", "a long one"]));
    chat.wait_for("three");
    chat.interrupt();
    let done = chat.end();
    assert_eq!(done.code, 130, "{}", done.error);
    let shown = user.run(&["sessions", "show", "last", "--json"]).good().json();
    assert_eq!(shown["session"]["status"], "idle");
    let journal = shown["journal"].as_array().unwrap();
    assert!(journal.iter().any(|event| event["type"] == "turn_ended" && event["status"] == "cancelled"), "{shown:#}");
    assert_eq!(user.run(&["chat", "again"]).good().out, "the second answer\n");
}

#[test]
fn exit_codes_tell_what_went_wrong_and_errors_what_to_do() {
    let home = Home::new("cli-codes", SCRIPT, "");
    let mut server = home.start();
    let user = User::new(&home, &server);
    let check = |arguments: &[&str], code: i32, says: &str| {
        let done = user.run(arguments);
        assert_eq!(done.code, code, "{arguments:?}: {}", done.error);
        assert!(done.error.contains(says), "{arguments:?}: {says:?} is not in {:?}", done.error);
    };
    check(&["chat", "broken"], 1, "no such thing");
    check(&["chat", "--no-such-flag", "x"], 2, "--no-such-flag");
    check(&["chat", "--new", "--session", "last", "x"], 2, "--session");
    check(&["chat", "   "], 2, "empty");
    check(&["chat", "--model", "none", "x"], 3, "mock");
    check(&["chat", "--session", "sess_none", "x"], 3, "sessions list");
    check(&["chat", "--session", "zzzzzzzz", "x"], 3, "sessions list");
    check(&["sessions", "show", "../../healthz"], 3, "not the id");
    let mut foreign = user.command(&["chat", "x"]);
    foreign.env("MAINSTAY_API_KEY", "msk-wrong");
    let foreign = finish(foreign);
    assert_eq!(foreign.code, 4, "{}", foreign.error);
    assert!(foreign.error.contains("MAINSTAY_API_KEY"), "{}", foreign.error);
    assert!(!foreign.error.contains("msk-wrong"), "a key is never shown");
    server.kill();
    check(&["chat", "x"], 5, "mainstay serve");
    check(&["sessions", "list"], 5, "mainstay serve");
}
