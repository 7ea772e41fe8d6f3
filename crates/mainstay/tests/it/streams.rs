//! Many streams at once: all are held open together, and all go on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    http::{Incoming, Request, exchange, field, open},
    server::{Home, Server},
};

const STREAMS: usize = 2_000;
/// What the server may take with all of them open (NUMBERS.md).
const MOST_RESIDENT: u64 = 500 << 20;
/// Between two looks at its memory.
const LOOK: Duration = Duration::from_millis(50);
/// Open files that one end needs.
const FILES: u64 = 2 * STREAMS as u64;
/// What the server is started with, as by a common shell: it helps itself to more.
const FEW_FILES: u64 = 1_024;

const SCRIPT: &str = r#"
[[reply]]
repeat = true
steps = [{ text = "one two three four five six seven eight nine ten eleven twelve", delay_ms = 100 }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_at_once() {
    let home = Home::new("streams", SCRIPT, "");
    allow_files(FEW_FILES);
    let server = Arc::new(home.start());
    allow_files(FILES);
    let before = server.resident();
    let (peak, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let watch = tokio::spawn(watch(Arc::clone(&server), Arc::clone(&peak), Arc::clone(&is_over)));
    let all_open = Arc::new(Barrier::new(STREAMS));
    let mut clients = JoinSet::new();
    for _ in 0..STREAMS {
        clients.spawn(client(Arc::clone(&server), Arc::clone(&all_open)));
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    watch.await.unwrap();
    let peak = peak.load(Ordering::Relaxed);
    println!("{STREAMS} streams: {} MB resident at most, {} MB before", peak >> 20, before >> 20);
    assert!(peak <= MOST_RESIDENT, "{peak} bytes resident");
    home.check_log();
}

/// Two turns of a session on one stream; the second begins when all streams are open.
async fn client(server: Arc<Server>, all_open: Arc<Barrier>) {
    let body =
        json!({ "agent": { "model": "mock" }, "input": "go", "stream": true, "environment": { "type": "none" } });
    let request = Request::post("/v1/agents/sessions", &body).key(&server.key);
    let mut incoming = open(server.address, &request).await.unwrap();
    assert_eq!(incoming.status, 200);
    let (session, deltas) = turn(&mut incoming).await;
    assert_eq!(deltas, 12);
    all_open.wait().await;
    let message = json!({ "events": [{ "type": "agent.session.input.message", "input": "again" }] });
    let path = format!("/v1/agents/sessions/{session}/events");
    let reply = exchange(server.address, &Request::post(path, &message).key(&server.key)).await.unwrap();
    assert_eq!(reply.status, 202, "{}", reply.text);
    let (same, deltas) = turn(&mut incoming).await;
    assert_eq!((same, deltas), (session, 12));
}

/// Reads to the end of a turn: the session and how often the model spoke.
async fn turn(incoming: &mut Incoming) -> (String, usize) {
    let mut deltas = 0;
    loop {
        let event = incoming.event().await.unwrap().expect("the stream goes on");
        match field(&event, "event").unwrap() {
            "agent.session.turn.output_text.delta" => deltas += 1,
            "agent.session.idle" => {
                let session = crate::http::data(&event)["session"]["id"].as_str().unwrap().to_owned();
                return (session, deltas);
            }
            "agent.session.turn.failed" => panic!("{event}"),
            _ => {}
        }
    }
}

async fn watch(server: Arc<Server>, peak: Arc<AtomicU64>, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::Relaxed) {
        peak.fetch_max(server.resident(), Ordering::Relaxed);
        tokio::time::sleep(LOOK).await;
    }
}

/// Sets the soft limit on open files of this process and of those that it starts.
fn allow_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    assert!(limit.maximum.is_none_or(|maximum| maximum >= count), "too few open files allowed: {limit:?}");
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit }).unwrap();
}
