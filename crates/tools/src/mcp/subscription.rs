//! That a server's tools have changed, by the specification of 2026-07-28: a stream that the server is asked for.
//! Nobody waits on it; it is emptied when somebody wants to know.

use std::{
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt as _;
use rmcp::{model::SubscriptionFilter, service::Subscription};
use tokio::time::timeout;

use super::{failure::Peer, handler::Heard};

/// Notifications that are taken at once.
const MAX_AT_ONCE: usize = 256;

/// The stream, where there is one.
#[derive(Default)]
pub(super) struct Subscribed(Mutex<Option<Subscription>>);

impl Subscribed {
    /// Asks for the stream, if the server has one and there is none yet. Nothing depends on it.
    pub(super) async fn ask(&self, peer: &Peer, patience: Duration) {
        let Some(info) = peer.peer_info() else { return };
        let tells = info.capabilities.tools.as_ref().is_some_and(|tools| tools.list_changed == Some(true));
        if info.protocol_version.has_initialize() || !tells || self.with(|subscription| subscription.is_some()) {
            return;
        }
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        if let Ok(Ok(subscription)) = timeout(patience, peer.listen(filter)).await {
            self.with(|slot| *slot = Some(subscription));
        }
    }

    /// Counts what came. A stream that ended may have kept something back: that counts as a change.
    pub(super) fn empty(&self, heard: &Heard) {
        self.with(|slot| {
            for _ in 0..MAX_AT_ONCE {
                let Some(subscription) = slot.as_mut() else { return };
                let Some(came) = subscription.next().now_or_never() else { return };
                heard.tools.fetch_add(1, Ordering::Relaxed);
                if !matches!(came, Ok(Some(_))) {
                    *slot = None;
                }
            }
        });
    }

    /// Forgets the stream, with its connection.
    pub(super) fn end(&self) {
        self.with(|slot| *slot = None);
    }

    fn with<T>(&self, what: impl FnOnce(&mut Option<Subscription>) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
