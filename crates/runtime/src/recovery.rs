//! Continuous recovery: finds sessions that must be driven on and timers that are due, and wakes their drivers.

use std::{sync::Arc, time::Duration};

use mainstay_store::Error as StoreError;
use mainstay_vocabulary::SessionId;

use crate::{
    driver::Message,
    engine::Inner,
    error::Error,
    task::{Stage, TaskKind},
};

/// Between two sweeps.
const INTERVAL: Duration = Duration::from_secs(5);
/// Sessions or timers looked at in one step.
const PAGE: usize = 500;
/// Sweeps of open sessions between two of expired rows.
const SWEEPS: u32 = 720;
/// How far ahead of their time timers are picked up, milliseconds: their driver waits for the rest.
const AHEAD_MS: u64 = 5_000;

/// Begins the sweeps; the first at once.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), Error> {
    let sweeps = run(Arc::clone(inner));
    inner.tasks.spawn(TaskKind::Recovery, sweeps).map_err(|_| Error::Overloaded("recoveries run".into()))?;
    Ok(())
}

async fn run(inner: Arc<Inner>) {
    let mut stage = inner.tasks.stage();
    let mut round = 0_u32;
    while *stage.borrow_and_update() == Stage::Serving {
        if let Err(error) = sweep(&inner).await {
            tracing::warn!(%error, "a recovery sweep failed; the next one tries again");
            reopen(&inner).await;
        }
        // A few shards in each round, so that all have their turn between two sweeps of one.
        let shards = inner.leases.held().into_iter();
        for shard in shards.filter(|shard| round % SWEEPS == u32::from(shard.0) % SWEEPS) {
            if let Err(error) = inner.journal.store.sweep(shard, inner.clock.now()).await {
                tracing::warn!(%error, "expired rows were not removed");
            }
        }
        round = round.wrapping_add(1);
        tokio::select! {
            biased;
            _ = stage.changed() => {}
            () = inner.recovery.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn sweep(inner: &Arc<Inner>) -> Result<(), Error> {
    let mut after = None;
    loop {
        let open = inner.journal.store.open_sessions(inner.leases.serving(), after, PAGE).await?;
        for session in &open {
            wake(inner, *session);
        }
        if open.len() < PAGE {
            break;
        }
        after = open.last().copied();
    }
    let until = inner.clock.now().plus_ms(AHEAD_MS);
    for wakeup in inner.journal.store.due(inner.leases.serving(), until, PAGE).await? {
        wake(inner, wakeup.session);
    }
    Ok(())
}

/// After a failed write the store may refuse everything until the shard is taken anew; then nobody can load a session
/// and write, so nobody would. A write without a lease tells: only then the shard is taken, else a successor may own it.
async fn reopen(inner: &Arc<Inner>) {
    for shard in inner.leases.held() {
        let Ok(seen) = inner.leases.epoch(shard) else { continue };
        if let Err(StoreError::Unknown(_)) = inner.journal.store.sweep(shard, inner.clock.now()).await
            && let Err(error) = inner.leases.retake(shard, seen).await
        {
            tracing::warn!(%error, "the shard could not be taken anew");
        }
    }
}

fn wake(inner: &Arc<Inner>, session: SessionId) {
    if inner.driver(session).is_none()
        && let Err(error) = inner.send(session, Message::Wake)
    {
        tracing::debug!(%session, %error, "a session waits for the next sweep");
    }
}
