//! What happens to an inference that is cut off after something was shown: decision 0003 as a table.

use mainstay_vocabulary::{
    Epoch, ItemKind,
    inference::{FailureKind, Stop, TextFormat},
};

use super::script::*;
use crate::{
    Command, Event, Spec,
    event::{Shortfall, TurnStatus},
    spec::{CallMode, Interruption},
};

/// What was shown.
#[derive(Clone, Copy, Debug)]
enum Said {
    Nothing,
    HalfText,
    ThoughtAndHalfText,
    TextAndHalfText,
    HalfThought,
    HalfCall,
    HalfTextAndHalfCall,
    Call,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The same item goes on.
    GoesOn,
    /// Another attempt; nothing shown so far is in the context.
    Again,
    /// The turn ends incomplete and keeps what was said.
    Ends,
    /// The turn waits for the client's result.
    Waits,
    /// The turn ends completed: the call is the client's.
    Yields,
}

const RESTART: [CallMode; 2] = [CallMode::Wait, CallMode::Yield];

fn show(script: &mut Script, said: Said) {
    match said {
        Said::Nothing => {}
        Said::HalfText => script.show_message(0, "half", false),
        Said::ThoughtAndHalfText => {
            script.start(0, ItemKind::Reasoning);
            script.text(0, "hm");
            script.done(0);
            script.show_message(1, "half", false);
        }
        Said::TextAndHalfText => {
            script.show_message(0, "whole", true);
            script.show_message(1, "half", false);
        }
        Said::HalfThought => {
            script.start(0, ItemKind::Reasoning);
            script.text(0, "hm");
        }
        Said::HalfCall => drop(script.show_half_call(0, "add")),
        Said::HalfTextAndHalfCall => {
            script.show_message(0, "half", false);
            script.show_half_call(1, "add");
        }
        Said::Call => drop(script.show_call(0, "add")),
    }
}

fn outcome(script: &Script) -> Then {
    match &script.state.turn {
        Some(turn) if turn.continued.is_some() => Then::GoesOn,
        Some(_) if script.state.calls.is_empty() => Then::Again,
        Some(_) => Then::Waits,
        None if script.last_status() == TurnStatus::Completed => Then::Yields,
        None => {
            assert_eq!(script.last_status(), TurnStatus::Incomplete(Shortfall::Interrupted));
            Then::Ends
        }
    }
}

/// Runs one row under both ways to be cut off: by the upstream and by a restart.
fn row(spec: &Spec, provider_can: bool, said: Said) -> Then {
    let cut = |command: Option<Command>| {
        let mut script = Script::inferring(spec.clone(), provider_can);
        show(&mut script, said);
        match command {
            Some(command) => drop(script.give(command)),
            None => drop(script.fail(FailureKind::Broken)),
        }
        assert!(!matches!(outcome(&script), Then::Again | Then::GoesOn) || script.told() == ["user hello"]);
        outcome(&script)
    };
    let by_restart = cut(Some(Command::Recover { epoch: Epoch(2), running: Vec::new() }));
    assert_eq!(by_restart, cut(None), "{said:?}");
    by_restart
}

#[test]
fn plain_text_by_what_was_shown_and_what_the_provider_can() {
    use Then::{Again, Ends, GoesOn};
    // (shown, provider can: restart or end) (provider cannot: restart, end), calls yield.
    let table = [
        (Said::Nothing, Again, Again, Again),
        (Said::HalfText, GoesOn, Again, Ends),
        (Said::ThoughtAndHalfText, GoesOn, Again, Ends),
    ];
    for (said, can, restart, end) in table {
        for calls in RESTART {
            for interruption in [Interruption::Restart, Interruption::End] {
                assert_eq!(row(&spec(calls, interruption), true, said), can, "{said:?}");
            }
            assert_eq!(row(&spec(calls, Interruption::Restart), false, said), restart, "{said:?}");
            assert_eq!(row(&spec(calls, Interruption::End), false, said), end, "{said:?}");
        }
    }
    for said in [Said::TextAndHalfText, Said::HalfThought, Said::HalfTextAndHalfCall] {
        for (calls, provider_can) in [(CallMode::Wait, true), (CallMode::Yield, true), (CallMode::Yield, false)] {
            assert_eq!(row(&spec(calls, Interruption::Restart), provider_can, said), Again, "{said:?}");
            assert_eq!(row(&spec(calls, Interruption::End), provider_can, said), Ends, "{said:?}");
        }
    }
}

#[test]
fn calls_by_who_runs_them() {
    for interruption in [Interruption::Restart, Interruption::End] {
        assert_eq!(row(&spec(CallMode::Wait, interruption), true, Said::HalfCall), Then::Again);
        assert_eq!(row(&spec(CallMode::Wait, interruption), true, Said::Call), Then::Waits);
        assert_eq!(row(&spec(CallMode::Yield, interruption), true, Said::Call), Then::Yields);
    }
    assert_eq!(row(&spec(CallMode::Yield, Interruption::Restart), true, Said::HalfCall), Then::Again);
    assert_eq!(row(&spec(CallMode::Yield, Interruption::End), true, Said::HalfCall), Then::Ends);
}

#[test]
fn structured_text_is_never_continued_or_said_anew() {
    for interruption in [Interruption::Restart, Interruption::End] {
        let spec = Spec { text: TextFormat::JsonObject, ..spec(CallMode::Wait, interruption) };
        assert_eq!(row(&spec, true, Said::HalfText), Then::Ends);
        assert_eq!(row(&spec, true, Said::Nothing), Then::Again);
    }
}

fn cut_once(interruption: Interruption) -> Script {
    let mut script = Script::inferring(spec(CallMode::Wait, interruption), true);
    script.show_message(0, "Hel", false);
    assert_eq!(names(&script.fail(FailureKind::Broken)), ["interrupted", "inferred"]);
    script.at = script.at.plus_ms(60_000);
    script
}

#[test]
fn the_same_item_goes_on_through_several_interruptions() {
    let mut script = cut_once(Interruption::End);
    let first = script.state.turn.as_ref().unwrap().continued.clone().unwrap().id;
    let events = script.give(begin(true));
    assert!(matches!(&events[0], Event::InferenceIntended(intended) if intended.continues == Some(first)));
    script.show_continued(Some("lo "));
    script.give(Command::Recover { epoch: Epoch(2), running: Vec::new() });
    script.give(begin(true));
    script.fail(FailureKind::Connect);
    script.at = script.at.plus_ms(60_000);
    script.give(begin(true));
    script.show_continued(Some("wörld"));
    script.show_continued(None);
    let events = script.finish(Stop::End);
    let Event::ItemCompleted(written) = &events[0] else { panic!("{events:?}") };
    assert_eq!((written.id, written.resumed_at), (first, 6));
    assert_eq!(script.told(), ["user hello", "agent Hello wörld"]);
}

#[test]
fn an_item_that_no_route_can_continue_is_closed_and_the_policy_decides() {
    let mut script = cut_once(Interruption::Restart);
    assert_eq!(names(&script.give(begin(false))), ["interrupted", "intended"]);
    script.show_message(0, "Hello", true);
    script.finish(Stop::End);
    assert_eq!(script.told(), ["user hello", "agent Hello"]);

    let mut script = cut_once(Interruption::End);
    assert_eq!(names(&script.give(begin(false))), ["interrupted", "ended"]);
    assert_eq!(script.last_status(), TurnStatus::Incomplete(Shortfall::Interrupted));
    script.give(say(crate::event::Delivery::Steer, "go on"));
    assert_eq!(script.told(), ["user hello", "agent Hel", "user go on"]);
    script.answer("lo");
}

#[test]
fn a_steering_input_waits_until_the_item_that_goes_on_is_whole() {
    let mut script = cut_once(Interruption::End);
    script.give(say(crate::event::Delivery::Steer, "louder"));
    script.give(begin(true));
    script.show_continued(Some("lo"));
    script.show_continued(None);
    script.finish(Stop::End);
    script.give(Command::Incorporate);
    assert_eq!(script.told(), ["user hello", "agent Hello", "user louder"]);
    script.answer("HELLO");
}

#[test]
fn the_last_failure_closes_the_item_that_was_to_go_on() {
    let mut script = cut_once(Interruption::End);
    for _ in 0..4 {
        script.give(begin(true));
        script.fail(FailureKind::Connect);
        script.at = script.at.plus_ms(60_000);
    }
    assert!(matches!(script.last_status(), TurnStatus::Failed(_)));
    assert_eq!(script.told(), ["user hello", "agent Hel"]);
}
