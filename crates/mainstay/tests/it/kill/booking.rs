//! An inference that is cut off by a kill is booked, and booked once: its estimate and what the provider reported for
//! the attempt that went on, to the token.

use mainstay_runtime::fault::Bug;
use serde_json::{Value, json};

use crate::{
    http::{Incoming, Request, field, open},
    server::{Home, Server},
};

/// It waits where the kill comes; the attempt that goes on is past that.
const SCRIPT: &str = r#"
continues_prefix = true
[[reply]]
repeat = true
steps = [
  { text = "one two three " },
  { delay_ms = 600000 },
  { text = "four" },
  { usage = { input = 100000, output = 1 } },
]
"#;
/// What the script reports.
const REPORTED: u64 = 100_000;
/// Deltas before the wait.
const DELTAS: usize = 3;

/// Input tokens of a response that was killed once, and of one that was cancelled at the same place.
fn booked(bug: Option<Bug>) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let home = Home::new("booking", SCRIPT, "");
        let bug: Vec<_> = bug.map(|bug| ("MAINSTAY_FAULT_BUG", format!("{bug:?}"))).into_iter().collect();
        let mut server = home.start_with(&bug).unwrap();
        let cancelled = speak(&server).await;
        server.post(&format!("{cancelled}/cancel"), &json!({})).await;
        let killed = speak(&server).await;
        server.kill();
        let server = home.start_with(&bug).unwrap();
        let (killed, cancelled) = (ended(&server, &killed).await, ended(&server, &cancelled).await);
        assert_eq!((&killed["status"], &cancelled["status"]), (&json!("completed"), &json!("cancelled")));
        assert_eq!(killed["output"][0]["content"][0]["text"], "one two three four");
        let input = |response: &Value| response["usage"]["input_tokens"].as_u64().unwrap();
        (input(&killed), input(&cancelled))
    })
}

/// The path of a response that has come to the wait.
async fn speak(server: &Server) -> String {
    let body = json!({ "model": "mock", "input": "count", "background": true });
    let response = server.post("/v1/responses", &body).await.json();
    let path = format!("/v1/responses/{}", response["id"].as_str().unwrap());
    let mut stream = stream(server, &path).await;
    let mut deltas = 0;
    while deltas < DELTAS {
        let event = stream.event().await.unwrap().unwrap();
        deltas += usize::from(field(&event, "event") == Some("response.output_text.delta"));
    }
    path
}

/// The response once it is over.
async fn ended(server: &Server, path: &str) -> Value {
    let mut stream = stream(server, path).await;
    while stream.event().await.unwrap().is_some() {}
    server.get(path).await.json()
}

async fn stream(server: &Server, path: &str) -> Incoming {
    let request = Request::get(format!("{path}?stream=true")).key(&server.key);
    open(server.address, &request).await.unwrap()
}

#[test]
fn an_attempt_that_was_cut_off_is_booked_once() {
    let (killed, estimate) = booked(None);
    assert!(estimate > 0);
    assert_eq!(killed, REPORTED + estimate);
}

#[test]
fn finds_an_attempt_that_is_booked_twice() {
    let (killed, estimate) = booked(Some(Bug::BookedTwice));
    assert_ne!(killed, REPORTED + estimate);
}
