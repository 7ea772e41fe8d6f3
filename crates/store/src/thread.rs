//! The OS threads of a store: work reaches them by queues, answers go back by channels that any executor can wait for.
//! The one place of this crate that starts threads.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

/// Starts a thread; it ends when its work does.
#[allow(clippy::disallowed_methods, reason = "this is the crate's one place that starts threads")]
pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(work)
}
