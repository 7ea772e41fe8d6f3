//! The process as its operator meets it: one per data directory, an orderly end, the first key.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use serde_json::{Value, json};

use crate::{
    http::{Incoming, Request, data, exchange, field, open},
    server::{Home, Server},
};

/// `short` ends while a stop is waited for, `long` does not.
const SCRIPT: &str = r#"
continues_prefix = true
[[reply]]
when = { contains = "short" }
steps = [{ text = "a b c d e f g h i j k l", delay_ms = 40 }]
[[reply]]
when = { contains = "long" }
steps = [{ text = "one two three " }, { delay_ms = 60000 }, { text = "four" }]
"#;

fn text_of(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().to_owned()
}

fn key_of(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text_of(&output.stderr));
    text_of(&output.stdout)
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_why() {
    let home = Home::new("second", SCRIPT, "");
    let first = home.start();
    let output = home.command("serve").output().unwrap();
    assert!(!output.status.success());
    assert_eq!(text_of(&output.stdout), "", "it must not say that it listens");
    let why = text_of(&output.stderr);
    let holder = first.pid().as_raw_nonzero().to_string();
    for part in [home.data().to_str().unwrap(), &holder] {
        assert!(why.contains(part), "{part:?} is not in: {why}");
    }
    let health = first.get("/healthz").await;
    assert_eq!((health.status, &*health.text), (200, "ok\n"));
    drop(first);
    home.start();
}

#[tokio::test]
async fn the_first_key_is_made_once_and_for_its_owner_only() {
    let home = Home::new("key", SCRIPT, "");
    let key = key_of(home.command("key"));
    assert!(key.starts_with("msk-") && key.len() > 40, "{key}");
    let file = home.data().join("api-key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let server = home.start();
    assert_eq!(key_of(home.command("key")), key, "also beside a server");
    let models = exchange(server.address, &Request::get("/v1/models").key(&key)).await.unwrap();
    assert_eq!(models.status, 200, "{}", models.text);
    assert_eq!(models.json()["data"][0]["id"], "mock");
}

/// Starts a session and reads its stream until the model speaks.
async fn talk(server: &Server, words: &str) -> (Vec<String>, Incoming) {
    let body = json!({
        "agent": { "model": "mock" }, "input": words, "stream": true, "environment": { "type": "none" },
    });
    let request = Request::post("/v1/agents/sessions", &body).key(&server.key);
    let mut incoming = open(server.address, &request).await.unwrap();
    assert_eq!(incoming.status, 200);
    let mut events = Vec::new();
    loop {
        let event = incoming.event().await.unwrap().expect("the stream goes on");
        let is_delta = field(&event, "event") == Some("agent.session.turn.output_text.delta");
        events.push(event);
        if is_delta {
            return (events, incoming);
        }
    }
}

/// Reads on until the session is idle, after `events`.
async fn resume(server: &Server, session: &str, after: Option<&str>) -> Vec<String> {
    let beginning = format!("evt_{}_0_0_0", session.trim_start_matches("sess_"));
    let request = Request::get(format!("/v1/agents/sessions/{session}/events"));
    let request = request.header("last-event-id", after.unwrap_or(&beginning)).key(&server.key);
    let mut incoming = open(server.address, &request).await.unwrap();
    assert_eq!(incoming.status, 200);
    let mut events = Vec::new();
    loop {
        let event = incoming.event().await.unwrap().expect("the stream goes on");
        let is_last = field(&event, "event") == Some("agent.session.idle");
        events.push(event);
        if is_last {
            return events;
        }
    }
}

fn said(events: &[String]) -> String {
    let is_delta = |event: &&String| field(event, "event") == Some("agent.session.turn.output_text.delta");
    let deltas = events.iter().filter(is_delta).map(|event| data(event)["delta"].as_str().unwrap().to_owned());
    deltas.collect()
}

/// SIGTERM while the model speaks; then a new process goes on where the client was.
async fn stop_and_go_on(words: &str, script: &str, whole: &str) {
    let home = Home::new("stop", script, "");
    let mut server = home.start();
    let (mut seen, mut incoming) = talk(&server, words).await;
    let session = data(&seen[0])["session"]["id"].as_str().unwrap().to_owned();
    let (status, ()) = tokio::join!(server.terminate(), async {
        while let Some(event) = incoming.event().await.expect("the stream ends in order") {
            seen.push(event);
        }
    });
    assert_eq!(status.code(), Some(0), "{}", home.log());
    // What the model waited for has come.
    fs::write(home.path().join("replies.toml"), script.replace("60000", "1")).unwrap();
    let server = home.start();
    let last = field(seen.last().unwrap(), "id").unwrap().to_owned();
    if field(seen.last().unwrap(), "event") != Some("agent.session.idle") {
        seen.extend(resume(&server, &session, Some(&last)).await);
    }
    assert_eq!(said(&seen), whole);
    assert_eq!(resume(&server, &session, None).await, seen);
    let turns: Value = server.get(&format!("/v1/agents/sessions/{session}/turns")).await.json();
    assert_eq!(turns["data"][0]["status"], "completed", "{turns}");
    home.check_log();
}

#[tokio::test]
async fn a_turn_that_ends_in_time_is_let_end_before_a_stop() {
    stop_and_go_on("short", SCRIPT, "a b c d e f g h i j k l").await;
}

#[tokio::test]
async fn a_turn_that_is_stopped_goes_on_with_the_next_start() {
    stop_and_go_on("long", SCRIPT, "one two three four").await;
}
