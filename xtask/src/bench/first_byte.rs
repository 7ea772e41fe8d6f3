//! From sending an input to the first byte that arrives upstream: two commits lie between. Beside it, the time of two
//! plain writes with `fdatasync` in the same folder.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path, time::Instant};

use anyhow::Result;

use super::{
    Scale,
    figure::{Figure, median},
    server::{Server, id_of, message_body, session_body},
    turn,
    upstream::Upstream,
};

/// Bytes of a plain write: the page that SQLite writes at least.
const PAGE: usize = 4_096;

pub(super) fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let folder = scale.folder("first-byte")?;
    let turns = scale.of(50, 500);
    let upstream = Upstream::start()?;
    let provider = format!("kind = \"openai-chat\"\nbase_url = \"http://{}/v1\"", upstream.host);
    let server = Server::with_provider(&scale.binary, &folder, &provider)?;
    let mut client = server.client()?;
    let id = id_of(&client.json("POST", "/v1/agents/sessions", Some(&session_body(None, false)))?)?;
    let path = format!("/v1/agents/sessions/{id}/events");
    let mut events = server.client()?.stream("GET", &path, None)?;
    let message = message_body(&turn::input());
    let plain = plain(&folder)?;
    let (mut took, mut synced) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        let asked = Instant::now();
        client.ask("POST", &path, Some(&message))?;
        took.push((upstream.next()? - asked).as_secs_f64() * 1e6);
        events.until("agent.session.idle")?;
        synced.push(two_syncs(&plain)?);
    }
    server.stop()?;
    let (took, synced) = (median(took), median(synced));
    let figure = |name, figure, value| Figure::new(("first-byte", name), format!("{turns} turns"), figure, value);
    Ok(vec![
        figure("two plain fdatasyncs", "p50_us", synced),
        figure("agents", "p50_us", took),
        figure("agents", "p50_us_beyond_two_fsyncs", took - synced).target("<= 1,000"),
    ])
}

/// A file with one page, which is there and durable.
fn plain(folder: &Path) -> Result<File> {
    let file = File::create(folder.join("plain"))?;
    file.write_all_at(&[0; PAGE], 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Microseconds of writing over the page twice, each time durably.
fn two_syncs(file: &File) -> Result<f64> {
    let begun = Instant::now();
    for byte in [1, 2] {
        file.write_all_at(&[byte; PAGE], 0)?;
        file.sync_data()?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}
