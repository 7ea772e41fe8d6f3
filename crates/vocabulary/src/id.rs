//! Who is who. An id says where its object lives: shard and session are readable in every id, and item, turn and
//! call ids carry the journal place that made them, so that no index is needed to find one (decision 0002).
//! Text form: lower-case base32 without padding; wires put their prefix and `_` in front.

use std::{fmt, str::FromStr};

use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// One of a fixed number of lanes that sessions are spread over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

/// A place in a journal. The first event has 1; 0 is "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The next place.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Fencing number of a lease; grows with each taking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Names one attempt to change a journal, so that its outcome can be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpId(pub [u8; 16]);

/// Whose data it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenant(pub std::sync::Arc<str>);

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Principal(pub std::sync::Arc<str>);

/// A durable life of an agent. 2 bytes of shard, 16 bytes that are random or derived from an idempotency scope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 18]);

impl SessionId {
    /// From its two parts.
    pub fn new(shard: Shard, rest: [u8; 16]) -> Self {
        let mut bytes = [0; 18];
        bytes[..2].copy_from_slice(&shard.0.to_be_bytes());
        bytes[2..].copy_from_slice(&rest);
        Self(bytes)
    }

    /// The lane that owns the session.
    pub const fn shard(&self) -> Shard {
        Shard(u16::from_be_bytes([self.0[0], self.0[1]]))
    }

    /// All bytes, shard first.
    pub const fn as_bytes(&self) -> &[u8; 18] {
        &self.0
    }

    /// From what `as_bytes` gave.
    pub const fn from_bytes(bytes: [u8; 18]) -> Self {
        Self(bytes)
    }
}

/// A turn: the session and the sequence of its `TurnStarted`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnId {
    /// The session that holds it.
    pub session: SessionId,
    /// Where it started.
    pub sequence: Sequence,
}

/// An item: the session, the sequence of the event that made it possible (the input that carried it, the intent of
/// the inference that wrote it, the close of the call that it answers) and its ordinal there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId {
    /// The session that holds it.
    pub session: SessionId,
    /// The event it came with.
    pub sequence: Sequence,
    /// Its number there, from 0.
    pub ordinal: u32,
}

/// Names a tool call; unique in its session. Made here from the item's id, or given by a client with its input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub String);

impl From<ItemId> for CallId {
    fn from(item: ItemId) -> Self {
        Self(format!("call_{item}"))
    }
}

/// A saved agent: the sequence of the registry event that made it, under its tenant's registry journal.
pub type AgentId = ItemId;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id of this server")
    }
}

impl std::error::Error for Malformed {}

/// Longest text that is looked at as an id, in bytes.
const LONGEST: usize = 96;

fn base32() -> &'static Encoding {
    static ENCODING: std::sync::OnceLock<Encoding> = std::sync::OnceLock::new();
    ENCODING.get_or_init(|| {
        let mut specification = Specification::new();
        specification.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
        // The alphabet is constant and valid; the fallback is never taken.
        specification.encoding().unwrap_or(data_encoding::BASE32_NOPAD)
    })
}

fn encode(f: &mut fmt::Formatter<'_>, session: &SessionId, numbers: &[u64]) -> fmt::Result {
    let mut bytes = Vec::with_capacity(32);
    bytes.extend_from_slice(&session.0);
    for &number in numbers {
        push_varint(&mut bytes, number);
    }
    f.write_str(&base32().encode(&bytes))
}

fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number as u8) | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads the text after the last `_`: the session and exactly `COUNT` numbers, each in its one shortest form.
fn decode<const COUNT: usize>(text: &str) -> Result<(SessionId, [u64; COUNT]), Malformed> {
    if text.len() > LONGEST {
        return Err(Malformed);
    }
    let body = text.rsplit('_').next().unwrap_or(text);
    let bytes = base32().decode(body.as_bytes()).map_err(|_| Malformed)?;
    let (session, mut rest) = bytes.split_at_checked(18).ok_or(Malformed)?;
    let session = SessionId(session.try_into().map_err(|_| Malformed)?);
    let mut numbers = [0; COUNT];
    for number in &mut numbers {
        (*number, rest) = take_varint(rest)?;
    }
    if rest.is_empty() { Ok((session, numbers)) } else { Err(Malformed) }
}

fn take_varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let mut number = 0_u64;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if (index == 9 && bits > 1) || (byte == 0 && index > 0) {
            return Err(Malformed);
        }
        number |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((number, &bytes[index + 1..]));
        }
    }
    Err(Malformed)
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode(f, self, &[])
    }
}

impl FromStr for SessionId {
    type Err = Malformed;

    /// Reads the part after the last `_`, so any wire's prefix is allowed.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        decode::<0>(text).map(|(session, _)| session)
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode(f, &self.session, &[self.sequence.0])
    }
}

impl FromStr for TurnId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (session, [sequence]) = decode(text)?;
        Ok(Self { session, sequence: Sequence(sequence) })
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode(f, &self.session, &[self.sequence.0, u64::from(self.ordinal)])
    }
}

impl FromStr for ItemId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (session, [sequence, ordinal]) = decode(text)?;
        let ordinal = u32::try_from(ordinal).map_err(|_| Malformed)?;
        Ok(Self { session, sequence: Sequence(sequence), ordinal })
    }
}

macro_rules! as_text {
    ($($id:ty),*) => {$(
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text!(SessionId, TurnId, ItemId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_reads_back_from_its_text_behind_any_prefix() {
        let session = SessionId::new(Shard(258), [7; 16]);
        for sequence in [0, 1, 127, 128, 16_384, u64::MAX] {
            let turn = TurnId { session, sequence: Sequence(sequence) };
            assert_eq!(format!("resp_{turn}").parse(), Ok(turn));
            let item = ItemId { session, sequence: Sequence(sequence), ordinal: 300 };
            assert_eq!(format!("msg_{item}").parse(), Ok(item));
        }
        assert_eq!(format!("sess_{session}").parse(), Ok(session));
        assert_eq!(session.shard(), Shard(258));
    }

    #[test]
    fn an_id_of_another_kind_or_a_damaged_one_is_refused() {
        let session = SessionId::new(Shard(0), [9; 16]);
        let turn = TurnId { session, sequence: Sequence(5) };
        assert_eq!(turn.to_string().parse::<SessionId>(), Err(Malformed));
        assert_eq!(turn.to_string().parse::<ItemId>(), Err(Malformed));
        assert_eq!(session.to_string().parse::<TurnId>(), Err(Malformed));
        for text in ["", "_", "resp_", "resp_zzz", "réponse", &"0".repeat(1_000)] {
            assert_eq!(text.parse::<TurnId>(), Err(Malformed), "{text}");
        }
    }
}
