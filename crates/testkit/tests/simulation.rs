//! Runs the seeds. `MAINSTAY_SEED=n` replays one and prints what happened; `MAINSTAY_SEEDS=n` runs so many.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mainstay_testkit::simulation::{Coverage, Plan, run};

#[test]
fn simulation_try() {
    let n: u64 = std::env::var("MAINSTAY_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let mut coverage = Coverage::default();
    let mut bad = 0;
    for seed in 0..n {
        let outcome = run(seed, None);
        coverage.add(&outcome.coverage);
        if !outcome.violations.is_empty() {
            bad += 1;
            println!("seed {seed}: {:?}", outcome.violations.first());
        }
    }
    println!("{coverage}\nmissing {:?}", coverage.missing());
    assert_eq!(bad, 0);
}

#[test]
fn simulation_one() {
    if let Some(seed) = std::env::var("MAINSTAY_SEED").ok().and_then(|n| n.parse().ok()) {
        let outcome = run(seed, None);
        println!("{:#?}", Plan::of(seed, None));
        for line in &outcome.trace {
            println!("{line}");
        }
    }
}

#[test]
fn simulation_bugs() {
    for bug in mainstay_runtime::fault::BUGS {
        let mut found = None;
        for seed in 0..300 {
            let outcome = run(seed, Some(bug));
            if !outcome.violations.is_empty() {
                found = Some((seed, outcome.violations[0].clone()));
                break;
            }
        }
        println!("{bug:?}: {found:?}");
    }
}
#[test]
fn simulation_same() {
    for seed in 0..20 {
        assert_eq!(run(seed, None).digest(), run(seed, None).digest(), "{seed}");
    }
}
