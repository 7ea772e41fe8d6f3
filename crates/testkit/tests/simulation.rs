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
