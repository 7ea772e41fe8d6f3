//! Everything that a store holds, as its verbs tell. All reads are asked for at once, because thousands of stores are
//! looked at.

use std::sync::Arc;

use mainstay_store::{
    Error, Store,
    seam::{Digest, Entry, Head, IndexRow, Remembered, Slice, Wakeup},
};
use mainstay_testkit::store::{
    sample::{SHARD, query, session, tenant},
    wait::wait,
};
use mainstay_vocabulary::{Sequence, SessionId, Timestamp};

/// Sessions of a history; the last one is for what is written after a crash.
pub(crate) const SESSIONS: u8 = 6;
/// Digests of blobs.
pub(crate) const BLOBS: u8 = 3;
/// Idempotency scopes.
pub(crate) const SCOPES: u8 = 24;
pub(crate) const KINDS: [&str; 2] = ["session", "note"];
pub(crate) const ACCOUNTS: [&[u8]; 2] = [b"a", b"purse"];

/// What a store holds. Small things first: they tell contents apart quickly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    heads: Vec<Option<Head>>,
    remembered: Vec<Option<Remembered>>,
    funds: Vec<i64>,
    open: Vec<SessionId>,
    due: Vec<Wakeup>,
    frames: Vec<Vec<Slice>>,
    rows: Vec<Vec<IndexRow>>,
    events: Vec<Vec<Entry>>,
    blobs: Vec<Option<Arc<[u8]>>>,
}

impl Content {
    /// Reads it.
    pub(crate) fn read(store: &dyn Store) -> Result<Self, Error> {
        let sessions = || (0..SESSIONS).map(session);
        let blobs = || sessions().flat_map(|id| (0..BLOBS).map(move |blob| (id, [blob; 32] as Digest)));
        let heads: Vec<_> = sessions().map(|id| store.head(id)).collect();
        let frames: Vec<_> = sessions().map(|id| store.frames(&tenant(), id)).collect();
        let events: Vec<_> = sessions().map(|id| store.read(&tenant(), id, Sequence(0), usize::MAX)).collect();
        let blobs: Vec<_> = blobs().map(|(id, digest)| store.blob(&tenant(), id, digest)).collect();
        let remembered: Vec<_> = (0..SCOPES).map(|scope| store.remembered(SHARD, [scope; 32])).collect();
        let funds: Vec<_> = ACCOUNTS.iter().map(|account| store.funds(SHARD, account.to_vec())).collect();
        let rows: Vec<_> = KINDS.iter().map(|kind| store.list(query(kind))).collect();
        Ok(Self {
            open: wait(store.open_sessions(vec![SHARD], None, usize::MAX))?,
            due: wait(store.due(vec![SHARD], Timestamp(u64::MAX), usize::MAX))?,
            heads: all(heads)?,
            remembered: all(remembered)?,
            funds: all(funds)?,
            frames: all(frames)?,
            rows: all(rows)?,
            events: all(events)?,
            blobs: all(blobs)?,
        })
    }

    /// A few words for a message: where each session stands.
    pub(crate) fn summary(&self) -> String {
        let heads: Vec<_> = self.heads.iter().map(|head| head.as_ref().map_or(0, |head| head.sequence.0)).collect();
        let counts = |lists: Vec<usize>| format!("{lists:?}");
        format!(
            "heads {heads:?}, events {}, frames {}, rows {}, due {}, funds {:?}",
            counts(self.events.iter().map(Vec::len).collect()),
            counts(self.frames.iter().map(Vec::len).collect()),
            counts(self.rows.iter().map(Vec::len).collect()),
            self.due.len(),
            self.funds,
        )
    }
}

fn all<T>(answers: Vec<mainstay_store::seam::Answer<'_, T>>) -> Result<Vec<T>, Error> {
    answers.into_iter().map(wait).collect()
}
