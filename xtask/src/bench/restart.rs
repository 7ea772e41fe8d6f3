//! A kill -9 with many turns under way, and how long the next start takes to bring all of them to their end. The end
//! is when the server uses no more CPU; that every turn is over is looked up afterwards.

use std::{
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{
    Scale,
    figure::Figure,
    server::{Server, id_of, session_body},
    turn,
};

/// Clients that begin the turns.
const CLIENTS: usize = 8;
/// Between two looks at the server.
const LOOK: Duration = Duration::from_millis(50);
/// Looks in a row with next to no CPU used that count as the end.
const QUIET_LOOKS: u32 = 6;
/// CPU between two looks that counts as none, microseconds.
const QUIET_US: f64 = 1_000.0;
/// Longest wait for the end.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let folder = scale.folder("restart")?;
    let turns = scale.of(1_000, 10_000);
    let server = Server::start(&scale.binary, &folder, "{ hang = true }")?;
    let sessions = begin(&server, turns)?;
    server.kill()?;
    let server = Server::start(&scale.binary, &folder, &turn::reply())?;
    let (begun, began_in) = (Instant::now(), server.began_in);
    let quiet = until_quiet(&server)? - begun;
    let open = still_open(&server, &sessions)?;
    ensure!(open == 0, "{open} of {turns} turns are not over when the server is quiet");
    let figure =
        |figure, value| Figure::new(("restart", "after kill -9"), format!("{turns} turns under way"), figure, value);
    let figures = vec![
        figure("all_over_s", (began_in + quiet).as_secs_f64()).target("<= 5"),
        figure("to_healthz_ms", began_in.as_secs_f64() * 1e3),
        figure("cpu_us_per_turn", server.cpu_us()? / turns as f64),
        figure("peak_mib", server.peak_mib()?),
    ];
    server.stop()?;
    Ok(figures)
}

/// Begins turns that do not end.
fn begin(server: &Server, turns: usize) -> Result<Vec<String>> {
    let share = |client: usize| turns / CLIENTS + usize::from(client < turns % CLIENTS);
    let some = |count: usize| {
        let (mut client, body) = (server.client()?, session_body(Some(&turn::input()), false));
        (0..count).map(|_| id_of(&client.json("POST", "/v1/agents/sessions", Some(&body))?)).collect()
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || some(share(client)))).collect();
        let mut all = Vec::new();
        for client in clients {
            let ids: Result<Vec<String>> = client.join().map_err(|_| anyhow::anyhow!("a client died"))?;
            all.extend(ids?);
        }
        Ok(all)
    })
}

/// When the server had done its last work.
fn until_quiet(server: &Server) -> Result<Instant> {
    let begun = Instant::now();
    let (mut last, mut since, mut looks) = (server.cpu_us()?, begun, 0);
    while begun.elapsed() < PATIENCE {
        sleep(LOOK);
        let now = server.cpu_us()?;
        if now - last > QUIET_US {
            (since, looks) = (Instant::now(), 0);
        } else {
            looks += 1;
        }
        if looks == QUIET_LOOKS {
            return Ok(since);
        }
        last = now;
    }
    bail!("the server is busy for more than {} s", PATIENCE.as_secs())
}

fn still_open(server: &Server, sessions: &[String]) -> Result<usize> {
    let mut client = server.client()?;
    let mut open = 0;
    for id in sessions {
        let session = client.json("GET", &format!("/v1/agents/sessions/{id}"), None)?;
        let status = session.get("status").and_then(Value::as_str).context("a session without status")?;
        open += usize::from(status != "idle");
    }
    Ok(open)
}
