//! The primitives, all from `ring`: HKDF-SHA256 to derive, AES-256-GCM to seal, HMAC-SHA256 to digest.
//! Every derivation names its purpose, so that no two uses share a key. Nothing else of the crate calls HKDF.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use ring::{aead, hkdf, hmac};

use crate::Entropy;

/// Bytes of a nonce.
pub(crate) const NONCE: usize = aead::NONCE_LEN;
/// Bytes of an authentication tag.
pub(crate) const TAG: usize = 16;

/// What a derived key is for. The texts are part of the format: what was sealed under one never changes.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// From the master key: wraps data keys.
    Wrap,
    /// From the master key: hides which subject a data key belongs to, and signs tombstones.
    Lookup,
    /// From the master key: the root of the tenants' digest keys.
    DigestRoot,
    /// From that root, by tenant: digests.
    Digest,
    /// From the master key: what nodes of one cluster recognise each other by.
    Node,
    /// From a data key, by session: events.
    Events,
    /// From a data key, by session: everything sealed outside the chain.
    Pieces,
    /// From the master key: tells whether it was read as it was written.
    MasterCheck,
    /// From a seed: the master key of a keyring in memory.
    EphemeralMaster,
    /// From a seed, by subject: a key id of a keyring in memory.
    EphemeralId,
    /// From a seed, by key id: a data key of a keyring in memory.
    EphemeralKey,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Wrap => "wrap",
            Self::Lookup => "lookup",
            Self::DigestRoot => "digest root",
            Self::Digest => "digest",
            Self::Node => "node",
            Self::Events => "events",
            Self::Pieces => "pieces",
            Self::MasterCheck => "master check",
            Self::EphemeralMaster => "ephemeral master",
            Self::EphemeralId => "ephemeral id",
            Self::EphemeralKey => "ephemeral key",
        }
    }
}

/// HKDF-SHA256 of `secret`; info = length of the label, the label, the context.
pub(crate) fn derive(secret: &[u8; 32], purpose: Purpose, context: &[u8]) -> [u8; 32] {
    let label = purpose.label();
    let length = [label.len() as u8];
    let info = [&length, label.as_bytes(), context];
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"mainstay seal 1").extract(secret);
    let mut key = [0; 32];
    let filled = extracted.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut key));
    match filled {
        Ok(()) => key,
        Err(_) => unreachable!("HKDF-SHA256 gives 32 bytes for any input"),
    }
}

/// The first bytes of what `derive` gives, where no secret is wanted but a name.
pub(crate) fn derive_name(secret: &[u8; 32], purpose: Purpose, context: &[u8]) -> [u8; 8] {
    let mut name = [0; 8];
    name.copy_from_slice(&derive(secret, purpose, context)[..8]);
    name
}

/// An AES-256-GCM key, its schedule computed once.
pub(crate) fn aead_key(secret: &[u8; 32]) -> aead::LessSafeKey {
    match aead::UnboundKey::new(&aead::AES_256_GCM, secret) {
        Ok(key) => aead::LessSafeKey::new(key),
        Err(_) => unreachable!("an AES-256 key has 32 bytes"),
    }
}

/// Writes nonce, ciphertext and tag of `plaintext` into `place`, which must have exactly their length.
pub(crate) fn seal_into(
    key: &aead::LessSafeKey,
    aad: &[u8],
    plaintext: &[u8],
    place: &mut [u8],
    entropy: &dyn Entropy,
) {
    let mut nonce = [0; NONCE];
    entropy.fill(&mut nonce);
    let (front, rest) = place.split_at_mut(NONCE);
    let (body, back) = rest.split_at_mut(plaintext.len());
    front.copy_from_slice(&nonce);
    body.copy_from_slice(plaintext);
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    match key.seal_in_place_separate_tag(nonce, aead::Aad::from(aad), body) {
        Ok(tag) => back.copy_from_slice(tag.as_ref()),
        Err(_) => unreachable!("AES-GCM seals all that is shorter than 64 GiB"),
    }
}

/// The plaintext of what `seal_into` wrote; `None` if a bit of it, of `aad` or of the key is another.
pub(crate) fn open(key: &aead::LessSafeKey, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE>()?;
    let mut bytes = body.to_vec();
    let nonce = aead::Nonce::assume_unique_for_key(*nonce);
    let length = key.open_in_place(nonce, aead::Aad::from(aad), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

/// HMAC-SHA256 over the parts, each behind its length, so that no two lists of parts read the same.
pub(crate) fn digest<'a>(key: &[u8; 32], parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}

/// `length` zeroes in one allocation, to be filled in place by `Arc::make_mut`, which copies nothing while unshared.
pub(crate) fn zeroes(length: usize) -> Arc<[u8]> {
    std::iter::repeat_n(0, length).collect()
}

/// Bytes as the key files show them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// `COUNT` bytes from their lower-case text.
pub(crate) fn unhex<const COUNT: usize>(text: &[u8]) -> Option<[u8; COUNT]> {
    HEXLOWER.decode(text).ok()?.try_into().ok()
}
