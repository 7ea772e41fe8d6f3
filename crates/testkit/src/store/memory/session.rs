//! One session of the model: what is held of it, and how it is read.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use mainstay_store::seam::{Digest, Entry, Head, MAX_ROWS, Slice};
use mainstay_vocabulary::{OpId, Sequence, Tenant, Timestamp};

/// A session.
pub(super) struct Session {
    pub(super) tenant: Tenant,
    pub(super) sequence: Sequence,
    pub(super) chain: Digest,
    pub(super) open: bool,
    pub(super) erased: bool,
    pub(super) snapshot: Option<Arc<[u8]>>,
    /// The sequence before the first of `events`: 0, or where it stood when it was erased.
    pub(super) begin: u64,
    pub(super) events: Vec<Arc<[u8]>>,
    /// Every batch with events that was applied, as (expected, op), unless it was erased.
    pub(super) ops: HashSet<(Sequence, OpId)>,
    /// The same for batches without events.
    pub(super) quiet: HashSet<(Sequence, OpId)>,
    pub(super) frames: VecDeque<Slice>,
    /// The lowest ordinal that a slice may begin with.
    pub(super) frame_next: u64,
    pub(super) wakeups: BTreeMap<String, Timestamp>,
    pub(super) blobs: HashMap<Digest, Arc<[u8]>>,
}

impl Session {
    pub(super) fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            sequence: Sequence(0),
            chain: [0; 32],
            open: false,
            erased: false,
            snapshot: None,
            begin: 0,
            events: Vec::new(),
            ops: HashSet::new(),
            quiet: HashSet::new(),
            frames: VecDeque::new(),
            frame_next: 0,
            wakeups: BTreeMap::new(),
            blobs: HashMap::new(),
        }
    }

    pub(super) fn head(&self) -> Head {
        Head {
            tenant: self.tenant.clone(),
            sequence: self.sequence,
            chain: self.chain,
            open: self.open,
            erased: self.erased,
            snapshot: self.snapshot.clone(),
        }
    }

    pub(super) fn read(&self, after: Sequence, limit: usize) -> Vec<Entry> {
        let skipped = after.0.saturating_sub(self.begin);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX).min(self.events.len());
        let entries = self.events[skipped..].iter().take(limit.min(MAX_ROWS)).enumerate();
        entries
            .map(|(index, bytes)| Entry {
                sequence: Sequence(self.begin + (skipped + index) as u64 + 1),
                bytes: Arc::clone(bytes),
            })
            .collect()
    }
}
