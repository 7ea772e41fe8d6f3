//! `sessions`: what is listed, shown, followed, cancelled, forked and deleted, for people and as JSON.

use serde_json::Value;

use super::{Running, SCRIPT, User};
use crate::server::Home;

/// A deployment with a price beside the one without.
const PRICED: &str = r#"
[[deployment]]
model = "priced"
provider = "mock"
price = { input = "2.00", output = "10.00" }
"#;

fn texts<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|entry| entry[name].as_str().unwrap()).collect()
}

#[test]
fn sessions_are_listed_with_how_they_began() {
    let home = Home::new("cli-list", SCRIPT, "");
    let server = home.start();
    let user = User::new(&home, &server);
    let empty = user.run(&["sessions", "list", "--json"]).good().json();
    assert_eq!((&empty["data"], &empty["has_more"]), (&serde_json::json!([]), &false.into()));
    let first = user.ask("the\nvery  first words");
    user.run(&["chat", "and more"]).good();
    let second = user.ask("hello");
    let list = user.run(&["sessions", "list", "--json"]).good().json();
    assert_eq!(texts(&list["data"], "id"), [&*second, &*first]);
    assert_eq!(texts(&list["data"], "first_words"), ["hello", "the very first words"]);
    assert_eq!((&list["data"][1]["turns"], &list["data"][1]["has_more_turns"]), (&2.into(), &false.into()));
    let one = user.run(&["sessions", "list", "--limit", "1", "--oldest", "--json"]).good().json();
    assert_eq!((texts(&one["data"], "id"), &one["has_more"]), (vec![&*first], &true.into()));
    let table = user.run(&["sessions", "list"]).good().out;
    assert!(!table.contains('\u{1b}'), "no colours where nobody looks");
    let row = table.lines().find(|line| line.contains("the very first words")).unwrap();
    assert!(row.contains(&first) && row.contains("idle") && row.contains("mock"), "{table}");
    let colored = user.run(&["sessions", "list", "--color", "always"]).good().out;
    assert!(colored.contains("\u{1b}["));
}

#[test]
fn a_session_is_shown_with_its_attempts_and_costs() {
    let home = Home::new("cli-show", SCRIPT, PRICED);
    let server = home.start();
    let user = User::new(&home, &server);
    let answer = user.run(&["chat", "--model", "priced", "--json", "please think"]).good().json();
    assert_eq!(answer["cost_pico_usd"], 2_000_020_000_000_u64);
    let shown = user.run(&["sessions", "show", "last", "--json"]).good().json();
    assert_eq!((&shown["is_whole"], &shown["session"]["cost_pico_usd"]), (&true.into(), &answer["cost_pico_usd"]));
    let journal = shown["journal"].as_array().unwrap();
    let sequences: Vec<u64> = journal.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    let ended = journal.iter().find(|event| event["type"] == "inference_ended").unwrap();
    assert_eq!(ended["receipt"]["booking"], "reported");
    let people = user.run(&["sessions", "show", "last"]).good().out;
    for part in
        ["turn 1", "please think", "Yes.", "Hm.", "1,000,000 in · 2 out", "$2.00002", "completed", "mock/priced"]
    {
        assert!(people.contains(part), "{part:?} is not in {people}");
    }
}

#[test]
fn a_session_is_followed_as_it_happens() {
    let home = Home::new("cli-tail", SCRIPT, "");
    let server = home.start();
    let user = User::new(&home, &server);
    let id = user.ask("hello");
    let all = user.run(&["sessions", "tail", &id, "--all", "--until-idle", "--json"]).good().out;
    let events: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], *kinds.last().unwrap()), ("agent.session.created", "agent.session.idle"));
    let said: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(said, "the first answer");
    let people = user.run(&["sessions", "tail", &id, "--all", "--until-idle"]).good().out;
    assert_eq!(people, "› hello\nthe first answer\n");
    assert_eq!(user.run(&["sessions", "tail", &id, "--until-idle"]).good().out, "", "it is idle");
    let mut chat = Running::start(user.command(&["chat", "a long one"]));
    chat.wait_for("three");
    let mut tail = Running::start(user.command(&["sessions", "tail", &id]));
    tail.wait_for("one two three");
    tail.interrupt();
    assert_eq!(tail.end().code, 130);
    let mut ending = Running::start(user.command(&["sessions", "tail", &id, "--until-idle"]));
    ending.wait_for("one two three");
    user.run(&["sessions", "cancel", &id]).good();
    assert_eq!(ending.end().code, 0);
    let chat = chat.end();
    assert_eq!((chat.code, chat.error.contains("cancelled")), (1, true), "{}", chat.error);
    let again = user.run(&["sessions", "cancel", &id]);
    assert_eq!(again.code, 4, "nothing runs: {}", again.error);
}

#[test]
fn a_fork_has_the_past_and_a_future_of_its_own() {
    let home = Home::new("cli-fork", SCRIPT, "");
    let server = home.start();
    let user = User::new(&home, &server);
    let parent = user.ask("hello");
    let turn = user.run(&["chat", "--json", "again"]).good().json()["turn_id"].as_str().unwrap().to_owned();
    let fork = user.run(&["sessions", "fork", &parent]).good().out.trim().to_owned();
    assert_eq!(user.run(&["chat", "--session", &fork, "third"]).good().out, "a later answer\n");
    let shown = user.run(&["sessions", "show", &parent, "--json"]).good().json();
    let first_turn = shown["journal"].as_array().unwrap().iter().find(|event| event["type"] == "turn_started").unwrap();
    let first_turn = first_turn["turn_id"].as_str().unwrap();
    let early = user.run(&["sessions", "fork", &parent, "--turn", first_turn, "--json"]).good().json();
    assert_eq!(early["parent"]["session_id"], *parent);
    let early = early["id"].as_str().unwrap();
    assert_eq!(user.run(&["chat", "--session", early, "now"]).good().out, "the second answer\n");
    assert_eq!(
        user.run(&["chat", "--session", &parent, "now"]).good().out,
        "a later answer\n",
        "the parent went on alone"
    );
    assert_eq!(user.run(&["sessions", "fork", early, "--turn", &turn]).code, 4, "a turn of another session");
    assert_eq!(user.run(&["sessions", "fork", &parent, "--turn", "turn_x"]).code, 4);
}

#[test]
fn a_session_is_deleted_only_when_that_is_meant() {
    let home = Home::new("cli-delete", SCRIPT, "");
    let server = home.start();
    let user = User::new(&home, &server);
    let id = user.ask("hello");
    assert_eq!(user.run(&["sessions", "delete", &id]).code, 2, "nobody is there to confirm it");
    user.run(&["sessions", "show", &id]).good();
    let deleted = user.run(&["sessions", "delete", &id, "--yes", "--json"]).good().json();
    assert_eq!((&deleted["id"], &deleted["deleted"]), (&id.as_str().into(), &true.into()));
    for verb in ["show", "tail", "cancel", "fork", "delete"] {
        assert_eq!(user.run(&["sessions", verb, &id]).code, 3, "{verb}");
    }
}
