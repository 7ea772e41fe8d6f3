//! CPU of a streamed event: deltas with pauses between them, so that each is shown, and durable before that. Many
//! streams at once share commits; their number is the case.

use std::{sync::mpsc, thread};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{
    Scale,
    figure::{Figure, median},
    server::{Server, response_body, session_body},
};

/// Stack of a client's thread: two thousand of them must fit.
const STACK: usize = 128 << 10;

/// So many streams of so many deltas, with so many milliseconds between two.
struct Case {
    streams: usize,
    deltas: usize,
    pause_ms: u32,
}

const fn case(streams: usize, deltas: usize, pause_ms: u32) -> Case {
    Case { streams, deltas, pause_ms }
}

/// Streams of the case with a target for memory.
const MANY: usize = 2_000;

/// One stream from its request to the end of its turn; says how many events that were.
type Wire = fn(&Server) -> Result<u64>;

/// The wires.
const WIRES: [(&str, Wire); 2] = [("agents", agents), ("responses", responses)];

/// The first without pauses, as gateways are measured: a reply of 52 events that comes at once.
const QUICK: [Case; 5] = [case(8, 52, 0), case(1, 200, 2), case(16, 200, 5), case(64, 100, 10), case(500, 30, 50)];
const FULL: [Case; 5] = [case(8, 52, 0), case(1, 500, 2), case(16, 500, 5), case(64, 500, 10), case(MANY, 100, 150)];

pub(super) fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let cases = if scale.quick { QUICK } else { FULL };
    let mut figures = Vec::new();
    for case in &cases {
        let folder = scale.folder("stream")?;
        let text = "word ".repeat(case.deltas);
        let server =
            Server::start(&scale.binary, &folder, &format!("{{ text = \"{text}\", delay_ms = {} }}", case.pause_ms))?;
        let shown = format!("{} streams, {} ms", case.streams, case.pause_ms);
        for (name, wire) in WIRES {
            let mut took = Vec::new();
            for _ in 0..scale.of(1, 3) {
                let before = server.cpu_us()?;
                let events = streams(&server, case.streams, wire)?;
                took.push((server.cpu_us()? - before) / events as f64);
            }
            let figure = Figure::new(("stream", name), shown.clone(), "cpu_us_per_event", median(took));
            figures.push(figure.target("<= 20").peers("TensorZero 23, LiteLLM 1,050, both without a journal"));
        }
        let peak = Figure::new(("stream", "both"), shown, "peak_mib", server.peak_mib()?);
        figures.push(if case.streams >= MANY { peak.target("<= 500") } else { peak });
        server.stop()?;
    }
    Ok(figures)
}

/// So many streams at once, to their ends. Says how many events that were.
fn streams(server: &Server, count: usize, wire: Wire) -> Result<u64> {
    let (done, counted) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..count {
            let done = done.clone();
            let one = move || {
                // Nobody listens any more only where another stream has failed.
                let _ = done.send(wire(server));
            };
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, one).context("starting a client")?;
        }
        drop(done);
        counted.iter().sum()
    })
}

fn agents(server: &Server) -> Result<u64> {
    let body = session_body(Some("Go on."), true);
    server.client()?.stream("POST", "/v1/agents/sessions", Some(&body))?.until("agent.session.idle")
}

fn responses(server: &Server) -> Result<u64> {
    let mut body = response_body("Go on.", None);
    body["stream"] = json!(true);
    server.client()?.stream("POST", "/v1/responses", Some(&body))?.until("response.completed")
}
