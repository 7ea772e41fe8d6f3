//! The tools' side of a session's loop: list them, ask the policies, commit the intent, make the call, commit what
//! comes back.

use std::sync::Arc;

use mainstay_session::{
    Command, Event,
    command::{BeginCall, CallFailed, Listing, RecordCall},
    effect::{Answer, Effect, Offer, Ruling, Stage},
};
use mainstay_tools::{Call, Failure, FailureKind, ListedTool, Returned};
use mainstay_vocabulary::{Content, Item, Object, Principal, Sequence, Tenant, item::ToolOutput, tool::Toolset};

use super::{Driver, RUNTIME};
use crate::{
    error::Error,
    fault::{Bug, Point},
    hands::Question,
    perform::call::{Back, Start},
};

/// How long a call may take where nobody said.
const CALL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);
/// Most text of a result that is kept and shown to the model, bytes.
const MAX_RESULT: usize = 1 << 20;

impl Driver {
    fn tenant_or_none(&self) -> Tenant {
        self.tenant.clone().unwrap_or_else(|| Tenant(Arc::from("")))
    }

    /// Asks a toolset for its tools; the answer comes back as `Back::Listed`.
    pub(super) fn list_tools(&mut self, toolset: usize) {
        let Some(toolset) = self.state.spec.toolsets.get(toolset).cloned() else { return };
        let toolbox = self.inner.hands.open(&self.tenant_or_none(), &toolset);
        self.calls.list(&self.inner.tasks, toolset.label, toolbox);
    }

    /// Asks the policies about the wanted call, and commits what they answer: its intent, a question, or its end.
    pub(super) async fn begin_call(&mut self, call: Sequence) -> Result<(), Error> {
        let Some(effect) = self.state.effects.get(&call) else { return Ok(()) };
        let ruling = self.rule(effect, None, &Principal(Arc::from(RUNTIME)));
        let epoch = self.inner.leases.epoch(self.session.shard())?;
        if self.inner.faults.has(Bug::EffectBeforeIntent) {
            self.dispatch_call(call, self.state.sequence.next());
            tokio::task::yield_now().await;
        }
        let begin = Command::BeginCall(Box::new(BeginCall { call, epoch, ruling }));
        self.own(begin, (Point::IntentDecided, Point::IntentCommitted)).await;
        Ok(())
    }

    /// After a commit: what it intends is to be made.
    pub(crate) fn note_intents(&mut self, sequence: Sequence, event: &Event) {
        if let Event::CallIntended(intended) = event {
            self.intended.push((intended.call, sequence));
        }
    }

    /// Makes the calls whose intents are committed.
    pub(super) fn dispatch(&mut self) {
        for (call, intent) in std::mem::take(&mut self.intended) {
            let effect = self.state.effects.get(&call);
            let is_running = effect.is_some_and(
                |effect| matches!(effect.stage, Stage::Running { intent: running, .. } if running == intent),
            );
            if is_running && !self.calls.intents().contains(&intent) {
                self.dispatch_call(call, intent);
                if self.inner.faults.has(Bug::CallSentTwice) {
                    self.dispatch_call(call, intent);
                }
            }
        }
    }

    fn dispatch_call(&mut self, call: Sequence, intent: Sequence) {
        let Some(effect) = self.state.effects.get(&call) else { return };
        let pinned = self.state.pinned(effect).map(|(toolset, _)| toolset.clone());
        let toolbox = match &pinned {
            Some(toolset) => self.inner.hands.open(&self.tenant_or_none(), toolset),
            None => Err(Failure::new(FailureKind::Rejected, "the session no longer has the tool")),
        };
        let request = Call {
            tool: effect.served.by.tool.clone(),
            arguments: arguments_of(effect.arguments()),
            idempotency_key: format!("{}-{}", self.session, call.0),
            timeout: CALL_TIMEOUT,
            meta: Object::new(),
        };
        let working = self.inner.leases.begin_work(self.session.shard());
        let start = Start { permit: self.permit(), toolbox, request, working };
        self.calls.start(&self.inner.tasks, (call, intent), start);
    }

    /// After a commit or a load: what the journal has closed is stopped.
    pub(crate) fn follow_calls(&mut self) {
        let state = Arc::clone(&self.state);
        let is_open = |intent: Sequence| {
            let is_it = |effect: &Effect| matches!(effect.stage, Stage::Running { intent: open, .. } if open == intent);
            state.effects.values().any(is_it)
        };
        self.calls.keep(is_open);
        let wanted = state.unlisted().and_then(|index| state.spec.toolsets.get(index));
        self.calls.keep_listing(wanted.filter(|_| state.turn.is_some()).map(|toolset| toolset.label.as_str()));
    }

    pub(super) async fn take_back(&mut self, back: Back) {
        let points = (Point::OutcomeDecided, Point::OutcomeCommitted);
        match back {
            Back::Listed { toolset, result } => {
                let declared = self.state.spec.toolsets.iter().find(|known| known.label == toolset).cloned();
                let result = result.map_err(|failure| failure.message).map(|listing| Listing {
                    offers: listing.tools.into_iter().map(|tool| self.offer(declared.as_ref(), tool)).collect(),
                    server: listing.server,
                });
                self.own(Command::RecordListing { toolset, result }, points).await;
            }
            Back::Ended { call, intent, result } => {
                let Some(effect) = self.state.effects.get(&call) else { return };
                let result = match result {
                    Ok(returned) => Ok(Arc::new(result_item(effect, returned))),
                    Err(Failure { kind, message }) => Err(match kind {
                        FailureKind::NotSent => CallFailed::NotSent(message),
                        FailureKind::Rejected => CallFailed::Rejected(message),
                        FailureKind::Unknown if self.inner.faults.has(Bug::LossTakenForNothing) => {
                            CallFailed::NotSent(message)
                        }
                        FailureKind::Unknown => CallFailed::Lost(message),
                    }),
                };
                self.own(Command::RecordCall(Box::new(RecordCall { call, intent, result })), points).await;
            }
        }
    }

    fn offer(&self, toolset: Option<&Toolset>, tool: ListedTool) -> Offer {
        let ListedTool { name, description, parameters, hints, digest } = tool;
        let class = toolset.and_then(|toolset| self.inner.hands.class(toolset, &name));
        Offer { tool: name, description, parameters, hints, digest, class }
    }

    /// What the policies answer now to the calls that people answer by a command.
    pub(super) fn rulings(&self, command: &Command, actor: &Principal) -> Vec<(Sequence, Ruling)> {
        let mut edits = Vec::new();
        if !answers(command, &mut edits) {
            return Vec::new();
        }
        let asked = self.state.effects.iter().filter_map(|(call, effect)| {
            let approval = effect.approval()?;
            let edited = edits.iter().find(|(known, _)| *known == approval).map(|(_, arguments)| arguments.as_str());
            Some((*call, self.rule(effect, edited, actor)))
        });
        asked.collect()
    }

    /// Asks the policies about a call.
    fn rule(&self, effect: &Effect, edited: Option<&str>, actor: &Principal) -> Ruling {
        let by = &effect.served.by;
        let arguments = edited.unwrap_or_else(|| effect.arguments());
        let tenant = self.tenant_or_none();
        let parts = [by.toolset.as_bytes(), by.tool.as_bytes(), effect.served.pinned.as_bytes(), arguments.as_bytes()];
        let digest = self.inner.journal.keyring.digest(&tenant, "call", &parts);
        let pinned = self.state.pinned(effect);
        let approval = pinned.and_then(|(toolset, _)| toolset.approval.asks(&by.tool, effect.served.class));
        let question = Question {
            tenant,
            principal: actor.clone(),
            session: self.session,
            agent: self.state.agent.as_ref().and_then(|agent| agent.name.clone()),
            at: self.inner.clock.now(),
            toolset: by.toolset.clone(),
            is_mcp: by.is_mcp,
            tool: by.tool.clone(),
            arguments: arguments_of(arguments),
            class: effect.served.class,
            hints: pinned.map(|(_, tool)| tool.hints).unwrap_or_default(),
            approval,
            digest: data_encoding::HEXLOWER.encode(&digest[..16]),
        };
        self.inner.judge.judge(&question)
    }
}

/// Whether a command answers questions to people; notes the arguments that they edited.
fn answers(command: &Command, edits: &mut Vec<(Sequence, String)>) -> bool {
    match command {
        Command::Respond(respond) => {
            if let Answer::Approve { arguments: Some(arguments) } = &respond.answer {
                edits.push((respond.approval, arguments.clone()));
            }
            true
        }
        Command::ResolveCall(_) => true,
        Command::Accept(accept) => !accept.answers.is_empty(),
        // All of them are looked at: each may bring an edit.
        Command::All(commands) => commands.iter().filter(|command| answers(command, edits)).count() > 0,
        _ => false,
    }
}

/// The arguments as they are sent; what is no object was refused before.
fn arguments_of(text: &str) -> Object {
    serde_json::from_str(text).unwrap_or_default()
}

fn result_item(effect: &Effect, returned: Returned) -> Item {
    let Returned { content, structured, is_error } = returned;
    let output = match (&content[..], structured) {
        ([], Some(structured)) => ToolOutput::Text(cut(structured.to_string())),
        ([Content::Text(text)], _) => ToolOutput::Text(cut(text.clone())),
        ([], None) => ToolOutput::Text(String::new()),
        _ => bounded(content),
    };
    let error = is_error.then(|| match &output {
        ToolOutput::Text(text) => text.clone(),
        ToolOutput::Content(parts) => serde_json::to_string(parts).unwrap_or_default(),
    });
    Item::ToolResult { call_id: effect.call_id().clone(), output, error }
}

/// A text that is short enough to be kept.
fn cut(mut text: String) -> String {
    if text.len() > MAX_RESULT {
        let mut end = MAX_RESULT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let left = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("\n[{left} more bytes were cut off]"));
    }
    text
}

fn bounded(content: Vec<Content>) -> ToolOutput {
    let size = serde_json::to_vec(&content).map_or(usize::MAX, |json| json.len());
    if size <= 4 * MAX_RESULT {
        return ToolOutput::Content(content);
    }
    let texts = content.into_iter().filter_map(|part| match part {
        Content::Text(text) => Some(text),
        _ => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    ToolOutput::Text(cut(text) + "\n[parts that were too large were left out]")
}
