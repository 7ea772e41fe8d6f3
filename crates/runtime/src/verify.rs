//! Verifies a store whole: the chain of every session against its head, and with the keys all content: events, blobs
//! against their keyed digests, snapshots, slices. Reads only, a page at a time, also beside a server. Start with
//! `verify`.

use std::{collections::HashMap, sync::Arc};

use mainstay_seal::{Error as SealError, Hash, KeyId, Keyring, Sealer, inspect};
use mainstay_store::{
    Error as StoreError,
    seam::MAX_ROWS,
    whole::{Outline, Page, Piece, Record, Whole},
};
use mainstay_vocabulary::{Sequence, SessionId, Shard};

use crate::{
    error::Error,
    journal::{IN_BLOB, Journal, SUBJECT, blob_context, slice_context},
};

/// Findings that are kept; more are counted.
const KEPT: usize = 1_000;
/// Times that a session is looked at anew because it was erased meanwhile.
const TRIES: usize = 3;

/// What is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which session; `None`: in the store's files.
    pub session: Option<SessionId>,
    /// At which event.
    pub sequence: Option<Sequence>,
    /// What is wrong.
    pub what: String,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Sessions whose chain was followed.
    pub sessions: u64,
    /// Events that were hashed.
    pub events: u64,
    /// Events whose content was opened.
    pub opened: u64,
    /// Blobs that were opened and digested.
    pub blobs: u64,
    /// Snapshots that were opened.
    pub snapshots: u64,
    /// Slices that were opened.
    pub slices: u64,
    /// Idempotency records and accounts.
    pub records: u64,
    /// Content that was read, bytes.
    pub bytes: u64,
    /// Sessions whose key was destroyed: their chain holds, nothing of them opens.
    pub destroyed: u64,
    /// All that is wrong; `findings` holds the first of them.
    pub wrong: u64,
    /// The first findings.
    pub findings: Vec<Finding>,
}

/// Opens the keys as they are now; `None`: only hashes are verified.
pub type Keys<'a> = &'a dyn Fn() -> Option<Arc<Keyring>>;

/// Verifies everything; `seen` hears of each page.
///
/// # Errors
/// Where the store cannot be read at all; what is damaged is a finding.
pub async fn verify(store: &dyn Whole, keys: Keys<'_>, seen: &mut dyn FnMut(&Verified)) -> Result<Verified, Error> {
    let mut run = Run { store, keys, ring: keys(), seen, done: Verified::default() };
    for what in store.examine().await? {
        run.find(None, None, what);
    }
    for shard in (0..store.shards()).map(Shard) {
        run.shard(shard).await?;
        run.records(shard).await?;
    }
    Ok(run.done)
}

struct Run<'a> {
    store: &'a dyn Whole,
    keys: Keys<'a>,
    ring: Option<Arc<Keyring>>,
    seen: &'a mut dyn FnMut(&Verified),
    done: Verified,
}

/// One session under way.
struct Chain {
    session: SessionId,
    outline: Outline,
    /// Where it stands; `None` until the first event that erasure left.
    at: Option<(Sequence, Hash)>,
    /// The event before was damaged, so that what comes after it cannot continue it.
    is_broken: bool,
    sealer: Option<Arc<Sealer>>,
    /// Nothing more is opened: the key is gone, and why that is right or wrong was told.
    is_closed: bool,
    /// Blobs that events name.
    named: HashMap<[u8; 32], Sequence>,
}

impl Run<'_> {
    async fn shard(&mut self, shard: Shard) -> Result<(), Error> {
        let mut after = None;
        loop {
            let ids = match self.store.sessions(shard, after, MAX_ROWS).await {
                Err(StoreError::Corrupt(what)) => {
                    self.find(after, None, format!("what comes after it cannot be listed: {what}"));
                    return Ok(());
                }
                other => other?,
            };
            let Some(last) = ids.last() else { return Ok(()) };
            after = Some(*last);
            for id in ids {
                self.session(id).await?;
                (self.seen)(&self.done);
            }
        }
    }

    async fn session(&mut self, session: SessionId) -> Result<(), Error> {
        self.done.sessions += 1;
        for _ in 0..TRIES {
            let before = self.done.clone();
            let outline = match self.store.outline(session).await {
                Ok(Some(outline)) => outline,
                Ok(None) => return self.told(session, None, "it is listed and not there"),
                Err(StoreError::Corrupt(what)) => return self.told(session, None, &what),
                Err(error) => return Err(error.into()),
            };
            let was_erased = outline.erased;
            let read = self.read(session, outline).await;
            let now = self.store.outline(session).await.ok().flatten();
            if !was_erased && now.is_some_and(|now| now.erased) {
                self.done = before;
                continue;
            }
            return read;
        }
        Ok(())
    }

    fn told(&mut self, session: SessionId, sequence: Option<Sequence>, what: &str) -> Result<(), Error> {
        self.find(Some(session), sequence, what.to_owned());
        Ok(())
    }

    async fn read(&mut self, session: SessionId, outline: Outline) -> Result<(), Error> {
        let at = (!outline.erased).then(|| (Sequence(0), Journal::genesis(session)));
        let named = HashMap::new();
        let mut chain = Chain { session, outline, at, is_broken: false, sealer: None, is_closed: false, named };
        let mut after = None;
        loop {
            let Page { found, more } = match self.store.pieces(session, after).await {
                Err(StoreError::Corrupt(what)) => {
                    let next = chain.at.map(|(sequence, _)| sequence.next());
                    return self.told(session, next, &format!("it cannot be read: {what}"));
                }
                other => other?,
            };
            after = found.last().map(Piece::place);
            found.iter().for_each(|piece| self.piece(&mut chain, piece));
            (self.seen)(&self.done);
            if !more {
                self.end(&mut chain);
                return Ok(());
            }
        }
    }

    fn piece(&mut self, chain: &mut Chain, piece: &Piece) {
        match piece {
            Piece::Event { sequence, bytes, .. } if *sequence <= chain.outline.sequence => {
                self.event(chain, *sequence, bytes);
            }
            Piece::Blob { digest, bytes } => self.blob(chain, digest, bytes),
            Piece::Slice { first, bytes, .. } => {
                self.done.bytes += bytes.len() as u64;
                if self.open(chain, None, (&slice_context(*first), bytes, "a slice of deltas")).is_some() {
                    self.done.slices += 1;
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, chain: &mut Chain, sequence: Sequence, bytes: &[u8]) {
        self.done.events += 1;
        self.done.bytes += bytes.len() as u64;
        let expected = chain.at.map_or(sequence, |(last, _)| last.next());
        if sequence != expected {
            self.find(Some(chain.session), Some(expected), "the event is missing".to_owned());
            chain.is_broken = true;
        }
        let Ok(found) = inspect(bytes) else {
            self.find(Some(chain.session), Some(sequence), "it is no envelope".to_owned());
            (chain.at, chain.is_broken) = (Some((sequence, [0; 32])), true);
            return;
        };
        let continues = chain.at.is_none_or(|(_, hash)| hash == found.previous) || chain.is_broken;
        chain.is_broken = false;
        chain.at = Some((sequence, found.hash));
        if found.header.sequence != sequence || found.header.tenant != chain.outline.tenant {
            self.find(Some(chain.session), Some(sequence), "the event belongs elsewhere".to_owned());
        } else if !self.event_opens(chain, sequence, (found.key, bytes)) {
            chain.is_broken = true;
        }
        if !continues {
            let what = format!("it does not continue event {}: one of the two was changed", sequence.0 - 1);
            self.find(Some(chain.session), Some(sequence), what);
        }
    }

    /// `false`: it was changed, which is told.
    fn event_opens(&mut self, chain: &mut Chain, sequence: Sequence, (key, bytes): (KeyId, &[u8])) -> bool {
        let Some(sealer) = self.sealer(chain, key) else { return true };
        match sealer.open_event(bytes) {
            Ok(opened) => {
                self.done.opened += 1;
                if let Some((&IN_BLOB, digest)) = opened.plaintext.split_first()
                    && let Ok(digest) = digest.try_into()
                {
                    chain.named.insert(digest, sequence);
                }
                true
            }
            Err(SealError::Destroyed) => true,
            Err(error) => {
                self.find(Some(chain.session), Some(sequence), error.to_string());
                false
            }
        }
    }

    fn blob(&mut self, chain: &mut Chain, digest: &[u8; 32], bytes: &[u8]) {
        self.done.bytes += bytes.len() as u64;
        let named = chain.named.remove(digest);
        let Some(content) = self.open(chain, named, (&blob_context(digest), bytes, "a blob")) else { return };
        self.done.blobs += 1;
        let tenant = &chain.outline.tenant;
        let right = self.ring.as_ref().map(|ring| ring.digest(tenant, "blob", &[SUBJECT.as_bytes(), &content]));
        if right.is_some_and(|right| right != *digest) {
            self.find(Some(chain.session), named, "a blob is not what its name says".to_owned());
        }
    }

    /// Opens what is sealed beside the chain; `None`: it does not open, which is told where it is wrong.
    fn open(
        &mut self,
        chain: &mut Chain,
        sequence: Option<Sequence>,
        (context, bytes, what): (&[u8], &[u8], &str),
    ) -> Option<Vec<u8>> {
        // Under the key of the last event, unless it names another.
        let mut sealer = chain.sealer.clone().filter(|_| !chain.is_closed)?;
        let mut opened = sealer.open(context, bytes);
        if let Err(SealError::WrongKey { found, .. }) = opened {
            sealer = self.sealer(chain, found)?;
            opened = sealer.open(context, bytes);
        }
        match opened {
            Ok(content) => Some(content),
            Err(SealError::Destroyed) => None,
            Err(error) => {
                self.find(Some(chain.session), sequence, format!("{what} does not open: {error}"));
                None
            }
        }
    }

    /// Who opens what is sealed under a key; `None` where nothing is to be opened.
    fn sealer(&mut self, chain: &mut Chain, key: KeyId) -> Option<Arc<Sealer>> {
        if chain.is_closed {
            return None;
        }
        if let Some(sealer) = chain.sealer.as_ref().filter(|sealer| sealer.key_id() == key) {
            return Some(Arc::clone(sealer));
        }
        let mut found = self.ring.as_ref()?.opener(key, chain.session);
        if matches!(found, Err(SealError::Unknown)) {
            // A server may have made the key since.
            self.ring = (self.keys)().or(self.ring.take());
            found = self.ring.as_ref()?.opener(key, chain.session);
        }
        match found {
            Ok(sealer) => {
                chain.sealer = Some(Arc::new(sealer));
                chain.sealer.clone()
            }
            Err(SealError::Destroyed) => {
                chain.is_closed = true;
                self.done.destroyed += 1;
                None
            }
            Err(error) => {
                chain.is_closed = true;
                self.find(Some(chain.session), None, format!("nothing of it opens: key {key}: {error}"));
                None
            }
        }
    }

    fn end(&mut self, chain: &mut Chain) {
        let head = (chain.outline.sequence, chain.outline.chain);
        match chain.at {
            Some((last, _)) if last < head.0 => {
                let what = format!("the journal ends before its head, {}", head.0.0);
                self.find(Some(chain.session), Some(last.next()), what);
            }
            Some((last, hash)) if hash != head.1 && !chain.is_broken => {
                let what = "the head names another hash: it or the last event was changed".to_owned();
                self.find(Some(chain.session), Some(last), what);
            }
            _ => {}
        }
        for (_, sequence) in std::mem::take(&mut chain.named) {
            self.find(Some(chain.session), Some(sequence), "its blob is gone".to_owned());
        }
        if let Some(snapshot) = chain.outline.snapshot.clone() {
            self.done.bytes += snapshot.len() as u64;
            if self.open(chain, None, (b"snapshot", &snapshot, "the snapshot")).is_some() {
                self.done.snapshots += 1;
            }
        }
    }

    async fn records(&mut self, shard: Shard) -> Result<(), Error> {
        let mut after = None;
        loop {
            let Page { found, more } = match self.store.records(shard, after).await {
                Err(StoreError::Corrupt(what)) => {
                    self.find(None, None, format!("the records of shard {}: {what}", shard.0));
                    return Ok(());
                }
                other => other?,
            };
            after = found.last().map(Record::place);
            for record in found {
                self.done.records += 1;
                self.record(&record).await;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// What an idempotency record promises must be there.
    async fn record(&mut self, record: &Record) {
        let Record::Scope { remembered, .. } = record else { return };
        // Where the session cannot be read, that was told.
        let Ok(outline) = self.store.outline(remembered.session).await else { return };
        if outline.is_none_or(|outline| outline.sequence < remembered.sequence) {
            let what = "an idempotency record names what is not there".to_owned();
            self.find(Some(remembered.session), Some(remembered.sequence), what);
        }
    }

    fn find(&mut self, session: Option<SessionId>, sequence: Option<Sequence>, what: String) {
        self.done.wrong += 1;
        if self.done.findings.len() < KEPT {
            self.done.findings.push(Finding { session, sequence, what });
        }
    }
}
