//! Random calls into the model and into SQLite.

use mainstay_store::sqlite::{self, Others};
use mainstay_testkit::store::differential;

use crate::scratch::Scratch;

/// Run always. A seed that ever failed is added here.
const SEEDS: std::ops::Range<u64> = 1..41;

#[test]
#[allow(clippy::disallowed_methods, reason = "a person names the seed to run")]
fn sqlite_answers_as_the_model_does() {
    // `MAINSTAY_SEED=7 cargo nextest run -p mainstay-testkit differential` runs one seed alone.
    let seeds = match std::env::var("MAINSTAY_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => SEEDS.collect(),
    };
    for seed in seeds {
        println!("seed {seed}");
        let scratch = Scratch::new();
        differential::run(seed, &|| scratch.open());
    }
}

#[test]
fn what_is_copied_from_sqlite_and_into_sqlite_is_the_same() {
    for seed in 1..9 {
        println!("seed {seed}");
        let (scratch, target) = (Scratch::new(), Scratch::new());
        let look = || sqlite::look(scratch.path().to_owned(), Others::Refused).unwrap();
        let receive = || sqlite::receive(target.path().to_owned()).unwrap();
        differential::copies(seed, &|| scratch.open(), (&look, &receive, &|| target.open()));
    }
}
