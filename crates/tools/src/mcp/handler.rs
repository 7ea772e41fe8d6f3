//! What a server may tell us without being asked: progress of calls, and that its lists have changed. It may ask us
//! for nothing: there is no person and no model behind this client while a tool runs.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rmcp::{
    ClientHandler, RoleClient,
    model::{ClientCapabilities, ClientConfig, Implementation, ProgressNotificationParam, ProgressToken},
    service::NotificationContext,
};
use tokio::sync::mpsc;

use crate::Step;

/// Bytes of a progress message that are shown.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;

/// Shared by a connection and its calls.
#[derive(Clone, Default)]
pub(super) struct Heard {
    /// How often the server said that its tools have changed.
    pub(super) tools: Arc<AtomicU64>,
    /// The same of resources and prompts.
    pub(super) others: Arc<AtomicU64>,
    progress: Arc<Mutex<HashMap<ProgressToken, mpsc::Sender<Step>>>>,
}

/// Progress of one call; forgets the call when it is dropped.
pub(super) struct Listening {
    heard: Heard,
    token: ProgressToken,
}

impl Heard {
    pub(super) fn listen(&self, token: ProgressToken, steps: mpsc::Sender<Step>) -> Listening {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), steps);
        Listening { heard: self.clone(), token }
    }

    fn progressed(&self, told: ProgressNotificationParam) {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = progress.get(&told.progress_token) else { return };
        let message = told.message.map(|message| super::convert::cut(message, MAX_MESSAGE_BYTES));
        let _ = sender.try_send(Step::Progress { done: told.progress, total: told.total, message });
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.heard.progress.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.token);
    }
}

/// The client as the SDK sees it.
pub(super) struct Handler(pub(super) Heard);

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(ClientCapabilities::default(), Implementation::new("mainstay", env!("CARGO_PKG_VERSION")))
    }

    async fn on_progress(&self, told: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.0.progressed(told);
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.tools.fetch_add(1, Ordering::Relaxed);
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.others.fetch_add(1, Ordering::Relaxed);
    }

    async fn on_prompt_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.others.fetch_add(1, Ordering::Relaxed);
    }
}
