//! What clients asked: accepted means in the journal exactly once, refused means not at all, and a key is used once.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_session::{Event, event::LateOutcome};
use mainstay_vocabulary::{Sequence, SessionId};

use super::Journals;
use crate::simulation::{
    ask::{Ask, Reply},
    compose::MARK,
    world::{World, short},
};

/// Where each marker stands.
type Marks = BTreeMap<String, Vec<(SessionId, Sequence)>>;

pub(super) fn check(world: &World, journals: &Journals, found: &mut Vec<String>) {
    let marks = marks(journals);
    for (number, ask) in world.asks.iter().enumerate() {
        let mut note = |what: String| {
            found.push(format!("{}: #{number} {}: {what}; answers {:?}", short(ask.session), ask.kind, ask.answers));
        };
        check_answers(ask, &mut note);
        let is_volatile = world.sessions.get(&ask.session).is_some_and(|shadow| shadow.is_volatile);
        if !is_volatile {
            check_marks(ask, &marks, &mut note);
            check_place(ask, journals, &mut note);
        }
    }
}

fn check_answers(ask: &Ask, note: &mut dyn FnMut(String)) {
    if ask.is_impostor && ask.is_accepted() {
        note("was accepted under the key of another request".to_owned());
    }
    if ask.kind == "intrude" && ask.is_accepted() {
        note("another tenant was let in".to_owned());
    }
    let mut firsts = BTreeSet::new();
    let mut fresh = 0;
    for answer in &ask.answers {
        match answer {
            Reply::Accepted { session, first, last, replayed } => {
                // A command that changes nothing leaves no trace that a retry could find.
                if first <= last || *replayed {
                    firsts.insert(*first);
                    fresh += usize::from(!replayed);
                }
                if *session != ask.session {
                    note("was accepted by another session".to_owned());
                }
            }
            Reply::Refused(why) if fresh > 0 && ask.key.is_some() && why.contains("refuses") => {
                note("was refused after it had been accepted".to_owned());
            }
            Reply::Mismatch if !ask.is_impostor => note("does not match itself".to_owned()),
            Reply::Mismatch | Reply::Refused(_) | Reply::Unsure(_) => {}
        }
    }
    if ask.key.is_some() && (firsts.len() > 1 || fresh > 1) {
        note("was accepted more than once".to_owned());
    }
}

fn check_marks(ask: &Ask, marks: &Marks, note: &mut dyn FnMut(String)) {
    for mark in &ask.markers {
        let places = marks.get(mark).map_or(&[][..], |places| &places[..]);
        let is_right = match places.len() {
            0 => !ask.is_accepted(),
            1 => ask.is_accepted() || ask.is_unsure(),
            _ => false,
        };
        if !is_right {
            note(format!("{mark} stands at {places:?}"));
        }
        if let (Some((first, last)), Some((_, at))) = (ask.accepted(), places.first())
            && !(first..=last).contains(at)
        {
            note(format!("{mark} stands at {} and not in {}..={}", at.0, first.0, last.0));
        }
    }
}

/// Events that were acknowledged are there, made by who asked.
fn check_place(ask: &Ask, journals: &Journals, note: &mut dyn FnMut(String)) {
    let Some((first, last)) = ask.accepted() else { return };
    let journal = journals.get(&ask.session).map_or(&[][..], |journal| &journal[..]);
    let there = journal.iter().filter(|entered| (first..=last).contains(&entered.recorded.sequence));
    let mine = there.filter(|entered| entered.header.principal == ask.caller.principal).count() as u64;
    if mine != last.0 - first.0 + 1 {
        note(format!("only {mine} of {}..={} are there", first.0, last.0));
    }
}

fn marks(journals: &Journals) -> Marks {
    let mut marks = Marks::new();
    for (&session, journal) in journals {
        for entered in journal {
            let recorded = &entered.recorded;
            let is_clients = matches!(
                &*recorded.event,
                Event::SessionCreated(_)
                    | Event::MetadataChanged(_)
                    | Event::InputAccepted(_)
                    | Event::ItemsAdded(_)
                    | Event::CallClosed { .. }
                    | Event::OutcomeAfterCancel(LateOutcome::Call(_))
                    | Event::AgentSaved { .. }
            );
            if is_clients {
                let json = serde_json::to_string(&*recorded.event).unwrap_or_default();
                for (start, _) in json.match_indices(MARK) {
                    let mark = json[start..].split_inclusive('>').next().unwrap_or_default();
                    marks.entry(mark.to_owned()).or_default().push((session, recorded.sequence));
                }
            }
        }
    }
    marks
}
