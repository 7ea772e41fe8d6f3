//! What must hold, as pure functions over journals read back from the store and what clients and providers saw.
//! Start with `violations`.

use std::collections::BTreeMap;

use mainstay_session::feed::expand;
use mainstay_vocabulary::{Sequence, SessionId};

use super::{
    reader::Entered,
    world::{World, short},
};

mod ask;
mod effect;
mod journal;
mod request;
mod stream;

/// Journals of all sessions, as read back.
pub(super) type Journals = BTreeMap<SessionId, Vec<Entered>>;

/// Everything that is wrong now. `is_at_rest` says whether what is unfinished counts as wrong.
pub(super) fn violations(world: &World, is_at_rest: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut journals = Journals::new();
    for &session in world.sessions.keys() {
        match world.reader.journal(session) {
            Ok(journal) => drop(journals.insert(session, journal)),
            Err(error) => found.push(format!("{}: {error}", short(session))),
        }
    }
    let mut epochs = BTreeMap::new();
    for (&session, journal) in &journals {
        let is_volatile = world.sessions[&session].is_volatile;
        let mut note = |what: String| found.push(format!("{}: {what}", short(session)));
        if is_volatile {
            journal::check_withheld(journal, &mut note);
        } else {
            let read = journal::check(session, journal, is_at_rest, &mut note);
            epochs.extend(read.into_iter().map(|(intent, epoch)| ((session, intent), epoch)));
        }
        let slices = world.reader.slices(session).unwrap_or_default();
        if is_volatile && (!slices.is_empty() || world.reader.has_snapshot(session)) {
            note("deltas or a snapshot of a session without content are at rest".to_owned());
        }
        if !is_volatile {
            let recorded: Vec<_> = journal.iter().map(|entered| entered.recorded.clone()).collect();
            let stream = expand(&recorded, &slices);
            stream::check_texts(session, &stream, &mut note);
            for (number, follower) in world.followers.iter().enumerate().filter(|(_, f)| f.session == session) {
                stream::check_follower(&stream, follower, &mut |what| note(format!("follower {number} {what}")));
            }
        }
    }
    ask::check(world, &journals, &mut found);
    request::check(world, &epochs, &mut found);
    effect::check(world, &journals, &mut found);
    found
}

/// The context epoch that each inference was made in.
pub(super) type Epochs = BTreeMap<(SessionId, Sequence), Sequence>;
