//! Copies one store into another, session by session, and compares hashes of both ends. Knows no backend. What is held
//! in memory is a few pages, whatever a session's size; after a crash the copy goes on after the last session that was
//! verified.

use mainstay_vocabulary::{SessionId, Shard, Timestamp};
use ring::digest::{Context, SHA256};

use crate::{
    error::Error,
    seam::{Digest, MAX_ROWS},
    whole::{Outline, Page, Part, Piece, Place, Receiver, Record, Standing, Whole},
};

/// Sessions that are written and verified together at most: so many small ones share two commits.
const GROUP: usize = 256;
/// Content that is written together at most, bytes.
const GROUP_BYTES: usize = 4 << 20;

/// How far a copy has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Sessions that are at the other end and verified, with those of earlier runs.
    pub sessions: u64,
    /// Sessions that there are.
    pub of: u64,
    /// Content that this run wrote, bytes.
    pub bytes: u64,
    /// Idempotency records and accounts.
    pub records: u64,
    /// Sessions that an earlier run had finished.
    pub resumed: u64,
}

/// Copies everything.
///
/// # Errors
/// `Unsupported` where the target cannot take it; `Corrupt` where a session is not the same at both ends, which names it.
pub async fn copy(from: &dyn Whole, to: &dyn Receiver, seen: &mut dyn FnMut(Copied)) -> Result<Copied, Error> {
    let standing = from.standing(Timestamp(0)).await?;
    let mut shards: Vec<_> = standing.shards.iter().map(|holding| (holding.shard, holding.epoch)).collect();
    shards.sort_unstable();
    let after = to.begin(origin(&standing), shards).await?;
    let copied = Copied { of: standing.sessions, ..Copied::default() };
    let mut run = Run { from, to, seen, copied, group: Vec::new(), group_bytes: 0, expected: Vec::new() };
    for shard in (0..from.shards()).map(Shard) {
        run.shard(shard, after).await?;
    }
    run.settle().await?;
    for shard in (0..from.shards()).map(Shard) {
        run.records(shard).await?;
    }
    if origin(&from.standing(Timestamp(0)).await?) != origin(&standing) {
        return Err(Error::Unavailable("the source was written to while it was copied".to_owned()));
    }
    to.finish().await?;
    Ok(run.copied)
}

/// Tells one state of one store from others: a copy goes on only where nothing was written since it began.
fn origin(standing: &Standing) -> Digest {
    let mut hash = Hash::new();
    hash.number(standing.sessions);
    hash.number(standing.events);
    for holding in &standing.shards {
        hash.number(holding.shard.0.into());
        hash.number(holding.epoch.0);
        hash.number(holding.commits);
        hash.field(&holding.holder.unwrap_or_default());
    }
    hash.finish()
}

struct Run<'a> {
    from: &'a dyn Whole,
    to: &'a dyn Receiver,
    seen: &'a mut dyn FnMut(Copied),
    copied: Copied,
    group: Vec<Part>,
    group_bytes: usize,
    /// Sessions whose last part is written or in the group, with the hash that they must have.
    expected: Vec<(SessionId, Digest)>,
}

impl Run<'_> {
    async fn shard(&mut self, shard: Shard, done: Option<SessionId>) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.from.sessions(shard, after, MAX_ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(*last);
            for session in page {
                if done.is_some_and(|done| session <= done) {
                    self.copied.sessions += 1;
                    self.copied.resumed += 1;
                    continue;
                }
                self.session(session).await?;
            }
        }
    }

    async fn session(&mut self, session: SessionId) -> Result<(), Error> {
        let outline = self.from.outline(session).await?.ok_or_else(|| gone(session))?;
        let mut hash = Hash::of(&outline);
        let mut after = None;
        loop {
            let Page { found, more } = self.from.pieces(session, after).await?;
            found.iter().for_each(|piece| hash.piece(piece));
            after = found.last().map(Piece::place);
            self.push(Part { session, outline: outline.clone(), pieces: found }).await?;
            if !more {
                break;
            }
        }
        self.expected.push((session, hash.finish()));
        if self.expected.len() >= GROUP { self.settle().await } else { Ok(()) }
    }

    async fn push(&mut self, part: Part) -> Result<(), Error> {
        let snapshot = part.outline.snapshot.as_ref().map_or(0, |snapshot| snapshot.len());
        self.group_bytes += snapshot + part.pieces.iter().map(Piece::bytes).sum::<usize>();
        self.group.push(part);
        if self.group_bytes >= GROUP_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.copied.bytes += std::mem::take(&mut self.group_bytes) as u64;
        let parts = std::mem::take(&mut self.group);
        self.to.receive(parts).await?;
        (self.seen)(self.copied);
        Ok(())
    }

    /// Writes what is gathered, reads whole sessions back and compares.
    async fn settle(&mut self) -> Result<(), Error> {
        self.flush().await?;
        let expected = std::mem::take(&mut self.expected);
        for (session, hash) in &expected {
            if digest(self.to, *session).await? != Some(*hash) {
                return Err(Error::Corrupt(format!("session {session} is another one at the other end")));
            }
        }
        if let Some((last, _)) = expected.last() {
            self.to.note(*last).await?;
        }
        self.copied.sessions += expected.len() as u64;
        (self.seen)(self.copied);
        Ok(())
    }

    async fn records(&mut self, shard: Shard) -> Result<(), Error> {
        let (mut hash, mut after) = (Hash::new(), None);
        loop {
            let Page { found, more } = self.from.records(shard, after).await?;
            found.iter().for_each(|record| hash.record(record));
            after = found.last().map(Record::place);
            self.copied.records += found.len() as u64;
            if !found.is_empty() {
                self.to.receive_records(shard, found).await?;
            }
            if !more {
                break;
            }
        }
        if hash.finish() == records_digest(self.to, shard).await? {
            return Ok(());
        }
        Err(Error::Corrupt(format!("the records of shard {} are others at the other end", shard.0)))
    }
}

fn gone(session: SessionId) -> Error {
    Error::Corrupt(format!("session {session} is listed and not there"))
}

/// The hash of a session whole; `None` where there is none.
///
/// # Errors
/// As the verbs that it reads by.
pub async fn digest(store: &dyn Whole, session: SessionId) -> Result<Option<Digest>, Error> {
    let Some(outline) = store.outline(session).await? else { return Ok(None) };
    let mut hash = Hash::of(&outline);
    let mut after: Option<Place> = None;
    loop {
        let Page { found, more } = store.pieces(session, after).await?;
        found.iter().for_each(|piece| hash.piece(piece));
        after = found.last().map(Piece::place);
        if !more {
            return Ok(Some(hash.finish()));
        }
    }
}

async fn records_digest(store: &dyn Whole, shard: Shard) -> Result<Digest, Error> {
    let (mut hash, mut after) = (Hash::new(), None);
    loop {
        let Page { found, more } = store.records(shard, after).await?;
        found.iter().for_each(|record| hash.record(record));
        after = found.last().map(Record::place);
        if !more {
            return Ok(hash.finish());
        }
    }
}

/// A running SHA-256 over fields, each behind its length.
struct Hash(Context);

impl Hash {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn of(outline: &Outline) -> Self {
        let mut hash = Self::new();
        hash.field(outline.tenant.0.as_bytes());
        hash.number(outline.sequence.0);
        hash.field(&outline.chain);
        hash.number(u64::from(outline.open) * 2 + u64::from(outline.erased));
        hash.number(outline.frame_next);
        hash.number(u64::from(outline.snapshot.is_some()));
        hash.field(outline.snapshot.as_deref().unwrap_or_default());
        hash
    }

    fn piece(&mut self, piece: &Piece) {
        let Place(rank, key) = piece.place();
        self.number(rank.into());
        self.field(&key);
        match piece {
            Piece::Event { op, bytes, .. } => {
                self.field(op.as_ref().map_or(&[], |op| op.0.as_slice()));
                self.field(bytes);
            }
            Piece::Quiet { .. } => {}
            Piece::Slice { last, bytes, .. } => {
                self.number(*last);
                self.field(bytes);
            }
            Piece::Blob { bytes, .. } => self.field(bytes),
            Piece::Wakeup { at, .. } => self.number(at.0),
            Piece::Row { value, .. } => self.field(value),
        }
    }

    fn record(&mut self, record: &Record) {
        let Place(rank, key) = record.place();
        self.number(rank.into());
        self.field(&key);
        match record {
            Record::Scope { remembered, expires, .. } => {
                self.field(remembered.session.as_bytes());
                self.number(remembered.sequence.0);
                self.field(&remembered.request);
                self.number(expires.0);
            }
            Record::Funds { amount, .. } => self.field(&amount.to_be_bytes()),
        }
    }

    fn field(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_be_bytes());
    }

    fn finish(self) -> Digest {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        digest
    }
}
