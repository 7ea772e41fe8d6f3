//! Reading a long session that is not in memory: its state over HTTP, first thing after a start.

use std::time::Instant;

use anyhow::Result;

use super::{
    Scale,
    figure::{Figure, quantile},
    server::{Server, id_of, message_body, session_body},
    turn,
};

/// Events that a turn leaves in the journal, at least.
const EVENTS_PER_TURN: usize = 5;

pub(super) fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let folder = scale.folder("wake")?;
    let (sessions, events, starts) = (scale.of(3, 10), scale.of(1_000, 10_000), scale.of(5, 20));
    let server = Server::start(&scale.binary, &folder, &turn::reply())?;
    let ids = (0..sessions).map(|_| grown(&server, events / EVENTS_PER_TURN)).collect::<Result<Vec<_>>>()?;
    server.stop()?;
    let mut took = Vec::new();
    for _ in 0..starts {
        let server = Server::start(&scale.binary, &folder, &turn::reply())?;
        let mut client = server.client()?;
        // The connection and what all requests share are not part of the measure.
        client.ask("GET", "/v1/models", None)?;
        for id in &ids {
            let asked = Instant::now();
            client.ask("GET", &format!("/v1/agents/sessions/{id}"), None)?;
            took.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        server.stop()?;
    }
    let case = format!("{events} events");
    let figure = |figure, value| Figure::new(("wake", "agents"), case.clone(), figure, value);
    let (half, most) = (quantile(&mut took, 50), quantile(&mut took, 99));
    Ok(vec![figure("p50_ms", half), figure("p99_ms", most).target("<= 10")])
}

/// A session of so many turns.
fn grown(server: &Server, turns: usize) -> Result<String> {
    let mut client = server.client()?;
    let id = id_of(&client.json("POST", "/v1/agents/sessions", Some(&session_body(None, false)))?)?;
    let path = format!("/v1/agents/sessions/{id}/events");
    let mut events = server.client()?.stream("GET", &path, None)?;
    let message = message_body(&turn::input());
    for _ in 0..turns {
        client.ask("POST", &path, Some(&message))?;
        events.until("agent.session.idle")?;
    }
    Ok(id)
}
