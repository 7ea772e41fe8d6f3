//! Long random walks through `decide`. The script checks every step; here only the walk itself is made. A failing seed
//! is in the message and replays.

use std::sync::Arc;

use mainstay_vocabulary::{
    CallId, Epoch, ItemKind, Object,
    inference::{Delta, FailureKind, Finished, Stop, TextFormat},
    tool::ApprovalRule,
};

use super::script::*;
use crate::{
    Command, Spec,
    assembly::Piece,
    command::Accept,
    compaction::{Stays, truncate},
    event::{Delivery, ErrorCode, Purpose, TurnError},
    spec::{CallMode, Compaction, Interruption, Limits, Truncation},
    state::Phase,
    turn::{Wanted, deadline},
};

/// A small generator (`SplitMix64`), so that a seed replays everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()].clone()
    }
}

const KINDS: [FailureKind; 5] = [
    FailureKind::Broken,
    FailureKind::Connect,
    FailureKind::RateLimited,
    FailureKind::InvalidRequest,
    FailureKind::ContextLength,
];
const DELIVERIES: [Delivery; 4] = [Delivery::Steer, Delivery::Queue, Delivery::Interrupt, Delivery::Reject];

struct Walk {
    dice: Dice,
    script: Script,
    intents: Vec<mainstay_vocabulary::Sequence>,
    /// What stays beside the digest that is being written.
    stays: Stays,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let spec = random_spec(&mut dice);
        Self { dice, script: Script::new(spec), intents: Vec::new(), stays: Stays::default() }
    }

    /// Gives a command where it is not refused.
    fn try_give(&mut self, command: Command) {
        if self.script.decide(command.clone()).is_ok() {
            self.script.give(command);
        }
    }

    fn step(&mut self) {
        let is_inferring = self.script.state.turn.as_ref().is_some_and(|turn| turn.inference.is_some());
        self.script.at = self.script.at.plus_ms(self.dice.below(2_000));
        match self.dice.below(38) {
            0..=9 if is_inferring => self.show(),
            10..=12 if is_inferring => self.end_inference(),
            0..=14 => self.advance(),
            15..=18 => self.accept(),
            19..=21 => self.return_call(),
            22 => self.edit(),
            23 => {
                let running = self.running();
                self.try_give(Command::Recover { epoch: Epoch(2), running });
            }
            24 => self.try_give(Command::Cancel { turn: None }),
            25 => self.late(),
            26 => self.script.at = self.script.at.plus_ms(20_000),
            27 => self.try_give(Command::CheckDeadline),
            28 => self.try_give(Command::Compact),
            29 => self.try_give(Command::GiveUp(TurnError { code: ErrorCode::ServerError, message: String::new() })),
            31..=33 => self.record_call(),
            34..=35 => self.respond(),
            36 => self.resolve(),
            _ => self.change_spec(),
        }
    }

    /// What the runtime does of itself.
    fn advance(&mut self) {
        match self.script.wanted() {
            Some(Wanted::Incorporate) => drop(self.script.give(Command::Incorporate)),
            Some(Wanted::Infer { not_before }) => {
                self.script.at = self.script.at.max(not_before.unwrap_or_default());
                let can = self.dice.below(3) > 0;
                self.script.give(begin(can));
                let turn = self.script.state.turn.as_ref();
                self.intents.extend(turn.and_then(|turn| turn.inference.as_ref()).map(|open| open.intent));
            }
            Some(Wanted::Compact { not_before }) => {
                self.script.at = self.script.at.max(not_before.unwrap_or_default());
                self.stays = self.script.begin_digest().unwrap_or_default();
            }
            Some(Wanted::Truncate) => {
                let stays = truncate(&self.script.context).map(Box::new);
                self.script.give(Command::Truncate(stays));
            }
            Some(Wanted::ListTools { .. }) => self.list_tools(),
            Some(Wanted::Call { call, not_before }) => {
                self.script.at = self.script.at.max(not_before.unwrap_or_default());
                self.begin_call(call);
            }
            Some(Wanted::Deliver { .. }) => unreachable!("no automation walks"),
            None => {}
        }
    }

    fn is_digest(&self) -> bool {
        let open = self.script.state.turn.as_ref().and_then(|turn| turn.inference.as_ref());
        open.is_some_and(|open| open.intended.purpose == Purpose::Compaction)
    }

    fn end_digest(&mut self) {
        let result = match self.dice.below(4) {
            0 => Err(self.dice.one_of(&KINDS)),
            1 => Ok(Stop::ContentFilter),
            _ => Ok(Stop::End),
        };
        self.script.end_digest(self.stays.clone(), result);
    }

    fn show(&mut self) {
        if self.is_digest() {
            return self.script.write_digest(ItemKind::Message, "so far");
        }
        let open: Vec<Piece> = self.script.shown.pieces.iter().filter(|piece| !piece.is_done()).cloned().collect();
        let own = self.script.shown.pieces.iter().filter(|piece| piece.id.sequence == self.script.intent()).count();
        if open.is_empty() || (own < 4 && self.dice.below(4) == 0) {
            let call =
                ItemKind::ToolCall { name: self.dice.one_of(&["add", "nothing"]).to_owned(), provider_call_id: None };
            let served = self.script.state.served_by("look").map(|served| ItemKind::ServedCall {
                name: "look".to_owned(),
                provider_call_id: None,
                served: Box::new(served),
            });
            let served = served.unwrap_or_else(|| call.clone());
            let kinds = [ItemKind::Message, ItemKind::Message, ItemKind::Reasoning, ItemKind::Refusal, call, served];
            let kind = self.dice.one_of(&kinds);
            return self.script.start(u32::try_from(own).unwrap(), kind);
        }
        let id = self.dice.one_of(&open).id;
        let index = id.ordinal;
        let delta = match self.dice.below(4) {
            0 => Delta::Done { index, opaque: None },
            // No arguments are an object; anything else is refused before it is sent.
            _ if self.script.shown.pieces.iter().any(|piece| piece.id == id && piece.is_served()) => {
                Delta::Text { index, text: self.dice.one_of(&["", "", " ", "no"]).to_owned() }
            }
            _ => {
                Delta::Text { index, text: self.dice.one_of(&["a", "né", "日本", " ", "🦀 and more"]).to_owned() }
            }
        };
        self.script.show_of(id.sequence, delta);
    }

    fn end_inference(&mut self) {
        if self.is_digest() {
            return self.end_digest();
        }
        if self.dice.below(3) == 0 {
            let kind = self.dice.one_of(&KINDS);
            self.script.fail(kind);
            return;
        }
        let stop =
            self.dice.one_of(&[Stop::End, Stop::End, Stop::ToolCalls, Stop::MaxOutputTokens, Stop::ContentFilter]);
        self.script.finish(stop);
    }

    fn accept(&mut self) {
        let unanswered = self.script.state.unanswered.clone();
        let mut items: Vec<_> = unanswered.iter().map(result_item).collect();
        if self.dice.below(4) == 0 {
            let call = format!("client_{}", self.script.state.sequence.0);
            items.extend([call_item(&call), result_item(&CallId(call))]);
        }
        items.push(message("more"));
        let delivery = self.dice.one_of(&DELIVERIES);
        self.try_give(accept(delivery, items));
        self.try_give(say(delivery, "plain"));
    }

    fn return_call(&mut self) {
        let open = self.script.state.calls.iter().map(|call| call.call_id.clone());
        let late = self.script.state.cancelled.calls.iter().cloned();
        let known: Vec<CallId> = open.chain(late).collect();
        if !known.is_empty() {
            let call = self.dice.one_of(&known);
            self.try_give(Command::ReturnCall { turn: None, result: result_item(&call) });
        }
    }

    fn edit(&mut self) {
        let number = self.script.state.sequence.0;
        self.try_give(Command::ChangeMetadata(Object::from_iter([("n".to_owned(), number.into())])));
        let items: Vec<_> = self.script.context.items.iter().map(|(id, _)| *id).collect();
        // What a client adds between a call and its result stays where the client put it.
        let is_between = !self.script.state.unanswered.is_empty();
        match self.dice.below(3) {
            0 if !items.is_empty() => {
                let item = self.dice.one_of(&items);
                self.try_give(Command::HideItem(item));
            }
            _ if is_between => {}
            1 => self.try_give(Command::AddItems(vec![message("aside"), call_item(&format!("aside_{number}"))])),
            _ => self.try_give(Command::AddItems(vec![message("aside")])),
        }
    }

    fn late(&mut self) {
        if !self.intents.is_empty() {
            let intent = self.dice.one_of(&self.intents);
            let is_open = self.script.state.turn.as_ref().and_then(|turn| turn.inference.as_ref());
            if is_open.is_none_or(|open| open.intent != intent) {
                self.try_give(record_of(intent, Err(failure(FailureKind::Broken))));
            }
        }
    }

    fn change_spec(&mut self) {
        let spec = Some(Arc::new(random_spec(&mut self.dice)));
        let items = self.script.state.unanswered.iter().map(result_item).collect();
        let delivery = self.dice.one_of(&DELIVERIES);
        self.try_give(Command::Accept(Box::new(Accept {
            input: input(delivery, items),
            spec,
            head: None,
            answers: Vec::new(),
        })));
    }

    /// Does the runtime's and the client's part until nothing is left to do.
    fn finish(&mut self) {
        for _ in 0..5_000 {
            if self.script.state.turn.is_none() {
                return;
            }
            match self.script.state.phase() {
                Phase::WaitingForClient => match self.script.state.calls.first().cloned() {
                    Some(call) => {
                        self.try_give(Command::ReturnCall { turn: None, result: result_item(&call.call_id) });
                    }
                    None => self.respond(),
                },
                Phase::Acting if self.script.wanted().is_none() => self.record_call(),
                _ if self.script.wanted().is_some() => self.advance(),
                _ if self.is_digest() => self.end_digest(),
                _ => drop(self.script.record(Ok(finished()))),
            }
        }
        panic!("the session never rests: {:?}", self.script.state.turn);
    }
}

mod served;

fn finished() -> Finished {
    Finished { stop: Stop::End, usage: None, model: None, reported: Object::new() }
}

fn random_spec(dice: &mut Dice) -> Spec {
    let calls = dice.one_of(&[CallMode::Wait, CallMode::Wait, CallMode::Yield]);
    let interruption = dice.one_of(&[Interruption::Restart, Interruption::End]);
    let text = dice.one_of(&[TextFormat::Text, TextFormat::Text, TextFormat::JsonObject]);
    let limits = Limits { max_steps: 6, max_attempts: 3, wall_ms: 30_000 };
    let threshold_tokens = dice.one_of(&[None, Some(1), Some(160)]);
    let compaction = dice.one_of(&[None, Some(Compaction { threshold_tokens })]);
    let truncation = dice.one_of(&[Truncation::Disabled, Truncation::Auto]);
    let toolsets = dice.one_of(&[Vec::new(), vec![toolset(ApprovalRule::ByPolicy)]]).into();
    Spec { text, limits, compaction, truncation, toolsets, ..spec(calls, interruption) }
}

#[test]
fn random_walks_keep_every_invariant_and_come_to_rest() {
    for seed in 0..80 {
        let walked = std::panic::catch_unwind(|| {
            let mut walk = Walk::new(seed);
            for _ in 0..150 {
                walk.step();
            }
            walk.finish();
            assert!(walk.script.state.awaited().next().is_some() || deadline(&walk.script.state).is_none());
            walk.script.journal.len()
        });
        assert!(walked.is_ok_and(|events| events > 40), "seed {seed}");
    }
}

#[test]
fn a_session_that_grows_older_does_not_grow_larger() {
    let mut script = Script::new(spec(CallMode::Wait, Interruption::Restart));
    let mut sizes = Vec::new();
    for round in 0..60 {
        script.give(say(Delivery::Steer, "hello"));
        script.give(begin(false));
        let call = script.show_call(0, "add");
        script.give(say(Delivery::Queue, "next"));
        script.finish(Stop::ToolCalls);
        if round % 2 == 0 {
            script.give(Command::ReturnCall { turn: None, result: result_item(&call) });
        }
        script.give(Command::Cancel { turn: None });
        script.answer("well");
        sizes.push(serde_json::to_vec(&script.state).unwrap().len());
    }
    let (early, late) = (sizes[3], sizes[59]);
    assert!(late < early + 100, "{early} bytes early, {late} bytes late");
}
