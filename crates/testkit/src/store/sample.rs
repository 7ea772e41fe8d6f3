//! Batches, slices and queries to test with: as little as the seam allows, for a test to change what it is about.

use mainstay_store::seam::{Batch, Direction, IndexQuery, Lease, Shards, Slice};
use mainstay_vocabulary::{Epoch, OpId, Sequence, SessionId, Shard, Tenant};

/// The shard that samples live in.
pub const SHARD: Shard = Shard(3);

/// The session of a number.
pub fn session(number: u8) -> SessionId {
    SessionId::new(SHARD, [number; 16])
}

/// Whose samples are.
pub fn tenant() -> Tenant {
    Tenant("acme".into())
}

/// A batch of one event per text, under an op that no other batch of the session has.
pub fn batch(session: SessionId, expected: u64, events: &[&str]) -> Batch {
    let mut op = [0; 16];
    op[..8].copy_from_slice(&expected.to_be_bytes());
    op[8] = events.len() as u8;
    Batch {
        session,
        tenant: tenant(),
        expected: Sequence(expected),
        op: OpId(op),
        events: events.iter().map(|text| text.as_bytes().into()).collect(),
        chain: [expected as u8; 32],
        open: false,
        wakeups: Vec::new(),
        index: Vec::new(),
        idempotency: None,
        moves: Vec::new(),
        blobs: Vec::new(),
        snapshot: None,
        drop_frames_below: 0,
        erase: false,
    }
}

/// A slice of some deltas.
pub fn slice(session: SessionId, first: u64, last: u64) -> Slice {
    Slice { session, first, last, bytes: format!("deltas {first} to {last}").into_bytes().into() }
}

/// A query for all rows of a kind, smallest key first.
pub fn query(kind: &'static str) -> IndexQuery {
    IndexQuery {
        shards: Shards::One(SHARD),
        tenant: tenant(),
        kind,
        prefix: Vec::new(),
        after: None,
        direction: Direction::Ascending,
        limit: usize::MAX,
    }
}

/// The lease before this one.
pub const fn earlier(lease: Lease) -> Lease {
    Lease { shard: lease.shard, epoch: Epoch(lease.epoch.0 - 1) }
}
