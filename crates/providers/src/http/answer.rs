//! What is known of an answer while it comes, whatever the format: how many items were begun, why the model stopped,
//! its tokens, and what the provider said about itself.

use mainstay_vocabulary::{
    ItemKind, Object, Usage,
    inference::{Chunk, Delta, Failure, Finished, Stop},
};
use serde_json::Value;

use super::failure::protocol;

/// Most items of one inference; a model that makes more runs in circles.
pub const MAX_ITEMS: u32 = 256;

/// Longest text kept of what a provider says about itself, bytes.
const MAX_REPORTED_BYTES: usize = 256;

/// Longest JSON kept of what a provider says about itself (unknown fields of usage, a list of what was dropped), bytes.
const MAX_REPORTED_JSON_BYTES: usize = 4096;

/// One answer in the making.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    started: u32,
    /// Why the model stopped, once it is known: whatever happens to the stream then, the inference is whole.
    pub(crate) stop: Option<Stop>,
    /// Tokens, as last reported.
    pub(crate) usage: Option<Usage>,
    model: Option<String>,
    reported: Object,
}

impl Answer {
    /// Begins an item; gives its index.
    pub(crate) fn start(&mut self, kind: ItemKind, out: &mut Vec<Chunk>) -> Result<u32, Failure> {
        if self.started == MAX_ITEMS {
            return Err(too_many_items());
        }
        let index = self.started;
        self.started += 1;
        out.push(Chunk::Delta(Delta::Started { index, kind }));
        Ok(index)
    }

    /// Keeps a text that the provider said about itself; the first of a name stays.
    pub(crate) fn report(&mut self, name: &str, text: &str) {
        if !text.is_empty() && text.len() <= MAX_REPORTED_BYTES && !self.reported.contains_key(name) {
            self.reported.insert(name.to_owned(), text.into());
        }
    }

    /// Keeps JSON for the receipt; the last of a name stays.
    pub(crate) fn report_json(&mut self, name: &str, value: Value) {
        if value.to_string().len() <= MAX_REPORTED_JSON_BYTES {
            self.reported.insert(name.to_owned(), value);
        }
    }

    /// Keeps what a provider says about tokens besides their numbers.
    pub(crate) fn report_usage(&mut self, mut rest: Object) {
        rest.retain(|_, value| !value.is_null());
        if !rest.is_empty() {
            self.report_json("usage", Value::Object(rest));
        }
    }

    /// Keeps the model's name; the first one stays.
    pub(crate) fn name_model(&mut self, name: &str) {
        if self.model.is_none() && !name.is_empty() && name.len() <= MAX_REPORTED_BYTES {
            self.model = Some(name.to_owned());
        }
    }

    /// The end, once everything is closed.
    pub(crate) fn finish(&mut self, stop: Stop, out: &mut Vec<Chunk>) {
        let (model, reported) = (self.model.take(), std::mem::take(&mut self.reported));
        out.push(Chunk::Finished(Finished { stop, usage: self.usage, model, reported }));
    }
}

/// More items than [`MAX_ITEMS`].
pub(crate) fn too_many_items() -> Failure {
    protocol("more items than an inference may have")
}
