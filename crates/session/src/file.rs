//! A stored file as it stands: what it is and where its pieces are, never its content.

use mainstay_vocabulary::{Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::event::FileHead;

/// Largest file, bytes; the vendors' limit.
pub const MAX_FILE: u64 = 512 << 20;
/// Largest piece of a file's content, bytes: several fit into what a process holds at once.
pub const MAX_PART: usize = 4 << 20;
/// Most pieces of one file: they are held in memory and in snapshots.
pub const MAX_PARTS: usize = 4_096;

/// A stored file as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// What it is.
    pub head: FileHead,
    /// Its pieces so far, each with its size in bytes; once it is whole, in the order of its content.
    pub parts: Vec<(Sequence, u64)>,
    /// Whether it is whole.
    pub is_whole: bool,
}

impl StoredFile {
    pub(crate) const fn begun(head: FileHead) -> Self {
        Self { head, parts: Vec::new(), is_whole: false }
    }

    pub(crate) fn complete(&mut self, order: &[Sequence]) {
        let known = |sequence: &Sequence| self.parts.iter().find(|(place, _)| place == sequence).copied();
        self.parts = order.iter().filter_map(known).collect();
        self.is_whole = true;
    }

    /// When it is erased, as it stands.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let unless_whole = self.head.whole_by.filter(|_| !self.is_whole);
        [unless_whole, self.head.expires_at].into_iter().flatten().min()
    }

    /// Its size so far, bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}
