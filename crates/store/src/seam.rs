//! The seam: what the runtime may ask of any backend, in plain structs. Entries, slices and snapshots are bytes
//! here; no rule of the domain may be needed to implement this. Start with `Store`, then `Batch`.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
};

use mainstay_vocabulary::{Epoch, OpId, Sequence, SessionId, Shard, Tenant, Timestamp};

use crate::error::Error;

/// What every verb returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// 32 bytes that name a thing without showing it.
pub type Digest = [u8; 32];

/// Names one life of a process.
pub type Incarnation = [u8; 16];

/// The right to write to a shard, as given by `acquire`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which shard.
    pub shard: Shard,
    /// The fence: every write names it and fails as `Error::Fenced` once a later one was given.
    pub epoch: Epoch,
}

/// All that must become true together, for one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The session; its shard is the lane.
    pub session: SessionId,
    /// Whose it is. Written once, with the first batch; a later batch must agree.
    pub tenant: Tenant,
    /// The last sequence that the writer knows; 0 creates the session.
    pub expected: Sequence,
    /// Names this attempt; a retry of the same bytes uses the same one. A batch without events moves no sequence, so
    /// one that was applied under the same `expected` and op is answered as then and not applied again.
    pub op: OpId,
    /// Sealed events, at `expected + 1` and up. May be empty only when `expected` is not 0.
    pub events: Vec<Arc<[u8]>>,
    /// Chain hash after the last event, kept in the head.
    pub chain: Digest,
    /// Whether somebody must drive the session on without being asked (recovery finds it by this).
    pub open: bool,
    /// Durable timers to set and to clear, by key; setting an existing key moves it.
    pub wakeups: Vec<WakeupChange>,
    /// Rows for lists and searches.
    pub index: Vec<IndexChange>,
    /// Makes a retried request find its first result.
    pub idempotency: Option<Idempotency>,
    /// Funds to move; a move that would make an account negative fails the batch as `Error::Funds`.
    pub moves: Vec<Move>,
    /// Content too large for an event, by keyed digest. Durable no later than the batch.
    pub blobs: Vec<Blob>,
    /// Replaces the session's snapshot.
    pub snapshot: Option<Arc<[u8]>>,
    /// Frames with all their ordinals below this are no longer needed.
    pub drop_frames_below: u64,
    /// Destroys the session's content: events, frames, blobs, snapshot, index rows and wakeups go; a tombstone row
    /// with tenant, sequence and chain stays. `events` of this batch stay too, and so does all else that it carries:
    /// erasure comes first. Later slices are refused.
    pub erase: bool,
}

/// One change of a durable timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeupChange {
    /// Unique in the session; up to 64 bytes.
    pub key: String,
    /// When; `None` clears it.
    pub at: Option<Timestamp>,
}

/// A timer that has come due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// Whose.
    pub session: SessionId,
    /// Which.
    pub key: String,
    /// When it was due.
    pub at: Timestamp,
}

/// Sets or removes one index row. The primary key is (tenant, kind, key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexChange {
    /// What kind of row; a short constant such as `session`.
    pub kind: &'static str,
    /// Unique per tenant and kind; rows are listed in the byte order of this. Up to 128 bytes.
    pub key: Vec<u8>,
    /// What the row holds, sealed or harmless; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

/// A row as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRow {
    /// Its key.
    pub key: Vec<u8>,
    /// The session that wrote it.
    pub session: SessionId,
    /// What it holds.
    pub value: Vec<u8>,
}

/// Where a list looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shards {
    /// In one shard.
    One(Shard),
    /// In these; see `All`.
    Some(Vec<Shard>),
    /// In all. Rows of equal keys in different shards come in no order, and a page that ends between them loses the
    /// rest: keys that are listed this way must be unique over all shards.
    All,
}

/// Which rows to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexQuery {
    /// Where to look.
    pub shards: Shards,
    /// Whose rows.
    pub tenant: Tenant,
    /// Which kind.
    pub kind: &'static str,
    /// Only keys that begin with this.
    pub prefix: Vec<u8>,
    /// Only keys strictly after this one in the direction asked for.
    pub after: Option<Vec<u8>>,
    /// Which way.
    pub direction: Direction,
    /// At most so many; at most `MAX_ROWS` are returned.
    pub limit: usize,
}

/// Which way a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// Remembers that a request was accepted and where its result is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Digest of tenant, principal, operation, target and the client's key.
    pub scope: Digest,
    /// Keyed digest of the request.
    pub request: Digest,
    /// Kept until then.
    pub expires: Timestamp,
}

/// What an idempotency scope holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The session that accepted the request.
    pub session: SessionId,
    /// First sequence of the batch that accepted it.
    pub sequence: Sequence,
    /// Keyed digest of the request.
    pub request: Digest,
}

/// Moves funds into (positive) or out of (negative) an escrow account of the shard, in pico-USD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The account; up to 64 bytes.
    pub account: Vec<u8>,
    /// How much.
    pub amount: i64,
}

/// Content kept beside the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Keyed digest of the content; the name.
    pub digest: Digest,
    /// Sealed content.
    pub bytes: Arc<[u8]>,
}

/// A sealed run of a session's deltas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Whose.
    pub session: SessionId,
    /// Ordinal of its first delta.
    pub first: u64,
    /// Ordinal of its last delta.
    pub last: u64,
    /// Sealed deltas.
    pub bytes: Arc<[u8]>,
}

/// What a commit answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The session's last sequence now.
    pub sequence: Sequence,
}

/// Where a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its last sequence.
    pub sequence: Sequence,
    /// Chain hash after it.
    pub chain: Digest,
    /// Whether it must be driven on.
    pub open: bool,
    /// Whether its content was erased.
    pub erased: bool,
    /// The newest snapshot.
    pub snapshot: Option<Arc<[u8]>>,
}

/// An event as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub sequence: Sequence,
    /// Sealed.
    pub bytes: Arc<[u8]>,
}

/// A process that serves the store's sessions together with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Which life of which process.
    pub incarnation: Incarnation,
    /// Where other nodes reach it: scheme, host and port.
    pub address: String,
    /// Whether it is about to leave and takes no more shards.
    pub draining: bool,
}

/// Who is there, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The nodes that were announced lately.
    pub nodes: Vec<Node>,
    /// Shards whose lease runs, each with the holder's incarnation.
    pub holders: Vec<(Shard, Incarnation)>,
}

/// Most rows that one read returns, whatever was asked for.
pub const MAX_ROWS: usize = 1_000;

/// A durable home for journals.
///
/// Writes to one shard are applied in the order in which `commit` and `append_frames` were called (not first
/// polled), and are group-committed. A write is acknowledged only when it survives a crash. Reads see every
/// acknowledged write.
pub trait Store: Send + Sync {
    /// How many shards there are: 0 up to this. Chosen when the store is made, for good.
    fn shards(&self) -> u16 {
        1
    }

    /// How long a lease runs after it was taken, renewed or written under, milliseconds by the store's clock. `None`: it
    /// does not run out, because the store cannot be open twice.
    fn lease_ms(&self) -> Option<u64> {
        None
    }

    /// Takes the shard: all earlier epochs are fenced. The holder itself may take it anew at any time.
    ///
    /// # Errors
    /// `Held`: the lease of another incarnation still runs.
    fn acquire(&self, shard: Shard, incarnation: Incarnation) -> Answer<'_, Lease>;

    /// Renews leases. Answers those that hold now; the others are lost.
    fn renew(&self, leases: Vec<Lease>) -> Answer<'_, Vec<Lease>> {
        Box::pin(ready(Ok(leases)))
    }

    /// Gives a shard back, so that another may take it at once. Of a lease that is lost already, nothing happens.
    fn release(&self, _lease: Lease) -> Answer<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    /// Says that a node is there; it counts as one for as long as a lease runs.
    fn announce(&self, _node: Node) -> Answer<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    /// Who is there. Nobody, where a store cannot be open twice.
    fn members(&self) -> Answer<'_, Members> {
        Box::pin(ready(Ok(Members::default())))
    }

    /// Applies a batch, or nothing of it.
    ///
    /// # Errors
    /// `Fenced`: a later epoch exists. `Conflict`: `expected` is not the head. `Duplicate`: the idempotency scope is
    /// taken; carries what it holds, also where `expected` is not the head. `Funds`: moves are made in order. `Full`:
    /// no space; nothing was written, try later. `Unknown`: whether it was applied can only be told by `outcome`, after
    /// `acquire`.
    fn commit(&self, lease: Lease, batch: Batch) -> Answer<'_, Committed>;

    /// Appends a slice. `first` must be greater than any `last` of the session before it.
    fn append_frames(&self, lease: Lease, slice: Slice) -> Answer<'_, ()>;

    /// Whether the batch that expected `expected` under this `op` was applied. Only final under a newer epoch.
    fn outcome(&self, session: SessionId, expected: Sequence, op: OpId) -> Answer<'_, bool>;

    /// Where a session stands; `None` if it was never created.
    fn head(&self, session: SessionId) -> Answer<'_, Option<Head>>;

    /// Events after `after`, in order, at most `limit` (and `MAX_ROWS`). None of a session that is another tenant's.
    fn read(&self, tenant: &Tenant, session: SessionId, after: Sequence, limit: usize) -> Answer<'_, Vec<Entry>>;

    /// All slices still held for a session, in order. None of a session that is another tenant's.
    fn frames(&self, tenant: &Tenant, session: SessionId) -> Answer<'_, Vec<Slice>>;

    /// What an idempotency scope of a shard holds.
    fn remembered(&self, shard: Shard, scope: Digest) -> Answer<'_, Option<Remembered>>;

    /// Sessions of these shards that must be driven on, in id order, strictly after `after`.
    fn open_sessions(&self, shards: Vec<Shard>, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>>;

    /// Wakeups of these shards due at or before `until`, earliest first.
    fn due(&self, shards: Vec<Shard>, until: Timestamp, limit: usize) -> Answer<'_, Vec<Wakeup>>;

    /// Index rows.
    fn list(&self, query: IndexQuery) -> Answer<'_, Vec<IndexRow>>;

    /// Funds of an escrow account; 0 if it never existed.
    fn funds(&self, shard: Shard, account: Vec<u8>) -> Answer<'_, i64>;

    /// A blob of a session; `None` if it is unknown or was erased, or the session is another tenant's.
    fn blob(&self, tenant: &Tenant, session: SessionId, digest: Digest) -> Answer<'_, Option<Arc<[u8]>>>;

    /// Removes what expired: idempotency records before `now`, orphaned blob files after their grace period. One call
    /// removes a bounded number; it is to be called from time to time.
    fn sweep(&self, shard: Shard, now: Timestamp) -> Answer<'_, ()>;

    /// Finishes the commits under way and closes; every later call fails as `Unavailable`.
    fn close(&self) -> Answer<'_, ()>;
}
