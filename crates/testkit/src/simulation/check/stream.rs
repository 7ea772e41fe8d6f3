//! What followers were shown is what the journal shows for ever: the same moments in the same order, none left out.

use std::collections::BTreeMap;

use mainstay_session::{
    Event,
    assembly::text_of,
    feed::{Moment, What},
};
use mainstay_vocabulary::{ItemId, SessionId, inference::Delta};

use crate::simulation::world::Follower;

/// Everything shown of an item adds up to its text.
pub(super) fn check_texts(session: SessionId, stream: &[Moment], note: &mut dyn FnMut(String)) {
    let mut texts: BTreeMap<ItemId, String> = BTreeMap::new();
    for moment in stream {
        match &moment.what {
            What::Shown(shown) => {
                if let Delta::Text { text, .. } = &shown.delta {
                    texts.entry(shown.item(session)).or_default().push_str(text);
                }
            }
            What::Event(event, _) => {
                if let Event::ItemCompleted(written) | Event::ItemInterrupted(written) = &**event {
                    let shown = texts.get(&written.id).map_or("", String::as_str);
                    let text = text_of(&written.item);
                    if shown != text {
                        note(format!("of item {} {shown:?} was shown, {text:?} is kept", written.id));
                    }
                }
            }
        }
    }
}

/// A follower saw a part of the stream without gaps.
pub(super) fn check_follower(stream: &[Moment], follower: &Follower, note: &mut dyn FnMut(String)) {
    let Some(first) = follower.seen.first() else { return };
    let from = match follower.begin {
        Some(begin) => stream.partition_point(|moment| moment.cursor <= begin),
        None => stream.partition_point(|moment| moment.cursor < first.cursor),
    };
    for (index, seen) in follower.seen.iter().enumerate() {
        let Some(kept) = stream.get(from + index) else {
            return note(format!("was shown {:?}, which the journal does not hold", seen.cursor));
        };
        if kept.cursor != seen.cursor {
            return note(format!("was shown {:?} where {:?} stands", seen.cursor, kept.cursor));
        }
        if kept != seen {
            return note(format!("was shown {:?}, which reads {:?} now", seen, kept.what));
        }
    }
}
