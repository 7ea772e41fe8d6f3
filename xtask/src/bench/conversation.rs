//! One conversation that grows to a thousand turns: what a turn costs must not depend on how many were before.

use anyhow::{Context as _, Result};

use super::{
    Scale,
    figure::{Figure, median},
    langgraph,
    server::{Server, id_of, message_body, session_body},
    turn,
};

/// Turns at which figures are taken.
const PLACES: [u32; 4] = [10, 100, 500, 1_000];
/// Turns around a place that count.
const HALF: u32 = 10;

/// What was seen up to the end of one turn, summed up.
#[derive(Clone, Copy)]
struct Mark {
    cpu_us: f64,
    written: f64,
    size: f64,
}

pub(super) fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let turns = u32::try_from(scale.of(110, 1_010))?;
    let passes = (0..scale.of(1, 3)).map(|_| pass(scale, turns)).collect::<Result<Vec<_>>>()?;
    let peer_turns = scale.peer_turns.min(turns);
    let peer = langgraph::run(&scale.folder("conversation-peer")?, peer_turns, 1)?;
    let mut figures = Vec::new();
    let mut first_written = None;
    for place in PLACES.into_iter().filter(|place| place + HALF <= turns) {
        let of = |what: fn(&[Mark], u32) -> f64| median(passes.iter().map(|marks| what(marks, place)).collect());
        let figure = |figure, value| Figure::new(("conversation", "agents"), format!("{place} turns"), figure, value);
        let peer = peer.iter().find(|line| line.turns == place);
        let beside = |text: String| peer.map(|_| format!("LangGraph {text}")).unwrap_or_default();
        let cpu = beside(peer.map_or_else(String::new, |peer| format!("{:.0}", peer.cpu_us_per_turn)));
        let size = beside(peer.map_or_else(String::new, |peer| format!("{:.2}", peer.bytes / MIB)));
        let written = of(written_at);
        figures.push(figure("cpu_us_per_turn", of(cpu_at)).target("flat").peers(cpu));
        figures.push(figure("written_bytes_per_turn", written));
        let ratio = written / *first_written.get_or_insert(written);
        figures.push(figure("written_of_first", ratio).target("<= 1.1"));
        let size = figure("disk_mib", of(size_at)).peers(size);
        figures.push(if place == 1_000 { size.target("<= 4") } else { size });
    }
    Ok(figures)
}

const MIB: f64 = 1_048_576.0;

/// One conversation, from an empty store: what was seen after each turn, and before the first.
fn pass(scale: &Scale, turns: u32) -> Result<Vec<Mark>> {
    let server = Server::start(&scale.binary, &scale.folder("conversation")?, &turn::reply())?;
    let mut client = server.client()?;
    let id = id_of(&client.json("POST", "/v1/agents/sessions", Some(&session_body(None, false)))?)?;
    let path = format!("/v1/agents/sessions/{id}/events");
    let mut events = server.client()?.stream("GET", &path, None)?;
    let message = message_body(&turn::input());
    let mark =
        || Ok::<_, anyhow::Error>(Mark { cpu_us: server.cpu_us()?, written: server.written()?, size: server.size()? });
    let mut marks = vec![mark()?];
    for _ in 0..turns {
        client.ask("POST", &path, Some(&message))?;
        events.until("agent.session.idle")?;
        marks.push(mark()?);
    }
    server.stop().context("after the conversation")?;
    Ok(marks)
}

/// A turn's part of what happened around a place.
fn around(marks: &[Mark], place: u32, what: fn(&Mark) -> f64) -> f64 {
    let at = |turn: u32| marks.get(turn as usize).map_or(0.0, what);
    let (from, to) = (place.saturating_sub(HALF), place + HALF);
    (at(to) - at(from)) / f64::from(to - from)
}

fn cpu_at(marks: &[Mark], place: u32) -> f64 {
    around(marks, place, |mark| mark.cpu_us)
}

fn written_at(marks: &[Mark], place: u32) -> f64 {
    around(marks, place, |mark| mark.written)
}

fn size_at(marks: &[Mark], place: u32) -> f64 {
    marks.get(place as usize).map_or(0.0, |mark| mark.size / MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_the_mean_of_those_around_it() {
        let mark = |turn: u32| Mark { cpu_us: f64::from(turn * 5), written: f64::from(turn), size: MIB * 2.0 };
        let marks: Vec<_> = (0..=30).map(mark).collect();
        assert_eq!((cpu_at(&marks, 20), written_at(&marks, 10), size_at(&marks, 10)), (5.0, 1.0, 2.0));
    }
}
