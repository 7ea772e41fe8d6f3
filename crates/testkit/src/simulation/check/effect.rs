//! What tools did: never twice what may not be done twice, unless somebody said so; and every approval spent once.

use std::collections::BTreeMap;

use mainstay_session::{
    Event,
    effect::{Answer, Lost, Resolution},
};
use mainstay_vocabulary::{Sequence, tool::EffectClass};

use super::Journals;
use crate::simulation::world::{World, short};

/// What a journal says of one call.
#[derive(Default)]
struct Known {
    class: EffectClass,
    intents: usize,
    /// How often it was let go on after a loss: surely nothing was done, or somebody said that it may be done again.
    again: usize,
    /// How often somebody said that it may be done again.
    resolved: usize,
    asked: usize,
    granted: usize,
    closed: usize,
}

pub(super) fn check(world: &World, journals: &Journals, found: &mut Vec<String>) {
    for (&session, journal) in journals {
        let mut calls: BTreeMap<Sequence, Known> = BTreeMap::new();
        let mut note = |what: String| found.push(format!("{}: {what}", short(session)));
        for entered in journal {
            take(&mut calls, entered.recorded.sequence, &entered.recorded.event);
        }
        for (call, known) in &calls {
            let done = world.done.get(&(session, *call)).copied().unwrap_or(0);
            if known.class == EffectClass::Once && done > 1 + known.resolved {
                note(format!("call {} was done {done} times, and let again {} times", call.0, known.resolved));
            }
            if known.intents > 1 + known.again {
                note(format!(
                    "call {} was intended {} times, and let again {} times",
                    call.0, known.intents, known.again
                ));
            }
            if known.asked > 0 && known.intents > 0 && known.granted == 0 {
                note(format!("call {} was asked about and made without a grant", call.0));
            }
            if known.closed > 1 {
                note(format!("call {} has {} fates", call.0, known.closed));
            }
        }
        for ((of, call), _) in world.done.iter().filter(|((of, _), _)| *of == session) {
            if !calls.contains_key(call) {
                note(format!("call {} of {} is not in the journal", call.0, short(*of)));
            }
        }
    }
}

fn take(calls: &mut BTreeMap<Sequence, Known>, sequence: Sequence, event: &Event) {
    match event {
        Event::CallOpened(call) => {
            if let Some(served) = &call.served {
                calls.insert(sequence, Known { class: served.class, ..Known::default() });
            }
        }
        Event::CallIntended(intended) => calls.entry(intended.call).or_default().intents += 1,
        Event::CallLost(lost) if matches!(lost.fate, Lost::Again { .. }) => {
            calls.entry(lost.call).or_default().again += 1;
        }
        Event::CallResolved(resolved) if resolved.resolution == Resolution::Again => {
            let known = calls.entry(resolved.call).or_default();
            known.again += 1;
            known.resolved += 1;
            known.granted += 1;
        }
        Event::ApprovalAsked(asked) => calls.entry(asked.call).or_default().asked += 1,
        Event::ApprovalAnswered(answered) if matches!(answered.answer, Answer::Approve { .. }) => {
            calls.entry(answered.call).or_default().granted += 1;
        }
        _ => {}
    }
}
