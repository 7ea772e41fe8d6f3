//! One server-sent event of the Agents wire: its id is its place in the session's stream, its padding comes from its id.

use std::fmt;

use mainstay_session::feed::Cursor;
use mainstay_vocabulary::{Object, Sequence, SessionId, id::Malformed};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// Fewest and most characters of padding.
const PADDING: (u64, u64) = (8, 40);

/// Where an event of this wire stands: a moment of the stream, and which of its events. Its text is the event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The session.
    pub session: SessionId,
    /// The moment.
    pub cursor: Cursor,
    /// Its number among the events of the moment, from 0.
    pub part: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{}_{}_{}_{}", self.session, self.cursor.sequence.0, self.cursor.ordinal, self.part)
    }
}

impl std::str::FromStr for Place {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut fields = text.strip_prefix("evt_").ok_or(Malformed)?.split('_');
        let mut next = || fields.next().ok_or(Malformed);
        let session = next()?.parse()?;
        let mut number = || next()?.parse::<u64>().map_err(|_| Malformed);
        let cursor = Cursor { sequence: Sequence(number()?), ordinal: number()? };
        let part = u32::try_from(number()?).map_err(|_| Malformed)?;
        let place = Self { session, cursor, part };
        // One place has one text: no signs, no leading zeros, nothing after.
        if place.to_string() == text { Ok(place) } else { Err(Malformed) }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Where it stands.
    pub place: Place,
    /// Its type.
    pub kind: &'static str,
    /// Its fields without `type`, `event_id` and `obfuscation`.
    pub fields: Object,
}

impl Frame {
    /// The bytes on the wire, the empty line included.
    pub fn encode(&self, obfuscate: bool) -> String {
        let id = self.place.to_string();
        let padding = obfuscate.then(|| padding(&id));
        // JSON values always serialize.
        let body = serde_json::to_string(&Body { frame: self, id: &id, padding }).unwrap_or_default();
        format!("id: {id}\nevent: {}\ndata: {body}\n\n", self.kind)
    }
}

/// The event's JSON, written without a copy of its fields.
struct Body<'a> {
    frame: &'a Frame,
    id: &'a str,
    padding: Option<String>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.frame.kind)?;
        map.serialize_entry("event_id", self.id)?;
        for (name, value) in &self.frame.fields {
            map.serialize_entry(name, value)?;
        }
        if let Some(padding) = &self.padding {
            map.serialize_entry("obfuscation", padding)?;
        }
        map.end()
    }
}

/// Alphanumeric padding that hides how long a delta is; the same on every replay.
fn padding(id: &str) -> String {
    // FNV-1a, then xorshift: spread, not secrecy; whoever could compute it has the event's text already.
    let mut hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let length = PADDING.0 + hash % (PADDING.1 - PADDING.0 + 1);
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::new();
    for _ in 0..length {
        hash ^= hash << 13;
        hash ^= hash >> 7;
        hash ^= hash << 17;
        let index = usize::try_from(hash >> 33).unwrap_or(0) % letters.len();
        text.push(char::from(letters[index]));
    }
    text
}

#[cfg(test)]
mod tests {
    use mainstay_vocabulary::Shard;

    use super::*;

    #[test]
    fn a_place_reads_back_and_has_one_text() {
        let session = SessionId::new(Shard(1), [5; 16]);
        for (sequence, ordinal, part) in [(0, 0, 0), (1, 2, 3), (u64::MAX, u64::MAX, u32::MAX)] {
            let place = Place { session, cursor: Cursor { sequence: Sequence(sequence), ordinal }, part };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        let good = format!("evt_{session}_1_0_0");
        let bad = [
            String::new(),
            "evt_".to_owned(),
            good.replacen("evt_", "", 1),
            format!("{good}_0"),
            format!("evt_{session}_01_0_0"),
            format!("evt_{session}_+1_0_0"),
            format!("evt_{session}_1_0_-1"),
            format!("evt_{session}_1_0_4294967296"),
            format!("evt_{session}_1_0"),
            format!("evt_{session}_1_0_99999999999999999999"),
            "evt_é_1_0_0".to_owned(),
        ];
        for text in bad {
            assert_eq!(text.parse::<Place>(), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn padding_is_the_same_every_time_and_differs_between_events() {
        assert_eq!(padding("evt_a"), padding("evt_a"));
        assert_ne!(padding("evt_a"), padding("evt_b"));
        for number in 0..200 {
            let text = padding(&number.to_string());
            assert!((PADDING.0..=PADDING.1).contains(&(text.len() as u64)));
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }
}
