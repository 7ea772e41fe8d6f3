//! The backend of a cluster: PostgreSQL 15 and later, any number of processes on one database. Start with `link` (a
//! connection), `schema` and `tables`.

mod desk;
mod fault;
mod keys;
pub mod link;
mod receive;
pub mod schema;
mod tables;
mod target;
mod whole;

use std::fmt;

pub use keys::{FOLLOW_MS, KeyRow, KeyTable, is_same_database, open_keys};
pub use receive::receive;
pub use whole::{look, migrate};

/// Which database, and how to use it.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// `postgres://user:password@host/database?sslmode=verify-full`, or `key=value` pairs, as libpq reads them.
    pub url: String,
    /// How many shards a database gets that has none yet; for good.
    pub shards: u16,
    /// How long a lease runs, milliseconds. 0: any `acquire` succeeds at once.
    pub lease_ms: u64,
    /// Connections that write, each for a part of the shards.
    pub lanes: usize,
    /// Connections that read.
    pub readers: usize,
    /// What takes longer than this is given up, milliseconds.
    pub timeout_ms: u64,
    /// Whether somebody relies on a standby to take over: then a database without synchronous standbys is refused.
    pub failover: bool,
}

impl Options {
    /// A database with the usual settings.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            shards: 256,
            lease_ms: 10_000,
            lanes: 2,
            readers: 4,
            timeout_ms: 20_000,
            failover: false,
        }
    }
}

impl fmt::Debug for Options {
    /// Without the URL: it may hold a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, shards, lease_ms, lanes, readers, timeout_ms, failover } = self;
        out.debug_struct("Options")
            .field("shards", shards)
            .field("lease_ms", lease_ms)
            .field("lanes", lanes)
            .field("readers", readers)
            .field("timeout_ms", timeout_ms)
            .field("failover", failover)
            .finish_non_exhaustive()
    }
}
