//! Toolsets, rulings and served calls for scripts.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_vocabulary::{
    CallId, ItemKind, Object, Principal, Sequence,
    inference::Stop,
    tool::{ApprovalRule, EffectClass, Served, ToolHints, ToolSource, Toolset},
};

use super::{Script, spec};
use crate::{
    Command, Event, Spec,
    command::{BeginCall, CallFailed, Listing, RecordCall},
    effect::{Effect, Offer, Ruling, Terms, Verdict},
    spec::{CallMode, Interruption},
    turn::Wanted,
};

pub(crate) fn toolset(approval: ApprovalRule) -> Toolset {
    let source =
        ToolSource::Mcp { server: "https://srv.example/mcp".to_owned(), headers: BTreeMap::new(), secret: None };
    Toolset {
        label: "srv".to_owned(),
        source,
        allowed: None,
        only_read_only: false,
        approval,
        rules: BTreeMap::new(),
        required: false,
        echo: Object::new(),
    }
}

pub(crate) fn serving(calls: CallMode) -> Spec {
    Spec { toolsets: Arc::from([toolset(ApprovalRule::ByPolicy)]), ..spec(calls, Interruption::Restart) }
}

pub(crate) fn listing(tools: &[(&str, EffectClass)]) -> Listing {
    let offer = |(tool, class): &(&str, EffectClass)| Offer {
        tool: (*tool).to_owned(),
        description: None,
        parameters: Object::new(),
        hints: ToolHints::default(),
        digest: format!("digest of {tool}"),
        class: Some(*class),
    };
    Listing { offers: tools.iter().map(offer).collect(), server: None }
}

pub(crate) fn principal(name: &str) -> Principal {
    Principal(Arc::from(name))
}

pub(crate) fn ruling(verdict: Verdict, version: &str, terms: Terms) -> Ruling {
    Ruling {
        verdict,
        version: version.to_owned(),
        digest: "call".to_owned(),
        policies: Vec::new(),
        reasons: vec!["because".to_owned()],
        terms,
    }
}

impl Script {
    /// A session whose model has called `look`, of this class, so many times; the calls are opened.
    pub(crate) fn calling(calls: CallMode, class: EffectClass, count: u32) -> (Self, Vec<Sequence>) {
        Self::calling_with(serving(calls), class, count)
    }

    pub(crate) fn calling_with(spec: Spec, class: EffectClass, count: u32) -> (Self, Vec<Sequence>) {
        let mut script = Self::asked(spec);
        script.give(Command::RecordListing { toolset: "srv".to_owned(), result: Ok(listing(&[("look", class)])) });
        script.give(super::begin(false));
        for index in 0..count {
            script.show_served(index, "look");
        }
        script.finish(Stop::ToolCalls);
        let calls = script.state.effects.keys().copied().collect();
        (script, calls)
    }

    pub(crate) fn show_served(&mut self, index: u32, name: &str) -> CallId {
        let served = Box::new(Served { toolset: "srv".to_owned(), tool: name.to_owned(), is_mcp: true });
        self.start(index, ItemKind::ServedCall { name: name.to_owned(), provider_call_id: None, served });
        self.text(index, "{}");
        self.done(index);
        mainstay_vocabulary::ItemId { session: super::session(), sequence: self.intent(), ordinal: index }.into()
    }

    pub(crate) fn effect(&self, call: Sequence) -> &Effect {
        &self.state.effects[&call]
    }

    /// Begins the wanted call under a ruling; gives the names of the events.
    pub(crate) fn begin_call(&mut self, ruling: Ruling) -> Vec<Event> {
        let Some(Wanted::Call { call, not_before }) = self.wanted() else { panic!("no call is wanted") };
        self.at = self.at.max(not_before.unwrap_or_default());
        let epoch = self.epoch;
        self.give(Command::BeginCall(Box::new(BeginCall { call, epoch, ruling })))
    }

    /// Records what came of a call under way.
    pub(crate) fn record_call(&mut self, call: Sequence, failed: Option<CallFailed>) -> Vec<Event> {
        let effect = self.effect(call);
        let crate::effect::Stage::Running { intent, .. } = effect.stage else { panic!("{:?}", effect.stage) };
        let result = failed.map_or_else(|| Ok(super::result_item(effect.call_id())), Err);
        self.give(Command::RecordCall(Box::new(RecordCall { call, intent, result })))
    }
}
