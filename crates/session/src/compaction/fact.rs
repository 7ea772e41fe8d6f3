//! What is journaled of compactions: the purpose of a turn and of an inference, and a context that begins anew.

use mainstay_vocabulary::{CallId, Item, ItemId, Sequence};
use serde::{Deserialize, Serialize};

use super::Stays;

/// What a turn is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// An answer.
    #[default]
    Answer,
    /// A compaction of the context, nothing else.
    Compact,
}

impl Task {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub(crate) const fn is_answer(&self) -> bool {
        matches!(self, Self::Answer)
    }
}

/// What an inference is made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The next step of the turn.
    #[default]
    Answer,
    /// A digest of the context. What it writes is shown to nobody until it is whole.
    Compaction,
}

impl Purpose {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub(crate) const fn is_answer(&self) -> bool {
        matches!(self, Self::Answer)
    }
}

/// A context that begins anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replaced {
    /// The digest of what is gone; `None` where the oldest items were dropped because the prompt did not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What stays word for word.
    #[serde(default)]
    pub stays: Stays,
    /// Calls among it that have no result yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<CallId>,
    /// Where reading begins that rebuilds the context: the oldest input that waits, or this very event.
    pub from: Sequence,
    /// The replacement before this one, for reading the context as it stood earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Base>,
}

impl Replaced {
    pub(crate) fn without_content(&self) -> Self {
        let digest = self.digest.as_ref().map(|digest| Digest { text: String::new(), ..digest.clone() });
        Self { digest, stays: Stays::default(), unanswered: Vec::new(), ..self.clone() }
    }
}

/// A digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The id of its item: (its inference's intent, 0).
    pub id: ItemId,
    /// The text that models are shown.
    pub text: String,
}

impl Digest {
    /// Its item.
    pub fn item(&self) -> Item {
        Item::Compaction { text: self.text.clone() }
    }
}

/// Where a context begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The sequence of the `ContextReplaced`.
    pub at: Sequence,
    /// Its `from`.
    pub from: Sequence,
}
