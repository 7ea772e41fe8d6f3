//! Inferences that belong to no session: each is booked once, whatever happens to the process that made it.

use std::sync::Arc;

use mainstay_vocabulary::{Epoch, PicoUsd, Principal, usage::Booking};

use super::script::*;
use crate::{
    Command, Refusal,
    command::Create,
    event::{Booked, Created, InferenceOutcome, Kind, Outgoing, Route, Settled},
    spec::{CallMode, Interruption},
    turn::MAX_OUTGOING,
};

fn gateway() -> Script {
    let created = Created { kind: Kind::Gateway, ..created(spec(CallMode::Wait, Interruption::Restart)) };
    let mut script = Script::unborn();
    script.give(Command::Create(Box::new(Create { created, items: Vec::new(), input: None })));
    script
}

fn outgoing(number: u64, epoch: u64) -> Arc<Outgoing> {
    Arc::new(Outgoing {
        number,
        principal: Principal(Arc::from("p")),
        epoch: Epoch(epoch),
        route: Route::default(),
        prompt: "ab".to_owned(),
        estimate: receipt(10, Booking::Estimated),
    })
}

fn settled(number: u64) -> Settled {
    let outcome = InferenceOutcome::Finished(mainstay_vocabulary::inference::Stop::End);
    Settled { number, outcome, receipt: receipt(100, Booking::Reported) }
}

fn book(intended: &[(u64, u64)], over: &[u64]) -> Command {
    Command::Book(Booked {
        intended: intended.iter().map(|(number, epoch)| outgoing(*number, *epoch)).collect(),
        settled: over.iter().map(|number| settled(*number)).collect(),
    })
}

#[test]
fn each_is_booked_once() {
    let mut script = gateway();
    script.give(book(&[(1, 1), (2, 1)], &[]));
    assert!(script.state.is_open());
    script.give(book(&[(3, 1)], &[1, 1, 3, 9]));
    assert_eq!(script.state.outgoing.keys().copied().collect::<Vec<_>>(), [2]);
    assert_eq!((script.state.usage.input, script.state.cost), (200, PicoUsd(600)));
    assert_eq!(script.refusal(book(&[(2, 1)], &[])), Refusal::Stale, "a number is used once while it is open");
    script.give(book(&[], &[1, 2]));
    assert_eq!((script.state.usage.input, script.state.is_open()), (300, false));
}

#[test]
fn what_an_earlier_incarnation_left_is_booked_by_its_estimate() {
    let mut script = gateway();
    script.give(book(&[(1, 1), (2, 2)], &[]));
    script.give(Command::Recover { epoch: Epoch(2), running: Vec::new() });
    assert_eq!(script.state.outgoing.keys().copied().collect::<Vec<_>>(), [2], "the second is this one's own");
    assert_eq!(script.state.usage.input, 10);
    script.give(book(&[], &[1]));
    assert_eq!(script.state.usage.input, 10, "a late end is not booked again");
}

#[test]
fn only_a_gateway_journal_books_and_within_its_bound() {
    let plain = Script::new(spec(CallMode::Wait, Interruption::Restart));
    assert_eq!(plain.refusal(book(&[(1, 1)], &[])), Refusal::NotFound);
    let most = MAX_OUTGOING as u64;
    let many: Vec<_> = (0..=most).map(|number| (number, 1)).collect();
    let mut script = gateway();
    assert_eq!(script.refusal(book(&many, &[])), Refusal::TooMany("inferences under way".into()));
    script.give(book(&many[1..], &[]));
    assert_eq!(script.refusal(book(&many[..1], &[])), Refusal::TooMany("inferences under way".into()));
}
