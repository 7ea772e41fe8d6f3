//! Inferences that belong to no session: intended and booked in a journal of the tenant's own.

use std::collections::BTreeSet;

use mainstay_vocabulary::Epoch;

use super::{MAX_OUTGOING, draft::Draft};
use crate::{
    command::Refusal,
    event::{Booked, Event, InferenceOutcome, Kind, Settled},
};

/// Takes note of intents and ends. An end of what is not under way (any more) was booked before and is left out.
pub(super) fn book(draft: &mut Draft<'_>, mut booked: Booked) -> Result<(), Refusal> {
    if draft.state.kind != Kind::Gateway {
        return Err(Refusal::NotFound);
    }
    let outgoing = &draft.state.outgoing;
    if outgoing.len() + booked.intended.len() > MAX_OUTGOING {
        return Err(Refusal::TooMany("inferences under way".into()));
    }
    if booked.intended.iter().any(|intended| outgoing.contains_key(&intended.number)) {
        return Err(Refusal::Stale);
    }
    let new: BTreeSet<u64> = booked.intended.iter().map(|intended| intended.number).collect();
    let mut closed = BTreeSet::new();
    booked.settled.retain(|Settled { number, .. }| {
        (outgoing.contains_key(number) || new.contains(number)) && closed.insert(*number)
    });
    push(draft, booked);
    Ok(())
}

/// Books what an earlier incarnation left under way: nobody will learn how it ended.
pub(super) fn close_older(draft: &mut Draft<'_>, epoch: Epoch) {
    let left = draft.state.outgoing.values().filter(|outgoing| outgoing.epoch < epoch);
    let settled = left.map(|outgoing| Settled {
        number: outgoing.number,
        outcome: InferenceOutcome::Interrupted,
        receipt: outgoing.estimate.clone(),
    });
    let booked = Booked { intended: Vec::new(), settled: settled.collect() };
    push(draft, booked);
}

fn push(draft: &mut Draft<'_>, booked: Booked) {
    if !booked.intended.is_empty() || !booked.settled.is_empty() {
        draft.push(Event::GatewayBooked(booked));
    }
}
