//! The clock: the only place that reads the time. Waiting is tokio's, so a paused runtime is a virtual clock.

use std::time::Duration;

use mainstay_vocabulary::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// How long the machine has been up, its sleep included: what leases are measured by.
    fn uptime(&self) -> Duration;
}

/// The operating system's wall clock.
#[derive(Debug, Default)]
pub struct System;

impl Clock for System {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the time")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    fn uptime(&self) -> Duration {
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(up.tv_sec.unsigned_abs(), up.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
    }
}

/// A clock that follows tokio's timer: virtual where the runtime is paused.
#[derive(Debug)]
pub struct Virtual {
    origin: tokio::time::Instant,
    base: Timestamp,
}

impl Virtual {
    /// A clock that shows `base` now. Must be called inside a tokio runtime.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn starting_at(base: Timestamp) -> Self {
        Self { origin: tokio::time::Instant::now(), base }
    }
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        self.base.plus_ms(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn uptime(&self) -> Duration {
        self.origin.elapsed()
    }
}
