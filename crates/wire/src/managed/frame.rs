//! One server-sent event of this wire. Every frame has an id that is a cursor: whole events their own `id`, deltas their
//! place.

use std::fmt;

use mainstay_session::feed::Cursor;
use mainstay_vocabulary::{ItemId, Object, Sequence, SessionId, Timestamp, id::Malformed};
use serde_json::json;

use super::item_event_id;

/// Where a frame stands: a moment of the stream, and which of its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The session.
    pub session: SessionId,
    /// The moment.
    pub cursor: Cursor,
    /// Its number among the frames of the moment, from 0.
    pub part: u32,
}

impl fmt::Display for Place {
    /// The id of an event that shows no item, or of a delta.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor { sequence, ordinal } = self.cursor;
        match ordinal {
            0 => write!(f, "sevt_at_{}", ItemId { session: self.session, sequence, ordinal: self.part }),
            _ => write!(f, "sevd_{}_{}_{ordinal}_{}", self.session, sequence.0, self.part),
        }
    }
}

/// What a client names as the last that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: `0`.
    Nothing,
    /// A delta, or an event that shows no item.
    Place(Place),
    /// The event that shows this item.
    Item(ItemId),
}

impl std::str::FromStr for Seen {
    type Err = Malformed;

    /// One cursor has one text.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text == "0" {
            return Ok(Self::Nothing);
        }
        if let Some(place) = text.strip_prefix("sevt_at_") {
            let ItemId { session, sequence, ordinal } = place.parse()?;
            let place = Place { session, cursor: Cursor { sequence, ordinal: 0 }, part: ordinal };
            return if place.to_string() == text { Ok(Self::Place(place)) } else { Err(Malformed) };
        }
        if let Some(place) = text.strip_prefix("sevd_") {
            let place = read_delta(place)?;
            return if place.to_string() == text { Ok(Self::Place(place)) } else { Err(Malformed) };
        }
        let item: ItemId = text.strip_prefix("sevt_").ok_or(Malformed)?.parse()?;
        if item_event_id(item) == text { Ok(Self::Item(item)) } else { Err(Malformed) }
    }
}

fn read_delta(text: &str) -> Result<Place, Malformed> {
    let mut fields = text.split('_');
    let mut next = || fields.next().ok_or(Malformed);
    let session = next()?.parse()?;
    let mut number = || next()?.parse::<u64>().map_err(|_| Malformed);
    let cursor = Cursor { sequence: Sequence(number()?), ordinal: number()? };
    let part = u32::try_from(number()?).map_err(|_| Malformed)?;
    if cursor.ordinal == 0 { Err(Malformed) } else { Ok(Place { session, cursor, part }) }
}

/// One event or delta.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Where it stands.
    pub place: Place,
    /// When it was recorded; 0 for a delta.
    pub at: Timestamp,
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: &'static str,
    /// What it previews, for a delta: `agent.message` or `agent.thinking`. `None` for an event.
    pub preview: Option<&'static str>,
    /// Its JSON.
    pub body: Object,
}

impl Frame {
    /// The bytes on the wire, the empty line included.
    pub fn encode(&self) -> String {
        format!("id: {}\nevent: {}\ndata: {}\n\n", self.id, self.kind, json!(self.body))
    }
}

#[cfg(test)]
mod tests {
    use mainstay_vocabulary::Shard;

    use super::*;

    #[test]
    fn a_cursor_reads_back_and_has_one_text() {
        let session = SessionId::new(Shard(1), [5; 16]);
        for (sequence, ordinal, part) in [(0, 0, 0), (1, 2, 3), (9, 0, 7), (u64::MAX, u64::MAX, u32::MAX)] {
            let place = Place { session, cursor: Cursor { sequence: Sequence(sequence), ordinal }, part };
            assert_eq!(place.to_string().parse(), Ok(Seen::Place(place)));
        }
        let item = ItemId { session, sequence: Sequence(300), ordinal: 2 };
        assert_eq!(item_event_id(item).parse(), Ok(Seen::Item(item)));
        assert_eq!("0".parse(), Ok(Seen::Nothing));
        let bad = [
            String::new(),
            "sevt_".to_owned(),
            "sevt_at_".to_owned(),
            "00".to_owned(),
            format!("sevt_x_{item}"),
            format!("sevt_at_at_{item}"),
            format!("evt_{item}"),
            format!("sevt_{session}"),
            format!("sevd_{session}_1_0_0"),
            format!("sevd_{session}_01_1_0"),
            format!("sevd_{session}_+1_1_0"),
            format!("sevd_{session}_1_1_4294967296"),
            format!("sevd_{session}_1_1"),
            format!("sevd_{session}_1_1_0_0"),
            "sevd_é_1_1_0".to_owned(),
        ];
        for text in bad {
            assert_eq!(text.parse::<Seen>(), Err(Malformed), "{text}");
        }
    }
}
