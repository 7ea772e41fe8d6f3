//! Reads journals straight from the store's bytes, without the runtime: what the checks believe.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use mainstay_seal::{Header, Keyring, Sealer, inspect, verify_chain};
use mainstay_session::{
    Event,
    feed::{Recorded, Slice},
};
use mainstay_store::{Store, seam::Entry};
use mainstay_vocabulary::{Sequence, SessionId, Tenant};

use super::entropy::Seeded;
use crate::store::{Memory, wait::wait};

/// Whose key seals all content.
const SUBJECT: &str = "tenant";
/// First byte of a payload that names a blob.
const IN_BLOB: u8 = 0x01;

/// One event with its plain header.
#[derive(Clone, Debug)]
pub(super) struct Entered {
    pub(super) recorded: Recorded,
    pub(super) header: Header,
}

/// Sealed bytes with what they held, by their address.
type Opened = HashMap<usize, (Arc<[u8]>, Entered)>;

/// Opens what a store holds of one tenant.
pub(super) struct Reader {
    store: Arc<Memory>,
    keyring: Keyring,
    tenant: Tenant,
    sealers: Mutex<BTreeMap<SessionId, Sealer>>,
    /// Events that were opened before, by where their bytes lie: holding the bytes keeps the place theirs.
    opened: Mutex<Opened>,
}

impl Reader {
    pub(super) fn new(store: Arc<Memory>, keyring: Keyring, tenant: Tenant) -> Self {
        Self { store, keyring, tenant, sealers: Mutex::default(), opened: Mutex::default() }
    }

    fn sealer(&self, session: SessionId) -> Result<Sealer, String> {
        let mut sealers = self.sealers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sealer) = sealers.get(&session) {
            return Ok(sealer.clone());
        }
        let made = self.keyring.sealer(&self.tenant, SUBJECT, session, &Seeded::new(0));
        let sealer = made.map_err(|error| error.to_string())?;
        sealers.insert(session, sealer.clone());
        Ok(sealer)
    }

    /// What stands in an event, as JSON.
    fn payload(&self, session: SessionId, bytes: &[u8]) -> Result<(Header, Vec<u8>), String> {
        let sealer = self.sealer(session)?;
        let opened = sealer.open_event(bytes).map_err(|error| error.to_string())?;
        let json = match opened.plaintext.split_first() {
            Some((&IN_BLOB, digest)) => {
                let digest: [u8; 32] = digest.try_into().map_err(|_| "an event names no blob".to_owned())?;
                let held = wait(self.store.blob(&self.tenant, session, digest)).map_err(|error| error.to_string())?;
                let sealed = held.ok_or_else(|| "a blob is gone".to_owned())?;
                let context = [b"blob".as_slice(), &digest].concat();
                sealer.open(&context, &sealed).map_err(|error| error.to_string())?
            }
            _ => opened.plaintext,
        };
        Ok((opened.header, json))
    }

    /// One event.
    pub(super) fn event(&self, session: SessionId, bytes: &Arc<[u8]>) -> Result<Entered, String> {
        let place = bytes.as_ptr() as usize;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, entered)) = opened.get(&place) {
            return Ok(entered.clone());
        }
        let entered = self.open(session, bytes)?;
        opened.insert(place, (Arc::clone(bytes), entered.clone()));
        Ok(entered)
    }

    fn open(&self, session: SessionId, bytes: &[u8]) -> Result<Entered, String> {
        let (header, json) = self.payload(session, bytes)?;
        let event: Event = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        let recorded = Recorded { sequence: header.sequence, at: header.at, event: Arc::new(event) };
        Ok(Entered { recorded, header })
    }

    /// The event at one place.
    pub(super) fn event_at(&self, session: SessionId, sequence: Sequence) -> Option<Entered> {
        let before = Sequence(sequence.0.checked_sub(1)?);
        let entries = wait(self.store.read(&self.tenant, session, before, 1)).ok()?;
        entries.first().and_then(|entry| self.event(session, &entry.bytes).ok())
    }

    /// All sealed events of a session.
    pub(super) fn entries(&self, session: SessionId) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let after = entries.last().map_or(Sequence(0), |entry| entry.sequence);
            let page = wait(self.store.read(&self.tenant, session, after, usize::MAX)).unwrap_or_default();
            if page.is_empty() {
                return entries;
            }
            entries.extend(page);
        }
    }

    /// The whole journal of a session, its chain verified against the head.
    pub(super) fn journal(&self, session: SessionId) -> Result<Vec<Entered>, String> {
        let entries = self.entries(session);
        let first = entries.first().ok_or("the journal is empty")?;
        let genesis = inspect(&first.bytes).map_err(|error| error.to_string())?.previous;
        let envelopes = entries.iter().map(|entry| &*entry.bytes);
        let last = verify_chain(Sequence(1), genesis, envelopes).map_err(|error| error.to_string())?;
        let head = wait(self.store.head(session)).ok().flatten().ok_or("there is no head")?;
        if head.chain != last || head.sequence.0 != entries.len() as u64 {
            return Err("the head is not where the journal ends".to_owned());
        }
        entries.iter().map(|entry| self.event(session, &entry.bytes)).collect()
    }

    /// Whether a snapshot of a session is at rest.
    pub(super) fn has_snapshot(&self, session: SessionId) -> bool {
        wait(self.store.head(session)).ok().flatten().is_some_and(|head| head.snapshot.is_some())
    }

    /// The slices that are still held for a session.
    pub(super) fn slices(&self, session: SessionId) -> Result<Vec<Slice>, String> {
        let sealer = self.sealer(session)?;
        let held = wait(self.store.frames(&self.tenant, session)).map_err(|error| error.to_string())?;
        let open = |slice: &mainstay_store::seam::Slice| {
            let context = [b"slice".as_slice(), &slice.first.to_be_bytes()].concat();
            let json = sealer.open(&context, &slice.bytes).map_err(|error| error.to_string())?;
            serde_json::from_slice(&json).map_err(|error| error.to_string())
        };
        held.iter().map(open).collect()
    }
}
