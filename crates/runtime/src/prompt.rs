//! The rendered context of one session, with a running digest and size, so that a turn costs no more as it grows.

use std::sync::Arc;

use mainstay_session::{Spec, State, context::Context};
use mainstay_vocabulary::{Item, Sequence, inference::Request};

/// What has been rendered of a context so far.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    epoch: Sequence,
    items: usize,
    digest: [u8; 32],
    bytes: u64,
}

impl Prompt {
    /// Takes in what the context has gained; starts anew with another context epoch.
    pub(crate) fn extend(&mut self, state: &State, context: &Context) {
        if self.epoch != state.context_epoch || self.items > context.items.len() {
            let mut spec = serde_json::to_vec(&*state.spec).unwrap_or_default();
            if !state.listed.is_empty() {
                spec.extend(serde_json::to_vec(&*state.offered()).unwrap_or_default());
            }
            let bytes = state.spec.instructions.as_ref().map_or(0, |text| text.len() as u64);
            *self = Self { epoch: state.context_epoch, items: 0, digest: hash(&[0; 32], &spec), bytes };
        }
        for (_, item) in &context.items[self.items..] {
            let json = serde_json::to_vec(&**item).unwrap_or_default();
            self.digest = hash(&self.digest, &json);
            self.bytes += size(item, json.len());
        }
        self.items = context.items.len();
    }

    /// Digest of all that a model sees, in order.
    pub(crate) const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Size of the text, bytes; for estimates.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What a model is asked by `spec` about `input`. Where it goes is filled in by the route.
pub fn request_of(spec: &Spec, input: Vec<Arc<Item>>) -> Request {
    Request {
        upstream_model: String::new(),
        deployment: String::new(),
        instructions: spec.instructions.clone(),
        input,
        prefix: None,
        tools: Arc::clone(&spec.tools),
        tool_choice: spec.tool_choice.clone(),
        parallel_tool_calls: spec.parallel_tool_calls,
        sampling: spec.sampling.clone(),
        reasoning: spec.reasoning.clone(),
        text: spec.text.clone(),
        idempotency_key: String::new(),
        service_tier: spec.service_tier.clone(),
        extra: spec.extra.clone(),
        verbatim: None,
    }
}

/// Text that a model sees of an item, bytes, roughly.
fn size(item: &Arc<Item>, json: usize) -> u64 {
    match &**item {
        Item::Other(_) | Item::Reasoning { .. } => 0,
        Item::Message { .. } | Item::ToolCall { .. } | Item::ToolResult { .. } | Item::Compaction { .. } => json as u64,
    }
}

fn hash(previous: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(previous);
    context.update(bytes);
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
