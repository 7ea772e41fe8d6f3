//! The kill test: clients work, the process is killed at every named commit point and at random moments, and what was
//! acknowledged or shown must still be true. Start with `world`; `agents` and `responses` are the clients and what they
//! check. `MAINSTAY_KILLS` says how many kills all tests together make.

mod agents;
mod booking;
mod client;
mod responses;
mod stream;
mod world;

use mainstay_runtime::fault::{Bug, POINTS, Point};

use crate::random::Random;
use world::{Kill, Plan, Tally, run};

/// Kills of all tests together where the environment says nothing.
const KILLS: usize = 60;
/// Tests that share them.
const TESTS: usize = 4;
/// Kills of one data directory.
const KILLS_EACH: usize = 5;
/// After how many kills at a point comes one at a random moment.
const POINTS_EACH: usize = 2;
/// Looks at something that must come about before it counts as hanging. Far more than a slow machine needs.
const PATIENCE: usize = 3_000;
/// The same where a planted bug makes it hang.
const SHORT_PATIENCE: usize = 250;
/// Data directories in which a planted bug must be found.
const WORLDS: usize = 6;

/// What every test must have met, or its clients do not do what they are for.
const CHECKED: [&str; 6] = ["sessions", "inputs", "tool results", "responses", "broken streams", "cursors"];

#[test]
fn what_was_said_stays_true_1() {
    survive(0x5eed_0001);
}

#[test]
fn what_was_said_stays_true_2() {
    survive(0x5eed_0002);
}

#[test]
fn what_was_said_stays_true_3() {
    survive(0x5eed_0003);
}

#[test]
fn what_was_said_stays_true_4() {
    survive(0x5eed_0004);
}

/// A quarter of the kills: points in turn, a random moment after every second.
fn survive(seed: u64) {
    let amount = std::env::var("MAINSTAY_KILLS").ok().map_or(KILLS, |text| text.parse().unwrap());
    let mut random = Random::new(seed);
    let mut points = POINTS.into_iter().cycle();
    let mut kill = |index| {
        if index % (POINTS_EACH + 1) == POINTS_EACH { Kill::Anytime } else { Kill::At(points.next().unwrap()) }
    };
    let kills: Vec<Kill> = (0..amount.div_ceil(TESTS)).map(&mut kill).collect();
    let mut tally = Tally::default();
    for kills in kills.chunks(KILLS_EACH) {
        let plan = Plan { kills: kills.to_vec(), bug: None, patience: PATIENCE };
        let findings = run(&plan, &mut random, &mut tally);
        assert!(findings.is_empty(), "seed {seed:#x}\n{tally}\n{}", findings.join("\n"));
    }
    println!("{tally}");
    for what in CHECKED {
        assert!(tally.checked(what) > 0, "seed {seed:#x}: no {what} were checked\n{tally}");
    }
    let planned = kills.iter().filter(|kill| matches!(kill, Kill::At(_))).count();
    for point in POINTS.into_iter().take(planned) {
        assert!(tally.kills_at(point) > 0, "seed {seed:#x}: never killed at {point:?}\n{tally}");
    }
}

/// The same clients and checks find a bug that is planted.
fn find(bug: Bug, kill: Kill, seed: u64) {
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    let patience = if bug == Bug::NoRecovery { SHORT_PATIENCE } else { PATIENCE };
    for _ in 0..WORLDS {
        let plan = Plan { kills: vec![kill; KILLS_EACH], bug: Some(bug), patience };
        let findings = run(&plan, &mut random, &mut tally);
        if let Some(first) = findings.first() {
            println!("{bug:?} was found: {}\n{tally}", first.chars().take(400).collect::<String>());
            return;
        }
    }
    panic!("{bug:?} was not found, seed {seed:#x}\n{tally}");
}

#[test]
fn finds_an_acknowledgement_before_its_commit() {
    find(Bug::AckBeforeCommit, Kill::At(Point::CommandDecided), 1);
}

#[test]
fn finds_deltas_shown_before_their_commit() {
    find(Bug::FrameShownBeforeCommit, Kill::At(Point::FrameReady), 2);
}

#[test]
fn finds_deltas_that_are_not_written() {
    find(Bug::FrameNotWritten, Kill::Anytime, 3);
}

#[test]
fn finds_deltas_that_are_forgotten() {
    find(Bug::FramesForgotten, Kill::Anytime, 4);
}

#[test]
fn finds_sessions_that_are_not_recovered() {
    find(Bug::NoRecovery, Kill::Anytime, 5);
}

#[test]
fn finds_keys_that_are_forgotten() {
    find(Bug::KeyForgotten, Kill::At(Point::CommandCommitted), 6);
}
