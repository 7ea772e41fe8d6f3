//! The calls of a Response that the runtime runs, in its fold.

use mainstay_session::{
    Event,
    effect::{Listed, Lost},
    event::{CallOpened, CallOutcome},
};
use mainstay_vocabulary::{CallId, ItemId, ItemKind, Sequence, item::ItemStatus};
use serde_json::{Value, json};

use super::View;
use crate::responses::{
    output::Output,
    served,
    stream::{At, Delta, Done, OutputItem},
};

/// Whether an item is a call that the runtime runs: it is shown by what becomes of it.
pub(super) const fn is_served(kind: &ItemKind) -> bool {
    matches!(kind, ItemKind::ServedCall { .. })
}

impl View {
    pub(super) fn take_served(&mut self, sequence: Sequence, event: &Event) {
        match event {
            Event::ToolsListed(listed) if listed.is_mcp => self.show_listed(sequence, listed),
            Event::CallOpened(call) if call.served.is_some() => {
                self.calls.insert(sequence, call.clone());
            }
            Event::CallIntended(intended) => {
                if let Some(call) = &intended.of {
                    self.calls.insert(intended.call, (**call).clone());
                }
                let approval = intended.approval.map(|approval| served::request_id(self.session(), approval));
                if let Some(call) = self.calls.get(&intended.call).cloned()
                    && self.shown(call.item).is_none()
                {
                    let arguments = intended.arguments.as_ref().unwrap_or(&call.arguments).clone();
                    self.begin_call(&call, &arguments, approval);
                }
            }
            Event::ApprovalAsked(asked) => {
                if let Some(call) = &asked.of {
                    self.calls.insert(asked.call, (**call).clone());
                }
                self.ask(sequence, asked.call);
            }
            Event::CallLost(lost) if lost.fate == Lost::Unknown => self.ask(sequence, lost.call),
            Event::CallClosed { call_id, outcome } => self.end_call(call_id, outcome),
            _ => {}
        }
    }

    fn show_listed(&mut self, sequence: Sequence, listed: &Listed) {
        let session = self.session();
        let id = ItemId { session, sequence, ordinal: 0 };
        let index = self.output.len();
        self.output.push(Output::raw(id, served::listed(session, sequence, listed, false)));
        self.send_item("response.output_item.added", index);
        self.send_place("response.mcp_list_tools.in_progress", index);
        let is_listed = listed.error.is_none();
        self.output[index].set_raw(served::listed(session, sequence, listed, true), ItemStatus::Completed);
        let kind = if is_listed { "response.mcp_list_tools.completed" } else { "response.mcp_list_tools.failed" };
        self.send_place(kind, index);
        self.send_item("response.output_item.done", index);
    }

    fn begin_call(&mut self, call: &CallOpened, arguments: &str, approval: Option<String>) {
        let index = self.output.len();
        self.output.push(Output::raw(call.item, served::call(call, "", approval.clone(), None)));
        self.send_item("response.output_item.added", index);
        self.send_place("response.mcp_call.in_progress", index);
        let Self { output, sink, .. } = self;
        let name = output[index].name.clone();
        let at = || At { item_id: &name, output_index: index, content_index: None, summary_index: None };
        sink.send("response.mcp_call_arguments.delta", || Delta {
            at: at(),
            delta: arguments,
            logprobs: None,
            obfuscation: None,
        });
        let done = || Done { at: at(), name: "arguments", text: arguments, logprobs: None };
        sink.send("response.mcp_call_arguments.done", done);
        self.output[index].set_raw(served::call(call, arguments, approval, None), ItemStatus::InProgress);
    }

    /// People are asked: an item of its own, whole from the start.
    fn ask(&mut self, sequence: Sequence, call: Sequence) {
        let Some(call) = self.calls.get(&call).cloned() else { return };
        let session = self.session();
        let id = ItemId { session, sequence, ordinal: 0 };
        let index = self.output.len();
        let mut output = Output::raw(id, served::request(session, sequence, &call, &call.arguments));
        output.status = ItemStatus::Completed;
        self.output.push(output);
        self.send_item("response.output_item.added", index);
        self.send_item("response.output_item.done", index);
    }

    fn end_call(&mut self, call_id: &CallId, outcome: &CallOutcome) {
        let Some(place) = self.calls.iter().find(|(_, call)| call.call_id == *call_id).map(|(place, _)| *place) else {
            return;
        };
        let Some(call) = self.calls.remove(&place) else { return };
        let (status, output, error) = served::fate(outcome);
        let index = if let Some(index) = self.shown(call.item) {
            index
        } else {
            self.begin_call(&call, &call.arguments, None);
            self.output.len() - 1
        };
        let Some(raw) = self.output[index].raw_mut() else { return };
        raw["status"] = json!(status);
        raw["output"] = output;
        raw["error"] = error;
        self.output[index].status = ItemStatus::Completed;
        let kind = if status == "completed" { "response.mcp_call.completed" } else { "response.mcp_call.failed" };
        self.send_place(kind, index);
        self.send_item("response.output_item.done", index);
    }

    /// The Response is over before the call has its outcome.
    pub(super) fn cut_served(&mut self, index: usize) {
        if let Some(raw) = self.output[index].raw_mut() {
            raw["status"] = json!("incomplete");
        }
        self.output[index].status = ItemStatus::Incomplete;
        self.send_item("response.output_item.done", index);
    }

    fn shown(&self, item: ItemId) -> Option<usize> {
        self.output.iter().rposition(|output| output.id == item)
    }

    fn send_item(&mut self, event: &'static str, index: usize) {
        let Self { output, sink, shape, .. } = self;
        let item = || -> Value { output[index].json(*shape) };
        sink.send(event, || OutputItem { output_index: index, item: item() });
    }

    fn send_place(&mut self, event: &'static str, index: usize) {
        let Self { output, sink, .. } = self;
        sink.send(event, || output[index].at_item(index));
    }
}
