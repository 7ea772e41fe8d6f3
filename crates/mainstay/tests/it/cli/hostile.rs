//! What a model or a user wrote must not reach the terminal as a command for it.

use super::User;
use crate::server::Home;

/// A title, the clipboard, the cursor, a colour, reordering; in pieces of three bytes.
const SCRIPT: &str = r#"
[[reply]]
when = { contains = "fail" }
repeat = true
steps = [{ fail = { kind = "invalid_request", message = "bad \u001b[2Jwolf" } }]
[[reply]]
repeat = true
steps = [{ text = "a\u001b]0;title\u0007b\u001b]52;c;ZXZpbA==\u001b\\c\u001b[2Jd\u009b1;31me\rf\u202eg\n\th", split = 3 }]
"#;

/// What would be a command.
const COMMANDS: [char; 6] = ['\u{1b}', '\u{7}', '\u{9b}', '\r', '\u{202e}', '\u{7f}'];

#[test]
fn terminal_commands_are_taken_out_of_what_is_shown() {
    let home = Home::new("cli-hostile", SCRIPT, "");
    let server = home.start();
    let user = User::new(&home, &server);
    let prompt = "evil \u{1b}]0;title\u{7}\u{9b}2Jwords";
    assert_eq!(user.run(&["chat", prompt]).good().out, "abcdefg\n\th\n");
    let failed = user.run(&["chat", "please fail"]);
    assert!(failed.error.contains("bad wolf"), "{:?}", failed.error);
    for arguments in [
        &["sessions", "list"][..],
        &["sessions", "list", "--json"],
        &["sessions", "show", "last"],
        &["sessions", "show", "last", "--full"],
        &["sessions", "show", "last", "--json"],
        &["sessions", "tail", "last", "--all", "--until-idle"],
        &["sessions", "tail", "last", "--all", "--until-idle", "--json"],
    ] {
        let done = user.run(arguments).good();
        for text in [&done.out, &done.error, &failed.error] {
            assert!(!text.contains(COMMANDS), "{arguments:?}: {text:?}");
        }
        assert!(done.out.contains("evil"), "{arguments:?}: {}", done.out);
    }
    // JSON keeps the text as it was, in escapes.
    let shown = user.run(&["sessions", "list", "--json"]).good().json();
    assert!(shown["data"][0]["first_words"].as_str().unwrap().contains('\u{9b}'));
}
