//! The envelope of an event, format 1, byte by byte. It must be readable for ever: change nothing, add a format.

use mainstay_vocabulary::{Principal, Sequence, SessionId, Tenant, Timestamp};
use ring::digest::{Context, SHA256};

use crate::{
    Error,
    cipher::{NONCE, TAG},
    key::KeyId,
};

mod varint;

/// The first byte of an event's envelope.
///
/// ```text
/// 1        format, 0x01                                          ┐
/// varint   sequence                                              │
/// varint   kind, at most 16 bits                                 │
/// 1        version of the event's own format                     │ header bytes
/// varint   at, milliseconds since the Unix epoch                 │
/// varint   labels, at most 32 bits                               │
/// varint n, n bytes   tenant, UTF-8                              │
/// varint n, n bytes   principal, UTF-8                           │
/// 8        key id                                                ┘
/// 32       hash of the envelope before; the journal's caller chooses what the first one names
/// 12       nonce
/// n        ciphertext, as long as the plaintext
/// 16       tag
/// ```
///
/// A varint is LEB128 in its one shortest form. The cipher is AES-256-GCM; what it authenticates beside the
/// ciphertext is the session's 18 bytes followed by everything before the nonce. The hash of an envelope is SHA-256
/// of previous hash, header bytes, nonce, ciphertext and tag. Numbers in headers are few bytes: an ordinary event
/// costs about 100 bytes beside its plaintext.
const FORMAT: u8 = 0x01;
/// Bytes of a header that stay on the stack while sealing: room for names of 200 bytes each. Longer ones allocate.
const USUAL: usize = 512;
/// Bytes of a session's id.
const SESSION: usize = 18;

/// The hash of an envelope.
pub type Hash = [u8; 32];

/// Plain header of an event: authenticated and hashed, not secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its place in the journal.
    pub sequence: Sequence,
    /// Event type, by number.
    pub kind: u16,
    /// Version of that type's format.
    pub version: u8,
    /// When it was decided.
    pub at: Timestamp,
    /// Whose data it is.
    pub tenant: Tenant,
    /// Who made it happen.
    pub principal: Principal,
    /// Set of bits; none is defined yet.
    pub labels: u32,
}

/// What an envelope shows without its key. Whether it is authentic, only its key or its chain can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The plain header.
    pub header: Header,
    /// The key it is sealed under.
    pub key: KeyId,
    /// The hash that it continues.
    pub previous: Hash,
    /// Its own hash.
    pub hash: Hash,
}

/// What an envelope held; its tag was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The plain header.
    pub header: Header,
    /// The hash that it continues; comparing it with the chain is the caller's part.
    pub previous: Hash,
    /// Its own hash.
    pub hash: Hash,
    /// What was sealed.
    pub plaintext: Vec<u8>,
}

/// Reads the header of an envelope without its key.
///
/// # Errors
/// `Damaged` if it cannot be an envelope. That it can be one does not make it authentic.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, Error> {
    let parts = Parts::read(bytes)?;
    Ok(Inspected { header: parts.header(), key: parts.key, previous: *parts.previous, hash: parts.hash() })
}

/// Verifies a chain of envelopes offline, without keys, and returns the last hash (`previous` if there is none):
/// compare that with one kept elsewhere, for whoever can rewrite a whole journal can also chain it anew.
///
/// # Errors
/// `Broken` at the first envelope that is unreadable, out of sequence, or does not continue the one before.
pub fn verify_chain<'a>(
    first: Sequence,
    previous: Hash,
    envelopes: impl Iterator<Item = &'a [u8]>,
) -> Result<Hash, Error> {
    let mut last = previous;
    let mut expected = Some(first.0);
    for bytes in envelopes {
        let sequence = Sequence(expected.unwrap_or(u64::MAX));
        let broken = |reason| Error::Broken { sequence, reason };
        let parts = Parts::read(bytes).map_err(|_| broken("not an envelope"))?;
        if expected != Some(parts.sequence) {
            return Err(broken("another sequence stands there"));
        }
        if *parts.previous != last {
            return Err(broken("it continues another hash"));
        }
        last = parts.hash();
        expected = parts.sequence.checked_add(1);
    }
    Ok(last)
}

/// The parts of an envelope where they lie.
pub(crate) struct Parts<'a> {
    sequence: u64,
    kind: u16,
    version: u8,
    at: u64,
    labels: u32,
    tenant: &'a str,
    principal: &'a str,
    pub(crate) key: KeyId,
    header: &'a [u8],
    previous: &'a Hash,
    /// All before the nonce.
    pub(crate) head: &'a [u8],
    /// Nonce, ciphertext and tag.
    pub(crate) sealed: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Takes an envelope apart; total over all bytes.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        Self::split(bytes).ok_or(Error::Damaged)
    }

    fn split(bytes: &'a [u8]) -> Option<Self> {
        let (format, rest) = bytes.split_first()?;
        if *format != FORMAT {
            return None;
        }
        let (sequence, rest) = varint::take(rest)?;
        let (kind, rest) = varint::take(rest)?;
        let (version, rest) = rest.split_first()?;
        let (at, rest) = varint::take(rest)?;
        let (labels, rest) = varint::take(rest)?;
        let (tenant, rest) = take_text(rest)?;
        let (principal, rest) = take_text(rest)?;
        let (key, after_header) = rest.split_first_chunk()?;
        let (previous, sealed) = after_header.split_first_chunk()?;
        if sealed.len() < NONCE + TAG {
            return None;
        }
        Some(Self {
            sequence,
            kind: kind.try_into().ok()?,
            version: *version,
            at,
            labels: labels.try_into().ok()?,
            tenant,
            principal,
            key: KeyId::from_bytes(*key),
            header: bytes.get(..bytes.len() - after_header.len())?,
            previous,
            head: bytes.get(..bytes.len() - sealed.len())?,
            sealed,
        })
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            sequence: Sequence(self.sequence),
            kind: self.kind,
            version: self.version,
            at: Timestamp(self.at),
            tenant: Tenant(self.tenant.into()),
            principal: Principal(self.principal.into()),
            labels: self.labels,
        }
    }

    pub(crate) const fn previous(&self) -> Hash {
        *self.previous
    }

    pub(crate) fn hash(&self) -> Hash {
        chain(self.previous, self.header, self.sealed)
    }
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = varint::take(bytes)?;
    let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

fn chain(previous: &[u8], header: &[u8], sealed: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(previous);
    context.update(header);
    context.update(sealed);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The hash of an envelope that was just sealed: `head` as in `Parts`, which ends in the previous hash.
pub(crate) fn chain_sealed(head: &[u8], sealed: &[u8]) -> Hash {
    let (header, previous) = head.split_at(head.len() - size_of::<Hash>());
    chain(previous, header, sealed)
}

/// What the cipher authenticates beside the ciphertext: the session's id, then bytes of our own. On the stack while
/// it is small, because one is made for every event.
pub(crate) struct Authenticated {
    stack: [u8; USUAL],
    /// Bytes used of `stack`; once `heap` is in use it holds them all.
    used: usize,
    heap: Vec<u8>,
}

impl Authenticated {
    pub(crate) fn new(session: &SessionId) -> Self {
        let mut this = Self { stack: [0; USUAL], used: 0, heap: Vec::new() };
        this.push(session.as_bytes());
        this
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.stack.get_mut(self.used..self.used + bytes.len()) {
            Some(place) if self.heap.is_empty() => {
                place.copy_from_slice(bytes);
                self.used += bytes.len();
            }
            _ => {
                if self.heap.is_empty() {
                    self.heap.extend_from_slice(&self.stack[..self.used]);
                }
                self.heap.extend_from_slice(bytes);
            }
        }
    }

    /// Pushes all of an envelope before its nonce.
    pub(crate) fn push_head(&mut self, header: &Header, key: KeyId, previous: &Hash) {
        self.push(&[FORMAT]);
        self.push_number(header.sequence.0);
        self.push_number(header.kind.into());
        self.push(&[header.version]);
        self.push_number(header.at.0);
        self.push_number(header.labels.into());
        for name in [&header.tenant.0, &header.principal.0] {
            self.push_number(name.len() as u64);
            self.push(name.as_bytes());
        }
        self.push(key.as_bytes());
        self.push(previous);
    }

    fn push_number(&mut self, number: u64) {
        let (bytes, length) = varint::encode(number);
        self.push(&bytes[..length]);
    }

    /// Everything.
    pub(crate) fn bytes(&self) -> &[u8] {
        if self.heap.is_empty() { &self.stack[..self.used] } else { &self.heap }
    }

    /// Everything behind the session's id.
    pub(crate) fn after_session(&self) -> &[u8] {
        &self.bytes()[SESSION..]
    }
}

#[cfg(test)]
mod tests;
