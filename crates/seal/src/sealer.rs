//! One session's keys: seals its events into the chain, and its snapshots, frame slices and blobs beside it.
//! Two keys are derived from the subject's data key and the session's id, so that nothing opens in another session.
//!
//! A piece outside the chain, format 1: byte 0x81, 8 bytes of key id, 12 of nonce, the ciphertext, 16 of tag; what is
//! authenticated beside the ciphertext is the session's 18 bytes, the first 9 bytes, and the caller's context.

use std::{fmt, sync::Arc};

use mainstay_vocabulary::SessionId;
use ring::aead::LessSafeKey;

use crate::{
    Entropy, Error, Hash, Header, KeyId, Opened,
    cipher::{self, NONCE, Purpose, TAG},
    envelope::{Authenticated, Parts, chain_sealed},
    key::DataKey,
};

/// Most bytes that are sealed at once: far above any event, snapshot or blob that the runtime accepts, and far below
/// what one random nonce may cover.
pub const MAX_PLAINTEXT: usize = 64 << 20;

/// The first byte of a piece.
const PIECE: u8 = 0x81;
/// Bytes of a piece before its nonce.
const PIECE_HEAD: usize = 9;

/// Seals and opens for one session. Cheap to clone.
///
/// Once the subject's key is destroyed, also through another handle, nothing opens any more; what is sealed after
/// that can never be read.
#[derive(Clone)]
pub struct Sealer(Arc<Inner>);

struct Inner {
    key: Arc<DataKey>,
    session: SessionId,
    events: LessSafeKey,
    pieces: LessSafeKey,
}

impl Sealer {
    pub(crate) fn new(key: Arc<DataKey>, session: SessionId) -> Result<Self, Error> {
        let secret = key.secret()?;
        let events = cipher::aead_key(&cipher::derive(secret, Purpose::Events, session.as_bytes()));
        let pieces = cipher::aead_key(&cipher::derive(secret, Purpose::Pieces, session.as_bytes()));
        Ok(Self(Arc::new(Inner { key, session, events, pieces })))
    }

    /// The data key that all of this is sealed under.
    pub fn key_id(&self) -> KeyId {
        self.0.key.id
    }

    /// Seals one event and chains it: the bytes to store, and their hash, which the next event continues.
    ///
    /// # Panics
    /// If the plaintext is longer than `MAX_PLAINTEXT`, which no caller lets grow so far.
    pub fn seal_event(
        &self,
        header: &Header,
        previous: &Hash,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> (Arc<[u8]>, Hash) {
        let mut aad = Authenticated::new(&self.0.session);
        aad.push_head(header, self.key_id(), previous);
        let head = aad.after_session();
        let envelope = seal_behind(head, (&self.0.events, aad.bytes()), plaintext, entropy);
        let hash = chain_sealed(head, &envelope[head.len()..]);
        (envelope, hash)
    }

    /// Opens an envelope and checks its tag.
    ///
    /// # Errors
    /// `WrongKey` if it names another key, `Destroyed` if the subject was erased, else `Damaged`: also for an
    /// envelope of another session.
    pub fn open_event(&self, bytes: &[u8]) -> Result<Opened, Error> {
        let parts = Parts::read(bytes)?;
        self.check(parts.key)?;
        let mut aad = Authenticated::new(&self.0.session);
        aad.push(parts.head);
        let plaintext = open(&self.0.events, aad.bytes(), parts.sealed)?;
        Ok(Opened { header: parts.header(), previous: parts.previous(), hash: parts.hash(), plaintext })
    }

    /// Seals without chaining: snapshots, frame slices, blobs. `context` says what it is and where it belongs, and
    /// must be given again to open it.
    ///
    /// # Panics
    /// If the plaintext is longer than `MAX_PLAINTEXT`, which no caller lets grow so far.
    pub fn seal(&self, context: &[u8], plaintext: &[u8], entropy: &dyn Entropy) -> Arc<[u8]> {
        let mut head = [PIECE; PIECE_HEAD];
        head[1..].copy_from_slice(self.key_id().as_bytes());
        let aad = self.piece_aad(&head, context);
        seal_behind(&head, (&self.0.pieces, aad.bytes()), plaintext, entropy)
    }

    /// Opens what `seal` made for the same session and context.
    ///
    /// # Errors
    /// As `open_event`.
    pub fn open(&self, context: &[u8], bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let (head, sealed) = bytes.split_first_chunk::<PIECE_HEAD>().ok_or(Error::Damaged)?;
        let [PIECE, key @ ..] = *head else {
            return Err(Error::Damaged);
        };
        self.check(KeyId::from_bytes(key))?;
        open(&self.0.pieces, self.piece_aad(head, context).bytes(), sealed)
    }

    fn piece_aad(&self, head: &[u8; PIECE_HEAD], context: &[u8]) -> Authenticated {
        let mut aad = Authenticated::new(&self.0.session);
        aad.push(head);
        aad.push(context);
        aad
    }

    fn check(&self, found: KeyId) -> Result<(), Error> {
        let held = self.key_id();
        if found == held { self.0.key.check() } else { Err(Error::WrongKey { found, held }) }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("key", &self.0.key.id).field("session", &self.0.session).finish_non_exhaustive()
    }
}

/// `head` in clear, then what sealing `plaintext` under a key and its authenticated bytes gives.
fn seal_behind(head: &[u8], (key, aad): (&LessSafeKey, &[u8]), plaintext: &[u8], entropy: &dyn Entropy) -> Arc<[u8]> {
    assert!(plaintext.len() <= MAX_PLAINTEXT, "{} bytes to seal", plaintext.len());
    let mut whole = cipher::zeroes(head.len() + NONCE + plaintext.len() + TAG);
    let (front, place) = Arc::make_mut(&mut whole).split_at_mut(head.len());
    front.copy_from_slice(head);
    cipher::seal_into(key, aad, plaintext, place, entropy);
    whole
}

fn open(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    if sealed.len() > NONCE + MAX_PLAINTEXT + TAG {
        return Err(Error::Damaged);
    }
    cipher::open(key, aad, sealed).ok_or(Error::Damaged)
}

#[cfg(test)]
mod tests;
