//! The limits of the seam, checked without looking at what is stored. Every backend refuses the same batches with the
//! same words, so this is asked before anything else.

use mainstay_vocabulary::Timestamp;

use crate::{
    error::Error,
    seam::{Batch, IndexChange, IndexQuery, Lease, MAX_ROWS, Slice, WakeupChange},
};

/// Longest key of a wakeup, in bytes.
pub const WAKEUP_KEY_BYTES: usize = 64;
/// Longest key of an index row, in bytes.
pub const INDEX_KEY_BYTES: usize = 128;
/// Longest name of an escrow account, in bytes.
pub const ACCOUNT_BYTES: usize = 64;
/// Longest tenant, in bytes; it is part of every index row's key.
pub const TENANT_BYTES: usize = 256;
/// Most of each kind of thing in one batch: as many events as one read returns.
pub const BATCH_ROWS: usize = MAX_ROWS;
/// Most content in one batch, so that the queues in front of a lane can hold several.
pub const BATCH_BYTES: usize = 64 << 20;
/// Largest number that every backend can store: they keep signed 64-bit integers.
pub const LARGEST: u64 = i64::MAX as u64;

/// Whether a batch keeps the limits.
///
/// # Errors
/// `Malformed`, naming the rule.
pub fn batch(lease: Lease, batch: &Batch) -> Result<(), Error> {
    require(lease.shard == batch.session.shard(), "the lease is of another shard")?;
    require(!batch.events.is_empty() || batch.expected.0 != 0, "a session begins with an event")?;
    require(batch.expected.0 < LARGEST - BATCH_ROWS as u64, "the sequence is out of range")?;
    require(batch.tenant.0.len() <= TENANT_BYTES, "the tenant is too long")?;
    require(!batch.tenant.0.contains('\0'), "the tenant holds a zero byte")?;
    let longest = [batch.events.len(), batch.wakeups.len(), batch.index.len(), batch.moves.len(), batch.blobs.len()];
    require(longest.into_iter().all(|count| count <= BATCH_ROWS), "too many rows")?;
    require(bytes(batch) <= BATCH_BYTES, "too many bytes")?;
    require(batch.moves.iter().all(|change| change.account.len() <= ACCOUNT_BYTES), "the account is too long")?;
    require(batch.idempotency.as_ref().is_none_or(|record| in_range(record.expires)), "the expiry is out of range")?;
    batch.wakeups.iter().try_for_each(wakeup)?;
    batch.index.iter().try_for_each(row)
}

/// Whether a slice keeps the limits.
///
/// # Errors
/// `Malformed`, naming the rule.
pub fn slice(lease: Lease, slice: &Slice) -> Result<(), Error> {
    require(lease.shard == slice.session.shard(), "the lease is of another shard")?;
    require(slice.first <= slice.last, "the slice ends before it begins")?;
    require(slice.last < LARGEST, "the ordinal is out of range")?;
    require(slice.bytes.len() <= BATCH_BYTES, "too many bytes")
}

/// Whether a query keeps the limits.
///
/// # Errors
/// `Malformed`, naming the rule.
pub fn query(query: &IndexQuery) -> Result<(), Error> {
    require(query.prefix.len() <= INDEX_KEY_BYTES, "the prefix is too long")?;
    require(query.after.as_ref().is_none_or(|after| after.len() <= INDEX_KEY_BYTES), "the key is too long")
}

/// How much content a batch carries.
pub fn bytes(batch: &Batch) -> usize {
    let events: usize = batch.events.iter().map(|event| event.len()).sum();
    let blobs: usize = batch.blobs.iter().map(|blob| blob.bytes.len()).sum();
    let rows: usize = batch.index.iter().filter_map(|change| change.value.as_ref()).map(Vec::len).sum();
    events + blobs + rows + batch.snapshot.as_ref().map_or(0, |snapshot| snapshot.len())
}

fn wakeup(change: &WakeupChange) -> Result<(), Error> {
    require(change.key.len() <= WAKEUP_KEY_BYTES, "the wakeup's key is too long")?;
    // Not every backend has texts with zero bytes.
    require(!change.key.contains('\0'), "the wakeup's key holds a zero byte")?;
    require(change.at.is_none_or(in_range), "the wakeup is out of range")
}

fn row(change: &IndexChange) -> Result<(), Error> {
    require(change.key.len() <= INDEX_KEY_BYTES, "the index key is too long")
}

const fn in_range(at: Timestamp) -> bool {
    at.0 <= LARGEST
}

const fn require(holds: bool, rule: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Malformed(rule)) }
}
