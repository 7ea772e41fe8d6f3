//! What every handler has: the engine, the bounds of the edge, and the memory that request bodies may take.

use std::sync::Arc;

use mainstay_runtime::Engine;
use mainstay_vocabulary::Timestamp;
use tokio::sync::{Semaphore, watch};

/// Bounds of the edge. Sizes in bytes, times in milliseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest body of a request. Pictures come inline as `data:` URLs, hence the size.
    pub body_limit: usize,
    /// Memory that all bodies being read or handled may take together; beyond it: 503.
    pub bodies_limit: usize,
    /// Longest time until the head of a request is whole.
    pub header_ms: u64,
    /// Longest time between two pieces of a body.
    pub body_idle_ms: u64,
    /// Longest time for a whole body.
    pub body_ms: u64,
    /// Most connections at once; more wait in the listener's backlog.
    pub connections: usize,
    /// How often an idle event stream sends a comment, so that proxies keep it open.
    pub keep_alive_ms: u64,
    /// Longest life of a WebSocket; the client opens another.
    pub socket_ms: u64,
    /// How long open requests may go on after shutdown began.
    pub grace_ms: u64,
    /// Turns true when event streams must end.
    pub stop: Arc<watch::Sender<bool>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_limit: 32 << 20,
            bodies_limit: 512 << 20,
            header_ms: 10_000,
            body_idle_ms: 10_000,
            body_ms: 60_000,
            connections: 10_000,
            keep_alive_ms: 15_000,
            socket_ms: 3_600_000,
            grace_ms: 5_000,
            stop: Arc::new(watch::Sender::new(false)),
        }
    }
}

/// What every handler has.
#[derive(Clone)]
pub(crate) struct AppState {
    /// Drives the sessions.
    pub(crate) engine: Arc<Engine>,
    /// The bounds.
    pub(crate) settings: Arc<Settings>,
    /// When this process began to serve.
    pub(crate) began: Timestamp,
    /// What is left of `bodies_limit`, in KiB.
    pub(crate) bodies: Arc<Semaphore>,
}

impl AppState {
    pub(crate) fn new(engine: Arc<Engine>, settings: Settings) -> Self {
        let bodies = Arc::new(Semaphore::new(settings.bodies_limit / 1_024));
        Self { began: engine.now(), engine, settings: Arc::new(settings), bodies }
    }
}
