//! Folds the effect ledger: which calls the runtime runs, where they stand, what its toolsets offer.

use std::sync::Arc;

use mainstay_vocabulary::{
    CallId, Sequence, Timestamp,
    tool::{FunctionTool, Served, ServedTool, ToolSource, Toolset},
};

use super::State;
use crate::{
    effect::{Effect, Listed, Stage},
    event::{CallOpened, CallOutcome, Event},
    spec::Spec,
};

impl State {
    /// Takes an event of the ledger.
    pub(super) fn take_effect(&mut self, at: Timestamp, sequence: Sequence, event: &Event) {
        match event {
            Event::ToolsListed(listed) => {
                self.context_epoch = sequence;
                self.listed.insert(listed.toolset.clone(), Arc::new((**listed).clone()));
            }
            Event::CallIntended(intended) => self.with(intended.call, |effect| effect.intend(sequence, intended)),
            Event::CallLost(lost) => self.with(lost.call, |effect| effect.lose(sequence, lost)),
            Event::ApprovalAsked(asked) => self.with(asked.call, |effect| effect.ask(at, sequence, asked)),
            Event::ApprovalAnswered(answered) => self.with(answered.call, |effect| effect.hear(answered)),
            Event::CallResolved(resolved) if self.effects.get(&resolved.call).is_some_and(|effect| effect.is_left) => {
                self.effects.remove(&resolved.call);
            }
            _ => {}
        }
    }

    fn with(&mut self, call: Sequence, change: impl FnOnce(&mut Effect)) {
        if let Some(effect) = self.effects.get_mut(&call) {
            change(effect);
        }
    }

    pub(super) fn open_call(&mut self, at: Timestamp, sequence: Sequence, call: &CallOpened) {
        let Some(served) = &call.served else {
            self.calls.push(call.clone());
            return;
        };
        let effect = Effect {
            call: call.clone(),
            served: (**served).clone(),
            opened_at: at,
            stage: Stage::Wanted { not_before: None },
            attempts: 0,
            edited: None,
            approved: None,
            is_left: false,
        };
        self.effects.insert(sequence, effect);
    }

    /// The conversation has its answer to a call. What may have happened all the same stays in the ledger.
    pub(super) fn close_effect(&mut self, sequence: Sequence, call_id: &CallId, outcome: &CallOutcome) {
        let Some(call) = self.effect_of(call_id) else { return };
        let is_told = matches!(outcome, CallOutcome::Cancelled | CallOutcome::Unknown(_));
        let Some(effect) = self.effects.get_mut(&call) else { return };
        if is_told && effect.is_in_doubt() {
            effect.is_left = true;
            if let Stage::Running { .. } = effect.stage {
                let why = "its turn was cancelled while it was under way".to_owned();
                effect.stage = Stage::Unknown { at: sequence, why };
            }
            return;
        }
        self.effects.remove(&call);
    }

    /// Whether an accepted input has not gone into the context yet.
    pub fn is_waiting(&self, input: Sequence) -> bool {
        self.queue.iter().any(|queued| queued.input == input)
    }

    /// The place of the call with this id, if its fate is open.
    pub fn effect_of(&self, call_id: &CallId) -> Option<Sequence> {
        let is_it = |effect: &Effect| effect.call.call_id == *call_id;
        self.effects.iter().find(|(_, effect)| is_it(effect)).map(|(call, _)| *call)
    }

    /// The call that people answer under this name.
    pub fn effect_asked(&self, approval: Sequence) -> Option<(Sequence, &Effect)> {
        let found = self.effects.iter().find(|(_, effect)| effect.approval() == Some(approval));
        found.map(|(call, effect)| (*call, effect))
    }

    /// Calls that the conversation waits for.
    pub fn awaited(&self) -> impl Iterator<Item = (Sequence, &Effect)> {
        self.effects.iter().filter(|(_, effect)| !effect.is_left).map(|(call, effect)| (*call, effect))
    }

    /// Whether a call is to be made or under way here.
    pub fn is_acting(&self) -> bool {
        self.effects.values().any(Effect::is_acting)
    }

    /// Calls under way.
    pub fn running_effects(&self) -> usize {
        self.effects.values().filter(|effect| matches!(effect.stage, Stage::Running { .. })).count()
    }

    /// The toolset whose tools are to be listed before the next inference: its place in the spec.
    pub fn unlisted(&self) -> Option<usize> {
        self.spec.toolsets.iter().position(|toolset| !self.listed.contains_key(&toolset.label))
    }

    /// Keeps what was pinned of the toolsets that stay as they are.
    pub(super) fn keep_listed(&mut self, spec: &Spec) {
        let before = Arc::clone(&self.spec);
        let find = |spec: &Spec, label: &str| spec.toolsets.iter().find(|toolset| toolset.label == label).cloned();
        self.listed.retain(|label, listed| {
            let (old, now) = (find(&before, label), find(spec, label));
            listed.error.is_none() && now.is_some() && old == now
        });
    }

    /// A tool that the runtime runs, by what the model calls it, with its toolset.
    pub fn served(&self, name: &str) -> Option<(&Toolset, &ServedTool)> {
        self.spec.toolsets.iter().find_map(|toolset| {
            let listed = self.listed.get(&toolset.label)?;
            Some((toolset, listed.tools.iter().find(|tool| tool.name == name)?))
        })
    }

    /// Who runs a call of this name, where the runtime does.
    pub fn served_by(&self, name: &str) -> Option<Served> {
        let (toolset, tool) = self.served(name)?;
        let is_mcp = matches!(toolset.source, ToolSource::Mcp { .. });
        Some(Served { toolset: toolset.label.clone(), tool: tool.tool.clone(), is_mcp })
    }

    /// The toolset of an open call, with the tool as it was pinned.
    pub fn pinned(&self, effect: &Effect) -> Option<(&Toolset, &ServedTool)> {
        let by = &effect.served.by;
        let toolset = self.spec.toolsets.iter().find(|toolset| toolset.label == by.toolset)?;
        let listed: &Listed = self.listed.get(&by.toolset)?;
        Some((toolset, listed.tools.iter().find(|tool| tool.tool == by.tool)?))
    }

    /// All that a model is offered: the client's functions, then what the runtime runs.
    pub fn offered(&self) -> Arc<[FunctionTool]> {
        if self.spec.toolsets.is_empty() {
            return Arc::clone(&self.spec.tools);
        }
        let labels = self.spec.toolsets.iter().map(|toolset| &toolset.label);
        let served = labels.filter_map(|label| self.listed.get(label)).flat_map(|listed| listed.tools.iter());
        self.spec.tools.iter().cloned().chain(served.map(as_function)).collect()
    }
}

fn as_function(tool: &ServedTool) -> FunctionTool {
    FunctionTool {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: Some(tool.parameters.clone()),
        strict: None,
        rest: mainstay_vocabulary::Object::new(),
    }
}
