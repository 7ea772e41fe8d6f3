//! The time of day, for "3 min ago" and for keys that no other request has. Nothing is decided by it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Since 1970.
#[allow(clippy::disallowed_methods, reason = "the client's one look at a clock: shown to people, decides nothing")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// An `Idempotency-Key` that no other request of this machine has: the process, the instant, a count.
pub(crate) fn idempotency_key() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("cli-{}-{:x}-{count}", std::process::id(), since_1970().as_nanos())
}
