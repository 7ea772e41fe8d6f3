//! The PostgreSQL backend, against private servers of every version that is supported.

mod lease;
mod planted;
mod unknown;
mod wall;

use std::sync::Arc;

use mainstay_store::{
    Store,
    postgres::{self, Options},
};
use mainstay_testkit::{
    postgres::{Server, each_version},
    store::{conformance, differential},
};

/// Options as tests want them: a lease that runs out at once, few connections.
pub(crate) fn options(server: &Server, database: &str) -> Options {
    Options { lease_ms: 0, readers: 2, ..Options::new(server.url(database)) }
}

/// Opens a database.
pub(crate) fn open(server: &Server, database: &str) -> Arc<dyn Store> {
    postgres::open(options(server, database)).unwrap()
}

#[test]
fn postgres_conforms() {
    each_version(|server| {
        let database = server.database();
        for (name, check) in conformance::ALL {
            println!("{name}");
            server.empty(&database);
            check(&*open(server, &database));
        }
        for (name, check) in conformance::DURABLE {
            println!("{name}");
            server.empty(&database);
            check(&|| open(server, &database));
        }
    });
}

/// Seeds that run always. A seed that ever failed is added here.
const SEEDS: std::ops::Range<u64> = 1..13;

#[test]
#[allow(clippy::disallowed_methods, reason = "a person names the seed to run")]
fn postgres_answers_as_the_model_does() {
    let seeds = match std::env::var("MAINSTAY_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => SEEDS.collect(),
    };
    each_version(|server| {
        let database = server.database();
        for seed in &seeds {
            println!("seed {seed}");
            server.empty(&database);
            differential::run(*seed, &|| open(server, &database));
        }
    });
}
