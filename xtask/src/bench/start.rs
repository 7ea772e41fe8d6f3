//! From the start of the process to its first answer; memory when nothing happens.

use std::{thread::sleep, time::Duration};

use anyhow::Result;

use super::{
    Scale,
    figure::{Figure, median},
    server::{Server, response_body},
    turn,
};

/// Until memory is read.
const REST: Duration = Duration::from_secs(1);
/// Responses that an existing data directory holds.
const HELD: usize = 200;

pub(super) fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let times = scale.of(5, 15);
    let (mut fresh, mut existing, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..times {
        let server = Server::start(&scale.binary, &scale.folder("start")?, &turn::reply())?;
        fresh.push(server.began_in.as_secs_f64() * 1e3);
        server.stop()?;
    }
    let folder = scale.folder("start")?;
    let server = Server::start(&scale.binary, &folder, &turn::reply())?;
    let (mut client, body) = (server.client()?, response_body(&turn::input(), None));
    for _ in 0..HELD {
        client.ask("POST", "/v1/responses", Some(&body))?;
    }
    server.stop()?;
    for _ in 0..times {
        let server = Server::start(&scale.binary, &folder, &turn::reply())?;
        existing.push(server.began_in.as_secs_f64() * 1e3);
        if idle.len() < 3 {
            sleep(REST);
            idle.push(server.resident_mib()?);
        }
        server.stop()?;
    }
    let figure = |name, figure, values| Figure::new(("start", name), format!("{times} starts"), figure, median(values));
    Ok(vec![
        figure("fresh data", "to_healthz_ms", fresh).target("<= 150"),
        figure("existing data", "to_healthz_ms", existing).target("<= 150"),
        figure("existing data", "idle_mib", idle).target("<= 40").peers("TensorZero 66; Portkey 120; LiteLLM 339"),
    ])
}
