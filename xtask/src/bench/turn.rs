//! CPU of a full stateful turn: input, inference on an instant model, reply. The server's process alone is counted.

use std::thread;

use anyhow::{Context as _, Result};

use super::{
    Scale,
    figure::{Figure, median},
    langgraph,
    server::{Server, id_of, message_body, response_body, session_body},
};

/// Bytes that a user says, and that the model answers at once: 320 a turn, as with the peer.
const SAID: usize = 160;
/// Turns of one conversation, as of the peer's.
const TURNS: u32 = 10;

/// One way to have turns: so many conversations of `TURNS` turns each.
type Way = fn(&Server, usize) -> Result<()>;

/// The ways, and what they are called.
const WAYS: [(&str, Way); 3] =
    [("agents, one stream each", agents), ("responses, each new", responses), ("responses, continued", continued)];

/// Clients at once: alone, each step of a turn waits for the disk by itself; together, turns share commits.
const CLIENTS: [usize; 2] = [1, 16];

pub(super) fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let folder = scale.folder("turn")?;
    let peer = langgraph::run(&folder.join("peer"), TURNS, u32::try_from(scale.of(5, 20))?)?;
    let peer = peer.last().context("the peer printed nothing")?.cpu_us_per_turn;
    let server = Server::start(&scale.binary, &folder, &reply())?;
    let mut figures = Vec::new();
    for clients in CLIENTS {
        for (name, way) in WAYS {
            let took = measured(&server, (clients, scale.of(16, 64)), (scale.of(3, 7), way))?;
            let case = format!("{clients} at once");
            let figure = |figure, value| Figure::new(("turn", name), case.clone(), figure, value);
            figures.push(figure("cpu_us", took).target("<= 1,000").peers(format!("LangGraph {peer:.0}")));
            figures.push(figure("times_less_than_peer", peer / took).target(">= 10"));
        }
    }
    server.stop()?;
    Ok(figures)
}

/// CPU of a turn, microseconds: the median of some passes of so many conversations, by so many clients.
fn measured(server: &Server, (clients, conversations): (usize, usize), (passes, way): (usize, Way)) -> Result<f64> {
    let each = conversations / clients;
    // Caches and allocators get warm.
    at_once(server, clients, each, way)?;
    let mut took = Vec::new();
    for _ in 0..passes {
        let before = server.cpu_us()?;
        at_once(server, clients, each, way)?;
        took.push((server.cpu_us()? - before) / f64::from(TURNS) / (clients * each) as f64);
    }
    Ok(median(took))
}

fn at_once(server: &Server, clients: usize, each: usize, way: Way) -> Result<()> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(|| way(server, each))).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client died"))?)
    })
}

/// What a user says.
pub(super) fn input() -> String {
    "u".repeat(SAID)
}

/// What the model answers, as a script's step.
pub(super) fn reply() -> String {
    format!("{{ text = \"{}\", split = \"whole\" }}", "a".repeat(SAID))
}

fn agents(server: &Server, conversations: usize) -> Result<()> {
    let mut client = server.client()?;
    let message = message_body(&input());
    for _ in 0..conversations {
        let id = id_of(&client.json("POST", "/v1/agents/sessions", Some(&session_body(None, false)))?)?;
        let path = format!("/v1/agents/sessions/{id}/events");
        let mut events = server.client()?.stream("GET", &path, None)?;
        for _ in 0..TURNS {
            client.ask("POST", &path, Some(&message))?;
            events.until("agent.session.idle")?;
        }
    }
    Ok(())
}

fn responses(server: &Server, conversations: usize) -> Result<()> {
    let mut client = server.client()?;
    let body = response_body(&input(), None);
    for _ in 0..conversations * TURNS as usize {
        client.ask("POST", "/v1/responses", Some(&body))?;
    }
    Ok(())
}

fn continued(server: &Server, conversations: usize) -> Result<()> {
    let mut client = server.client()?;
    for _ in 0..conversations {
        let mut previous: Option<String> = None;
        for _ in 0..TURNS {
            let body = response_body(&input(), previous.as_deref());
            previous = Some(id_of(&client.json("POST", "/v1/responses", Some(&body))?)?);
        }
    }
    Ok(())
}
