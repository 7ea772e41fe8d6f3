//! The part of a walk that calls which the runtime runs take, and what people say to them.

use mainstay_vocabulary::{Sequence, tool::EffectClass};

use super::Walk;
use crate::{
    Command,
    command::{BeginCall, CallFailed, RecordCall, ResolveCall, Respond},
    effect::{Answer, Effect, Need, Resolution, Stage, Terms, Verdict},
    turn::tests::script::*,
};

const CLASSES: [EffectClass; 3] = [EffectClass::ReadOnly, EffectClass::Idempotent, EffectClass::Once];
const VERDICTS: [Verdict; 4] = [Verdict::Allow, Verdict::Allow, Verdict::Ask, Verdict::Deny];

impl Walk {
    pub(super) fn list_tools(&mut self) {
        let result = if self.dice.below(4) == 0 {
            Err("it cannot be reached".to_owned())
        } else {
            let class = self.dice.one_of(&CLASSES);
            Ok(listing(&[("look", class), ("add", class)]))
        };
        self.script.give(Command::RecordListing { toolset: "srv".to_owned(), result });
    }

    pub(super) fn begin_call(&mut self, call: Sequence) {
        let needs = vec![Need { role: None, quorum: 1 + u32::from(self.dice.below(4) == 0) }];
        let terms = Terms { needs, expires_ms: Some(9_000), ..Terms::default() };
        let ruling = ruling(self.dice.one_of(&VERDICTS), self.dice.one_of(&["v1", "v1", "v2"]), terms);
        self.script.give(Command::BeginCall(Box::new(BeginCall { call, epoch: self.script.epoch, ruling })));
    }

    /// Some of the calls under way.
    pub(super) fn running(&mut self) -> Vec<Sequence> {
        let intents: Vec<_> = self.script.state.effects.values().filter_map(intent).collect();
        intents.into_iter().filter(|_| self.dice.below(2) == 0).collect()
    }

    pub(super) fn record_call(&mut self) {
        let running: Vec<_> = (self.script.state.effects.iter())
            .filter_map(|(call, effect)| Some((*call, intent(effect)?, effect.call.call_id.clone())))
            .collect();
        if running.is_empty() {
            return;
        }
        let (call, intent, call_id) = self.dice.one_of(&running);
        let why = || "no answer".to_owned();
        let result = match self.dice.below(6) {
            0 => Err(CallFailed::NotSent(why())),
            1 => Err(CallFailed::Rejected(why())),
            2 => Err(CallFailed::Lost(why())),
            _ => Ok(result_item(&call_id)),
        };
        self.script.give(Command::RecordCall(Box::new(RecordCall { call, intent, result })));
    }

    pub(super) fn respond(&mut self) {
        let asked: Vec<_> =
            (self.script.state.effects.iter()).filter_map(|(call, effect)| Some((*call, effect.approval()?))).collect();
        if asked.is_empty() {
            return;
        }
        let (call, approval) = self.dice.one_of(&asked);
        self.script.actor = principal(self.dice.one_of(&["ada", "bob", "eve"]));
        let verdict = self.dice.one_of(&VERDICTS);
        self.script.rulings = vec![(call, ruling(verdict, self.dice.one_of(&["v1", "v1", "v2"]), Terms::default()))];
        let answer = self.dice.one_of(&[Answer::Deny, Answer::Approve { arguments: None }]);
        self.try_give(Command::Respond(Respond { session: None, approval, answer, reason: None }));
    }

    pub(super) fn resolve(&mut self) {
        let is_unknown = |effect: &Effect| matches!(effect.stage, Stage::Unknown { .. });
        let unknown = self.script.state.effects.iter().find(|(_, effect)| is_unknown(effect));
        let Some((call, effect)) = unknown.map(|(call, effect)| (*call, effect.clone())) else { return };
        self.script.rulings = vec![(call, ruling(Verdict::Allow, "v1", Terms::default()))];
        let resolutions = [
            Resolution::Happened(result_item(&effect.call.call_id)),
            Resolution::DidNotHappen,
            Resolution::Again,
            Resolution::Abandoned,
        ];
        let resolution = self.dice.one_of(&resolutions);
        self.try_give(Command::ResolveCall(Box::new(ResolveCall { call, resolution, reason: None })));
    }
}

fn intent(effect: &Effect) -> Option<Sequence> {
    match effect.stage {
        Stage::Running { intent, .. } => Some(intent),
        Stage::Wanted { .. } | Stage::Asked(_) | Stage::Unknown { .. } => None,
    }
}
