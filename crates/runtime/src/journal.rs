//! Between events and the store's bytes: sealing, chaining, reading back, snapshots, slices, the context.

use std::sync::Arc;

use mainstay_seal::{Entropy, Hash, Header, Keyring, Sealer};
use mainstay_session::{
    Event, State,
    feed::{Recorded, Slice},
    state::FOLD_VERSION,
};
use mainstay_store::{
    Store,
    seam::{Blob, Entry},
};
use mainstay_vocabulary::{Principal, Sequence, SessionId, Tenant, Timestamp};

use crate::error::Error;

/// Payloads of more bytes than this stand beside the journal as blobs.
const INLINE_BYTES: usize = 8 * 1024;
/// First byte of a payload that names a blob; JSON never begins with it.
pub(crate) const IN_BLOB: u8 = 0x01;
/// Largest payload of one event, bytes: below the sealer's bound.
pub(crate) const MAX_PAYLOAD: usize = 48 * 1024 * 1024;
/// Largest snapshot, bytes; a larger state is folded from its events.
const MAX_SNAPSHOT: usize = 16 * 1024 * 1024;
/// Version of the payload's encoding.
const PAYLOAD_VERSION: u8 = 1;
/// Events read at once while folding.
const PAGE: usize = 1_000;
/// Whose key seals a session's content, until sessions name their subject.
pub(crate) const SUBJECT: &str = "tenant";

/// Reads and writes sealed journals.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// A session as loaded.
pub(crate) struct Loaded {
    pub(crate) tenant: Tenant,
    pub(crate) state: State,
    pub(crate) chain: Hash,
    pub(crate) sealer: Sealer,
    /// Events that its snapshot does not hold.
    pub(crate) since_snapshot: u64,
}

/// Events as they go into a batch.
pub(crate) struct Sealed {
    pub(crate) entries: Vec<Arc<[u8]>>,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) chain: Hash,
}

/// What the envelope of a batch's events says besides their content.
pub(crate) struct Stamp<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) principal: &'a Principal,
    pub(crate) at: Timestamp,
    pub(crate) after: Sequence,
    pub(crate) chain: Hash,
}

impl Journal {
    /// The hash that a session's first event continues.
    pub(crate) fn genesis(session: SessionId) -> Hash {
        let mut hash = [0; 32];
        hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, session.as_bytes()).as_ref());
        hash
    }

    /// The sealer of a session.
    pub(crate) fn sealer(&self, tenant: &Tenant, session: SessionId) -> Result<Sealer, Error> {
        Ok(self.keyring.sealer(tenant, SUBJECT, session, &*self.entropy)?)
    }

    /// Seals and chains events; those after the stamp's place.
    pub(crate) fn seal(&self, sealer: &Sealer, stamp: &Stamp<'_>, events: &[Arc<Event>]) -> Result<Sealed, Error> {
        let mut sealed = Sealed { entries: Vec::with_capacity(events.len()), blobs: Vec::new(), chain: stamp.chain };
        let mut sequence = stamp.after;
        for event in events {
            sequence = sequence.next();
            let header = Header {
                sequence,
                kind: event.number(),
                version: PAYLOAD_VERSION,
                at: stamp.at,
                tenant: stamp.tenant.clone(),
                principal: stamp.principal.clone(),
                labels: 0,
            };
            let payload = self.payload(sealer, stamp.tenant, event, &mut sealed.blobs)?;
            let (entry, chain) = sealer.seal_event(&header, &sealed.chain, &payload, &*self.entropy);
            sealed.entries.push(entry);
            sealed.chain = chain;
        }
        Ok(sealed)
    }

    fn payload(
        &self,
        sealer: &Sealer,
        tenant: &Tenant,
        event: &Event,
        blobs: &mut Vec<Blob>,
    ) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_vec(event).map_err(|error| Error::Corrupt(error.to_string()))?;
        if json.len() <= INLINE_BYTES {
            return Ok(json);
        }
        if json.len() > MAX_PAYLOAD {
            return Err(Error::TooLarge("the content of one event".into()));
        }
        let digest = self.keyring.digest(tenant, "blob", &[SUBJECT.as_bytes(), &json]);
        blobs.push(Blob { digest, bytes: sealer.seal(&blob_context(&digest), &json, &*self.entropy) });
        Ok([&[IN_BLOB], &digest[..]].concat())
    }

    /// Loads a session; `None` if it was never created or its content is gone.
    pub(crate) async fn load(&self, session: SessionId) -> Result<Option<Loaded>, Error> {
        let Some(head) = self.store.head(session).await? else { return Ok(None) };
        if head.erased {
            return Ok(None);
        }
        let sealer = self.sealer(&head.tenant, session)?;
        let snapshot = head.snapshot.and_then(|bytes| open_snapshot(&sealer, &bytes));
        let mut state = snapshot.unwrap_or_else(|| State::unborn(session));
        let folded = state.sequence;
        while state.sequence < head.sequence {
            let page = self.read_sealed((&head.tenant, &sealer), session, state.sequence, PAGE).await?;
            if page.is_empty() {
                return Err(Error::Corrupt(format!("session {session} ends before its head")));
            }
            // What was committed after the head was read would not fit its chain.
            for recorded in page.into_iter().filter(|recorded| recorded.sequence <= head.sequence) {
                state.apply(recorded.at, recorded.sequence, &recorded.event);
            }
        }
        let since_snapshot = state.sequence.0.saturating_sub(folded.0);
        Ok(Some(Loaded { tenant: head.tenant, state, chain: head.chain, sealer, since_snapshot }))
    }

    /// Reads events of a session of `tenant`.
    pub(crate) async fn read(
        &self,
        tenant: &Tenant,
        session: SessionId,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let sealer = self.sealer(tenant, session)?;
        self.read_sealed((tenant, &sealer), session, after, limit).await
    }

    async fn read_sealed(
        &self,
        (tenant, sealer): (&Tenant, &Sealer),
        session: SessionId,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let entries = self.store.read(tenant, session, after, limit).await?;
        let mut recorded = Vec::with_capacity(entries.len());
        for entry in entries {
            recorded.push(self.open((tenant, sealer), session, &entry).await?);
        }
        Ok(recorded)
    }

    async fn open(
        &self,
        (tenant, sealer): (&Tenant, &Sealer),
        session: SessionId,
        entry: &Entry,
    ) -> Result<Recorded, Error> {
        let damaged = |what: &str| Error::Corrupt(format!("session {session}, event {}: {what}", entry.sequence.0));
        let opened = sealer.open_event(&entry.bytes)?;
        if opened.header.sequence != entry.sequence {
            return Err(damaged("stands at another place"));
        }
        let event = match opened.plaintext.split_first() {
            Some((&IN_BLOB, digest)) => {
                let digest = digest.try_into().map_err(|_| damaged("names no blob"))?;
                let sealed =
                    self.store.blob(tenant, session, digest).await?.ok_or_else(|| damaged("its blob is gone"))?;
                serde_json::from_slice(&sealer.open(&blob_context(&digest), &sealed)?)
            }
            _ => serde_json::from_slice(&opened.plaintext),
        };
        // Not the parser's own words: they may quote the content.
        let event = event.map_err(|error| damaged(&format!("cannot be read at column {}", error.column())))?;
        Ok(Recorded { sequence: entry.sequence, at: opened.header.at, event: Arc::new(event) })
    }

    /// The slices still held for a session.
    pub(crate) async fn slices(&self, tenant: &Tenant, session: SessionId) -> Result<Vec<Slice>, Error> {
        let sealed = self.store.frames(tenant, session).await?;
        if sealed.is_empty() {
            return Ok(Vec::new());
        }
        let sealer = self.sealer(tenant, session)?;
        let open = |slice: &mainstay_store::seam::Slice| {
            let bytes = sealer.open(&slice_context(slice.first), &slice.bytes)?;
            serde_json::from_slice(&bytes).map_err(|error| Error::Corrupt(error.to_string()))
        };
        sealed.iter().map(open).collect()
    }

    /// Seals a slice.
    pub(crate) fn seal_slice(&self, sealer: &Sealer, slice: &Slice) -> Result<Arc<[u8]>, Error> {
        let json = serde_json::to_vec(slice).map_err(|error| Error::Corrupt(error.to_string()))?;
        Ok(sealer.seal(&slice_context(slice.first), &json, &*self.entropy))
    }

    /// Seals a snapshot; `None` if it is too large to be worth one.
    pub(crate) fn seal_snapshot(&self, sealer: &Sealer, state: &State) -> Option<Arc<[u8]>> {
        let mut plaintext = FOLD_VERSION.to_be_bytes().to_vec();
        serde_json::to_writer(&mut plaintext, state).ok()?;
        (plaintext.len() <= MAX_SNAPSHOT).then(|| sealer.seal(b"snapshot", &plaintext, &*self.entropy))
    }
}

fn open_snapshot(sealer: &Sealer, bytes: &[u8]) -> Option<State> {
    let plaintext = sealer.open(b"snapshot", bytes).ok()?;
    let (version, json) = plaintext.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*version) != FOLD_VERSION {
        return None;
    }
    serde_json::from_slice(json).ok()
}

pub(crate) fn slice_context(first: u64) -> Vec<u8> {
    [b"slice".as_slice(), &first.to_be_bytes()].concat()
}

pub(crate) fn blob_context(digest: &[u8; 32]) -> Vec<u8> {
    [b"blob".as_slice(), digest].concat()
}
