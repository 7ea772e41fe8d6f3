//! What an encoder had to leave out of a request, and why: the receipt says so under `dropped`.

use mainstay_vocabulary::Object;
use serde_json::{Value, json};

/// Most entries kept: a long conversation loses the same things again in every inference, and a receipt must not grow
/// with it.
const MAX_DROPPED: usize = 32;

/// Made by a provider of another deployment: reasoning and signatures mean something only to their maker.
pub(crate) const OTHER_DEPLOYMENT: &str = "made by another deployment";

/// What was left out so far.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    items: Vec<Value>,
    parameters: Vec<String>,
}

impl Dropped {
    /// Notes what was lost of an item of the request's input; at most [`MAX_DROPPED`] times.
    pub(crate) fn note(&mut self, item: usize, reason: &str) {
        if self.items.len() < MAX_DROPPED {
            self.items.push(json!({ "item": item, "reason": reason }));
        }
    }

    /// Notes a parameter that was left out or changed. Encoders have a handful of them: no bound is needed.
    pub(crate) fn note_parameter(&mut self, name: &str, reason: &str) {
        self.parameters.push(format!("{name}: {reason}"));
    }

    /// The items, for the receipt; `None` where nothing was lost of them.
    pub(crate) fn into_value(self) -> Option<Value> {
        (!self.items.is_empty()).then_some(Value::Array(self.items))
    }

    /// What the receipt says: `dropped` lists items, `left_out` parameters; neither where nothing was lost.
    pub(crate) fn into_lost(mut self) -> Object {
        let (parameters, mut lost) = (std::mem::take(&mut self.parameters), Object::new());
        if let Some(dropped) = self.into_value() {
            lost.insert("dropped".to_owned(), dropped);
        }
        if !parameters.is_empty() {
            lost.insert("left_out".to_owned(), parameters.into());
        }
        lost
    }
}
