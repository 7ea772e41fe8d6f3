//! CPU of a stateless inference: Chat Completions in and out, an instant model, whole and as a stream of 52 events. The
//! gateway's process alone is counted. Ours is authenticated, intended on disk before it is sent, and booked.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    Scale,
    figure::{Figure, median},
    gateway_peer::{self, Peer},
    http::Client,
    server::Server,
    upstream::Upstream,
};

/// Clients at once: alone, every intent waits for the disk by itself; together they share commits.
const CLIENTS: [usize; 2] = [1, 8];
/// Events of the model's stream.
const EVENTS: f64 = 52.0;

/// Where requests go, and whose CPU is counted.
struct Gateway {
    name: &'static str,
    host: String,
    key: String,
    path: String,
    model: String,
    headers: Vec<(&'static str, String)>,
    cpu_us: Box<dyn Fn() -> Result<f64>>,
    resident_mib: Box<dyn Fn() -> Result<f64>>,
}

pub(super) fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let folder = scale.folder("gateway")?;
    let upstream = Upstream::start()?;
    let settings = format!("kind = \"openai-chat\"\nbase_url = \"http://{}/v1\"\ndialect = \"openai\"", upstream.host);
    let server = Server::with_provider(&scale.binary, &folder, &settings)?;
    let mut figures = measured(scale, &ours(&server))?;
    server.stop()?;
    for peer in gateway_peer::PEERS {
        // A peer that cannot be had here is named, not left out in silence.
        match peer.start(&folder, &upstream.host) {
            Ok(running) => figures.extend(measured(scale, &theirs(peer, running)).unwrap_or_else(|error| {
                eprintln!("{}: {error:#}", peer.name);
                Vec::new()
            })),
            Err(error) => eprintln!("{}: SKIPPED: {error:#}", peer.name),
        }
    }
    Ok(figures)
}

fn ours(server: &Server) -> Gateway {
    let (cpu, memory) = (server.meter(), server.meter());
    Gateway {
        name: "mainstay",
        host: server.host.clone(),
        key: server.key.clone(),
        path: "/v1/chat/completions".to_owned(),
        model: "bench".to_owned(),
        headers: Vec::new(),
        cpu_us: Box::new(move || cpu.cpu_us()),
        resident_mib: Box::new(move || memory.resident_mib()),
    }
}

fn theirs(peer: &Peer, running: gateway_peer::Running) -> Gateway {
    let (cpu, memory) = (running.meter(), running);
    Gateway {
        name: peer.name,
        host: memory.host.clone(),
        key: "none".to_owned(),
        path: format!("{}/chat/completions", memory.base),
        model: peer.model.to_owned(),
        headers: memory.headers.clone(),
        cpu_us: Box::new(move || cpu.cpu_us()),
        resident_mib: Box::new(move || memory.meter().resident_mib()),
    }
}

fn measured(scale: &Scale, gateway: &Gateway) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for clients in CLIENTS {
        let case = format!("{clients} at once");
        for streams in [false, true] {
            let took = cpu_of(scale, gateway, (clients, streams))?;
            let name = if streams { "a stream" } else { "a whole answer" };
            let figure =
                |figure, value| Figure::new(("gateway", gateway.name), format!("{name}, {case}"), figure, value);
            figures.push(figure("cpu_us", took).target("<= TensorZero's; <= 1/20 of LiteLLM's"));
            if streams {
                figures.push(figure("cpu_us_per_event", took / EVENTS).target("<= 20"));
            }
        }
    }
    let resident = (gateway.resident_mib)()?;
    figures.push(Figure::new(("gateway", gateway.name), "after that", "resident_mib", resident));
    Ok(figures)
}

/// CPU of a request, microseconds: the median of some passes.
fn cpu_of(scale: &Scale, gateway: &Gateway, (clients, streams): (usize, bool)) -> Result<f64> {
    let each = scale.of(20, 100);
    at_once(gateway, (clients, streams), each)?;
    let mut took = Vec::new();
    for _ in 0..scale.of(3, 5) {
        let before = (gateway.cpu_us)()?;
        let count = at_once(gateway, (clients, streams), each)?;
        took.push(((gateway.cpu_us)()? - before) / count as f64);
    }
    Ok(median(took))
}

fn at_once(gateway: &Gateway, (clients, streams): (usize, bool), each: usize) -> Result<u64> {
    let (host, key, path) = (&gateway.host, &gateway.key, &gateway.path);
    let body = json!({
        "model": gateway.model, "stream": streams,
        "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Say something." }],
    });
    let headers: Vec<_> = gateway.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let asked = AtomicU64::new(0);
    thread::scope(|scope| {
        let one = || -> Result<()> {
            let mut client = Client::connect(host, key)?.with_headers(&headers);
            for _ in 0..each {
                client.ask("POST", path, Some::<&Value>(&body))?;
                asked.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client died"))?)
    })?;
    Ok(asked.into_inner())
}
