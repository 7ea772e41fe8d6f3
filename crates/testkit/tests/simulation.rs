//! The seeds. `MAINSTAY_SEEDS=n` runs so many instead of those of CI; `MAINSTAY_SEED=n` replays one, with its trace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fmt::Write, ops::Range};

use mainstay_runtime::fault::{BUGS, Bug};
use mainstay_testkit::simulation::{Coverage, Outcome, Plan, run, run_cluster};

/// Seeds that CI runs.
const SEEDS: u64 = 20_000;
/// Tests that share them, so that they run side by side.
const SHARDS: u64 = 8;
/// With fewer seeds than this a shard need not reach every essential pair.
const ENOUGH: u64 = 1_000;
/// Seeds within which a planted bug must be caught.
const SEEDS_OF_BUG: u64 = 400;
/// Planted bugs that no simulation can show, only a real kill of the real process.
const FOR_THE_KILL_TEST: &[Bug] = &[];

/// A whole number of the environment.
#[allow(clippy::disallowed_methods, reason = "how many seeds, and which, is said when the test is started")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// What a person needs to see a seed fail again.
fn report(outcome: &Outcome, bug: Option<Bug>) -> String {
    let seed = outcome.seed;
    let mut text = format!("seed {seed}\n{:#?}\n", Plan::of(seed, bug));
    outcome.trace.iter().for_each(|line| writeln!(text, "{line}").unwrap());
    writeln!(text, "seed {seed}: {:#?}", outcome.violations).unwrap();
    let test = "-p mainstay-testkit --test simulation -E 'test(simulation_replays_one_seed)'";
    writeln!(text, "replay: MAINSTAY_SEED={seed} cargo nextest run {test} --no-capture").unwrap();
    text
}

fn run_seeds(seeds: Range<u64>) {
    let count = seeds.end - seeds.start;
    let mut coverage = Coverage::default();
    for seed in seeds.clone() {
        let outcome = run(seed, None);
        assert!(outcome.violations.is_empty(), "{}", report(&outcome, None));
        coverage.add(&outcome.coverage);
    }
    println!("seeds {seeds:?}: (open effect or command) | (command or fault) and how often they met\n{coverage}");
    let missing = coverage.missing();
    assert!(count < ENOUGH || missing.is_empty(), "essential pairs were not reached: {missing:?}");
}

fn run_shard(shard: u64) {
    let each = number("MAINSTAY_SEEDS").unwrap_or(SEEDS).div_ceil(SHARDS);
    run_seeds(shard * each..(shard + 1) * each);
}

macro_rules! shards {
    ($($name:ident $shard:literal)*) => {$(
        #[test]
        fn $name() {
            run_shard($shard);
        }
    )*};
}

shards! {
    simulation_shard_1_is_safe_and_comes_to_rest 0
    simulation_shard_2_is_safe_and_comes_to_rest 1
    simulation_shard_3_is_safe_and_comes_to_rest 2
    simulation_shard_4_is_safe_and_comes_to_rest 3
    simulation_shard_5_is_safe_and_comes_to_rest 4
    simulation_shard_6_is_safe_and_comes_to_rest 5
    simulation_shard_7_is_safe_and_comes_to_rest 6
    simulation_shard_8_is_safe_and_comes_to_rest 7
}

/// Also the way to look at a seed that failed.
#[test]
fn simulation_replays_one_seed() {
    let seed = number("MAINSTAY_SEED").unwrap_or_default();
    let (first, second) = (run(seed, None), run(seed, None));
    if number("MAINSTAY_SEED").is_some() {
        println!("{}", report(&first, None));
    }
    assert_eq!(first.trace, second.trace, "seed {seed} ran in two ways");
    assert!(first.violations.is_empty(), "{:#?}", first.violations);
}

#[test]
fn simulation_is_the_same_for_the_same_seed() {
    for seed in 0..100 {
        assert_eq!(run(seed, None).digest(), run(seed, None).digest(), "seed {seed}");
    }
}

#[test]
fn simulation_of_another_seed_is_another() {
    assert_ne!(run(1, None).digest(), run(2, None).digest());
}

/// A test that cannot fail proves nothing: each planted bug is caught.
#[test]
fn simulation_catches_every_planted_bug() {
    let mut missed = Vec::new();
    for bug in BUGS.into_iter().filter(|bug| !FOR_THE_KILL_TEST.contains(bug)) {
        let caught = (0..SEEDS_OF_BUG).map(|seed| run(seed, Some(bug))).find(|outcome| !outcome.violations.is_empty());
        match caught {
            Some(outcome) => println!("{bug:?}: seed {}: {}", outcome.seed, outcome.violations[0]),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught within {SEEDS_OF_BUG} seeds: {missed:?}");
}

/// Seeds of several nodes in CI.
const CLUSTER_SEEDS: u64 = 600;

fn run_cluster_seeds(seeds: Range<u64>) {
    let mut coverage = Coverage::default();
    for seed in seeds.clone() {
        let outcome = run_cluster(seed, None);
        assert!(outcome.violations.is_empty(), "{}", report(&outcome, None));
        coverage.add(&outcome.coverage);
    }
    println!("clusters, seeds {seeds:?}\n{coverage}");
    for pair in [("inference", "crash"), ("inference", "drain"), ("inference", "cut off"), ("accept", "crash")] {
        assert!(coverage.has(pair), "{pair:?} was not reached");
    }
}

#[test]
fn simulation_of_a_cluster_is_safe_and_comes_to_rest() {
    run_cluster_seeds(0..number("MAINSTAY_CLUSTER_SEEDS").unwrap_or(CLUSTER_SEEDS));
}

/// Also the way to look at a seed of a cluster that failed.
#[test]
fn simulation_of_a_cluster_replays_one_seed() {
    let seed = number("MAINSTAY_SEED").unwrap_or_default();
    let (first, second) = (run_cluster(seed, None), run_cluster(seed, None));
    if number("MAINSTAY_SEED").is_some() {
        println!("{}", report(&first, None));
    }
    assert_eq!(first.trace, second.trace, "seed {seed} ran in two ways");
    assert!(first.violations.is_empty(), "{:#?}", first.violations);
}
