//! A store as a whole: what an operator asks beside serving. How it stands, everything that is held of each session in
//! plain structs, and the receiving end of a copy; so a store can be verified and moved without one backend knowing
//! another. Start with `Whole`, then `Piece`. These verbs may block their caller: no executor is to be kept waiting.

use std::{future::ready, path::PathBuf, sync::Arc};

use mainstay_vocabulary::{Epoch, OpId, Sequence, SessionId, Shard, Tenant, Timestamp};

use crate::seam::{Answer, Digest, Incarnation, Remembered};

/// A page of pieces or records holds at most so many bytes, and one more thing: what a copy holds in memory.
pub const PAGE_BYTES: usize = 4 << 20;

/// A session's row, without what grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
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
    /// The lowest ordinal that a slice may begin with.
    pub frame_next: u64,
    /// The newest snapshot.
    pub snapshot: Option<Arc<[u8]>>,
}

/// One thing that is held of a session. Pieces have an order, by kind and by key: see `place`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An event; with the op of the batch that it was the first of.
    Event {
        /// Its place.
        sequence: Sequence,
        /// Where it begins a batch.
        op: Option<OpId>,
        /// Sealed.
        bytes: Arc<[u8]>,
    },
    /// A batch without events.
    Quiet {
        /// What it expected.
        expected: Sequence,
        /// Its name.
        op: OpId,
    },
    /// A slice that is still held.
    Slice {
        /// Ordinal of its first delta.
        first: u64,
        /// Ordinal of its last delta.
        last: u64,
        /// Sealed.
        bytes: Arc<[u8]>,
    },
    /// Content beside the events.
    Blob {
        /// Its name.
        digest: Digest,
        /// Sealed.
        bytes: Arc<[u8]>,
    },
    /// A durable timer.
    Wakeup {
        /// Its name.
        key: String,
        /// When.
        at: Timestamp,
    },
    /// An index row.
    Row {
        /// What kind.
        kind: String,
        /// Its key.
        key: Vec<u8>,
        /// What it holds.
        value: Vec<u8>,
    },
}

/// What is held of a shard beside its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An idempotency record.
    Scope {
        /// Its name.
        scope: Digest,
        /// What it holds.
        remembered: Remembered,
        /// Kept until then.
        expires: Timestamp,
    },
    /// An escrow account.
    Funds {
        /// The account.
        account: Vec<u8>,
        /// What is in it.
        amount: i64,
    },
}

/// Where a piece or record stands among all of its session or shard: rank of its kind, then its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u8, pub Vec<u8>);

/// Some pieces or records, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found.
    pub found: Vec<T>,
    /// Whether there may be more after the last.
    pub more: bool,
}

/// A piece of a session on its way into another store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The session.
    pub session: SessionId,
    /// Its row; the same with every part.
    pub outline: Outline,
    /// Some of its pieces.
    pub pieces: Vec<Piece>,
}

/// How a store stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What keeps it, with its version.
    pub backend: String,
    /// The shape of its tables.
    pub format: u32,
    /// What the database takes, bytes.
    pub bytes: u64,
    /// Blobs that are files, and what they take, bytes.
    pub files: (u64, u64),
    /// All sessions, erased ones included.
    pub sessions: u64,
    /// Sessions that must be driven on.
    pub open: u64,
    /// Sessions whose content was erased.
    pub erased: u64,
    /// Events in all.
    pub events: u64,
    /// Durable timers, and how many of them are due.
    pub wakeups: (u64, u64),
    /// Idempotency records.
    pub idempotency: u64,
    /// Every shard that was ever taken.
    pub shards: Vec<Holding>,
}

/// How one shard stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Which shard.
    pub shard: Shard,
    /// The latest epoch that was given.
    pub epoch: Epoch,
    /// How many commits it has seen, where that is counted: that it moved tells that the shard was written to.
    pub commits: u64,
    /// Who took it last.
    pub holder: Option<Incarnation>,
    /// Whether the holder may still write. A store that cannot be open twice knows this by its lock.
    pub is_held: bool,
}

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The format that was found.
    pub from: u32,
    /// The format now.
    pub to: u32,
}

/// Hears how many bytes of how many are done.
pub type Seen = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// A store as its operator sees it. Reading never disturbs who serves from it.
pub trait Whole: Send + Sync {
    /// How it stands.
    fn standing(&self, now: Timestamp) -> Answer<'_, Standing>;

    /// What the backend itself finds wrong with its files, in words; bounded.
    fn examine(&self) -> Answer<'_, Vec<String>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    /// Writes all that is durable at one moment into an empty folder; the store may be served from meanwhile.
    ///
    /// # Errors
    /// `Unsupported`: the backend has tools of its own for that, which the message names.
    fn backup(&self, into: PathBuf, seen: Seen) -> Answer<'_, ()>;

    /// The shards that a session may be in.
    fn shards(&self) -> u16;

    /// Sessions of a shard in id order, strictly after `after`, erased ones included.
    fn sessions(&self, shard: Shard, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>>;

    /// A session's row.
    fn outline(&self, session: SessionId) -> Answer<'_, Option<Outline>>;

    /// Everything else of a session in order, strictly after `after`, a page at a time.
    fn pieces(&self, session: SessionId, after: Option<Place>) -> Answer<'_, Page<Piece>>;

    /// Everything of a shard that belongs to no one session, in order, strictly after `after`, a page at a time.
    fn records(&self, shard: Shard, after: Option<Place>) -> Answer<'_, Page<Record>>;
}

/// The receiving end of a copy. While one is under way nobody can serve from the store; each verb may be repeated after
/// a crash at any moment.
pub trait Receiver: Whole {
    /// Begins a copy into an empty store, or goes on with the one of the same origin; answers the last session that
    /// `note` was told of. `shards` are those of the origin, so that epochs go on.
    ///
    /// # Errors
    /// `Unsupported`, saying why: something else is in the store, it has too few shards.
    fn begin(&self, origin: Digest, shards: Vec<(Shard, Epoch)>) -> Answer<'_, Option<SessionId>>;

    /// Takes parts of sessions. What is there already stays.
    fn receive(&self, parts: Vec<Part>) -> Answer<'_, ()>;

    /// Takes records of a shard.
    fn receive_records(&self, shard: Shard, records: Vec<Record>) -> Answer<'_, ()>;

    /// Remembers that all sessions up to this one are here and verified.
    fn note(&self, last: SessionId) -> Answer<'_, ()>;

    /// Ends the copy: it survives a crash, and the store may be served from.
    fn finish(&self) -> Answer<'_, ()>;
}

impl Piece {
    /// Where it stands among the pieces of its session.
    pub fn place(&self) -> Place {
        match self {
            Self::Event { sequence, .. } => Place(0, sequence.0.to_be_bytes().to_vec()),
            Self::Quiet { expected, op } => Place(1, [&expected.0.to_be_bytes()[..], &op.0].concat()),
            Self::Slice { first, .. } => Place(2, first.to_be_bytes().to_vec()),
            Self::Blob { digest, .. } => Place(3, digest.to_vec()),
            Self::Wakeup { key, .. } => Place(4, key.as_bytes().to_vec()),
            Self::Row { kind, key, .. } => Place(5, [kind.as_bytes(), &[0], key].concat()),
        }
    }

    /// What it takes, bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Event { bytes, .. } | Self::Slice { bytes, .. } | Self::Blob { bytes, .. } => bytes.len() + OVERHEAD,
            Self::Row { value, .. } => value.len() + OVERHEAD,
            Self::Quiet { .. } | Self::Wakeup { .. } => OVERHEAD,
        }
    }
}

/// Counted for every piece beside its content.
const OVERHEAD: usize = 128;

impl Record {
    /// Where it stands among the records of its shard.
    pub fn place(&self) -> Place {
        match self {
            Self::Scope { scope, .. } => Place(0, scope.to_vec()),
            Self::Funds { account, .. } => Place(1, account.clone()),
        }
    }
}

/// Cuts what was found, in order, to a page.
pub fn page<T>(found: impl IntoIterator<Item = T>, rows: usize, bytes: impl Fn(&T) -> usize) -> Page<T> {
    let mut page = Page { found: Vec::new(), more: false };
    let mut taken = 0;
    for item in found {
        if page.found.len() >= rows || taken >= PAGE_BYTES {
            page.more = true;
            break;
        }
        taken += bytes(&item);
        page.found.push(item);
    }
    page
}
