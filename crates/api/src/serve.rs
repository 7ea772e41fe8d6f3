//! The listener: accepts connections within bounds, speaks HTTP/1.1 on each, and ends them in order at shutdown.

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use mainstay_runtime::task::{TaskKind, Tasks};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use crate::state::Settings;

/// Largest head of a request, bytes; also the most that is buffered of a body at once.
const MAX_HEAD: usize = 64 * 1_024;

/// Most headers of a request.
const MAX_HEADERS: usize = 128;

/// How long to wait after a failed accept: usually too many open files, which only time cures.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long event streams have to end once they are told to.
const STREAM_END: Duration = Duration::from_secs(1);

/// What is served, how, and where its tasks live.
#[derive(Debug)]
pub struct Served {
    /// All routes.
    pub router: Router,
    /// The bounds; the same that the router was made with.
    pub settings: Settings,
    /// Where connections run.
    pub tasks: Tasks,
}

/// Serves until `shutdown` is ready, then lets open requests come to their end, then ends event streams, then drops
/// what is left.
pub async fn serve(listener: TcpListener, served: Served, shutdown: impl Future<Output = ()> + Send) {
    let drain = watch::Sender::new(false);
    let abort = watch::Sender::new(false);
    tokio::select! {
        () = accept(listener, &served, &drain, &abort) => {}
        () = shutdown => {}
    }
    let settings = &served.settings;
    drain.send_replace(true);
    // Each connection holds a receiver.
    let mut closed = std::pin::pin!(drain.closed());
    if timeout(Duration::from_millis(settings.grace_ms), &mut closed).await.is_err() {
        settings.stop.send_replace(true);
        if timeout(STREAM_END, closed).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }
    settings.stop.send_replace(true);
    abort.send_replace(true);
}

async fn accept(listener: TcpListener, served: &Served, drain: &watch::Sender<bool>, abort: &watch::Sender<bool>) {
    let places = Arc::new(Semaphore::new(served.settings.connections));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = connection(stream, served, drain.subscribe(), abort.subscribe());
                let spawned = served.tasks.spawn(TaskKind::Connection, async move {
                    connection.await;
                    drop(place);
                });
                if spawned.is_err() {
                    tracing::warn!("too many connections; one was dropped");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits until it is true.
async fn until(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await;
}

fn connection(
    stream: TcpStream,
    served: &Served,
    mut drain: watch::Receiver<bool>,
    mut abort: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let service = TowerToHyperService::new(served.router.clone());
    let header = Duration::from_millis(served.settings.header_ms);
    async move {
        // A frame is small and must not wait for the one before to be acknowledged.
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(connection);
        let ended = async {
            tokio::select! {
                result = connection.as_mut() => return result,
                () = until(&mut drain) => {}
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        };
        tokio::select! {
            result = ended => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
            }
            _ = abort.wait_for(|abort| *abort) => {}
        }
    }
}
