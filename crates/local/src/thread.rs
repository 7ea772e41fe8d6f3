//! The one place that starts OS threads: llama.cpp computes for seconds at a time, which no async task may. A thread
//! that panics is caught and begun again, a few times; it never takes the process with it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
};

use crate::Error;

/// How often a thread is begun again. A model that makes the engine panic this often will do it again.
const MAX_RESTARTS: u32 = 5;

/// Starts a thread that works until `work` returns.
#[allow(clippy::disallowed_methods, reason = "the one place that starts threads here")]
pub(crate) fn supervise(name: &str, mut work: impl FnMut() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let body = move || {
        for _ in 0..=MAX_RESTARTS {
            if catch_unwind(AssertUnwindSafe(&mut work)).is_ok() {
                return;
            }
        }
    };
    let started = Builder::new().name(format!("local-{name}")).spawn(body);
    started.map_err(|error| Error::Refused(format!("no thread for model `{name}`: {error}")))
}

/// Held while computing: two models at once, of one engine or of two, would fight for the same cores.
pub(crate) fn compute_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads that compute beside each other: one fewer than there are cores, because llama.cpp's threads wait for each
/// other by spinning, and collapse when anything else wants their core.
pub(crate) fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}
