//! One line of the file of data keys. All lines have one width and say, in hexadecimal, whose key it is only as a
//! keyed digest, so that a tombstone does not name the subject it remembers.

use mainstay_vocabulary::Tenant;
use ring::aead::LessSafeKey;

use crate::{
    Entropy, KeyId,
    cipher::{self, NONCE, Purpose, TAG},
    key::DataKey,
    records::Lookup,
};

/// Nonce, a wrapped key, its tag.
const BODY: usize = NONCE + 32 + TAG;
/// Characters before the body: state, lookup, key id.
const FRONT: usize = 1 + 2 * (32 + 8);
/// Characters of a line with its line feed.
///
/// ```text
/// k LOOKUP(32 bytes) ID(8) BODY(60)    a key; body = nonce, wrapped key, tag; the rest of the line is authenticated
/// x LOOKUP(32 bytes) ID(8) BODY(60)    a tombstone; body = HMAC of lookup and id, then 28 zero bytes
/// ```
///
/// The fields stand without spaces between them, and a line feed ends the line.
pub(super) const WIDTH: usize = FRONT + 2 * BODY + 1;

/// What is derived from the master key to read and write lines.
pub(super) struct Roots {
    wrap: LessSafeKey,
    lookup: [u8; 32],
}

impl Roots {
    pub(super) fn new(master: &[u8; 32]) -> Self {
        Self {
            wrap: cipher::aead_key(&cipher::derive(master, Purpose::Wrap, &[])),
            lookup: cipher::derive(master, Purpose::Lookup, &[]),
        }
    }

    /// Under which name the subject's key is filed.
    pub(super) fn lookup(&self, tenant: &Tenant, subject: &str) -> Lookup {
        cipher::digest(&self.lookup, [b"subject".as_slice(), tenant.0.as_bytes(), subject.as_bytes()])
    }

    fn tombstone(&self, front: &[u8]) -> [u8; BODY] {
        let mut body = [0; BODY];
        body[..32].copy_from_slice(&cipher::digest(&self.lookup, [b"tombstone".as_slice(), front]));
        body
    }
}

/// A data key or tombstone, and where it is filed.
pub(super) struct Record {
    pub(super) lookup: Lookup,
    pub(super) key: DataKey,
    /// What stands in the file.
    pub(super) line: String,
}

impl Record {
    /// A new key for a subject.
    pub(super) fn draw(lookup: Lookup, roots: &Roots, entropy: &dyn Entropy) -> Self {
        let (mut id, mut secret, mut body) = ([0; 8], [0; 32], [0; BODY]);
        entropy.fill(&mut id);
        entropy.fill(&mut secret);
        let id = KeyId::from_bytes(id);
        let front = front('k', &lookup, id);
        cipher::seal_into(&roots.wrap, front.as_bytes(), &secret, &mut body, entropy);
        Self { lookup, key: DataKey::live(id, secret), line: line(front, &body) }
    }

    /// What stays of a destroyed key.
    pub(super) fn tombstone(lookup: Lookup, id: KeyId, roots: &Roots) -> Self {
        let front = front('x', &lookup, id);
        let body = roots.tombstone(front.as_bytes());
        Self { lookup, key: DataKey::tombstone(id), line: line(front, &body) }
    }

    /// Reads a line back; `None` if any character of it is not as it was written under this master key.
    pub(super) fn read(text: &[u8], roots: &Roots) -> Option<Self> {
        let fields = text.strip_suffix(b"\n").filter(|_| text.len() == WIDTH)?;
        let (front, body) = fields.split_at(FRONT);
        let (state, names) = front.split_first()?;
        let lookup = cipher::unhex(&names[..64])?;
        let id = KeyId::from_bytes(cipher::unhex(&names[64..])?);
        let body: [u8; BODY] = cipher::unhex(body)?;
        let key = match state {
            b'k' => DataKey::live(id, cipher::open(&roots.wrap, front, &body)?.try_into().ok()?),
            b'x' if body == roots.tombstone(front) => DataKey::tombstone(id),
            _ => return None,
        };
        Some(Self { lookup, key, line: String::from_utf8(text.to_vec()).ok()? })
    }
}

fn front(state: char, lookup: &Lookup, id: KeyId) -> String {
    format!("{state}{}{id}", cipher::hex(lookup))
}

fn line(front: String, body: &[u8; BODY]) -> String {
    front + &cipher::hex(body) + "\n"
}
