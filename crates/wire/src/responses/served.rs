//! Calls that the runtime runs, as items of a Response: listed tools, calls, and what people are asked about them. A call
//! is shown from its intent on: before that it may still become a question.

use std::{collections::BTreeSet, sync::Arc};

use mainstay_session::{
    effect::Listed,
    event::{CallOpened, CallOutcome},
};
use mainstay_vocabulary::{CallId, Item, ItemId, Sequence, SessionId, tool::ServedTool};
use serde_json::{Value, json};

use crate::agents::served::text_of;

/// The id of a call's item.
pub fn call_id(item: ItemId) -> String {
    format!("mcp_{item}")
}

/// The name of a question to people.
pub fn request_id(session: SessionId, approval: Sequence) -> String {
    format!("mcpr_{}", ItemId { session, sequence: approval, ordinal: 0 })
}

/// Reads the name of a question: the session, and the place where it was asked.
pub fn read_request_id(text: &str) -> Option<(SessionId, Sequence)> {
    let item: ItemId = text.strip_prefix("mcpr_")?.parse().ok()?;
    Some((item.session, item.sequence))
}

/// The tools of a server; `None` before they are listed.
pub(super) fn listed(session: SessionId, sequence: Sequence, listed: &Listed, is_listed: bool) -> Value {
    let tool = |tool: &ServedTool| {
        json!({
            "name": tool.tool, "description": tool.description, "input_schema": tool.parameters,
            "annotations": serde_json::to_value(tool.hints).unwrap_or_default(),
        })
    };
    let tools: Vec<Value> = listed.tools.iter().filter(|_| is_listed).map(tool).collect();
    json!({
        "id": format!("mcpl_{}", ItemId { session, sequence, ordinal: 0 }), "type": "mcp_list_tools",
        "server_label": listed.toolset, "tools": tools, "error": listed.error.as_deref().filter(|_| is_listed),
    })
}

/// A call; `outcome` where it has one.
pub(super) fn call(
    call: &CallOpened,
    arguments: &str,
    approval: Option<String>,
    outcome: Option<&CallOutcome>,
) -> Value {
    let by = call.served.as_ref().map(|served| &served.by);
    let (status, output, error) = outcome.map_or(("in_progress", Value::Null, Value::Null), fate);
    json!({
        "id": call_id(call.item), "type": "mcp_call", "server_label": by.map(|by| by.toolset.as_str()),
        "name": by.map(|by| by.tool.as_str()), "arguments": arguments, "approval_request_id": approval,
        "output": output, "error": error, "status": status,
    })
}

/// The items without the results of calls that the runtime runs: on this wire they are part of their calls.
pub fn without_results(items: &[(ItemId, Arc<Item>)]) -> Vec<(ItemId, Arc<Item>)> {
    let is_served = |item: &Item| matches!(item, Item::ToolCall { served: Some(_), .. });
    let calls: BTreeSet<CallId> =
        items.iter().filter(|(_, item)| is_served(item)).map(|(id, _)| CallId::from(*id)).collect();
    let is_result = |item: &Item| matches!(item, Item::ToolResult { call_id, .. } if calls.contains(call_id));
    items.iter().filter(|(_, item)| !is_result(item)).cloned().collect()
}

/// Puts the results of calls that the runtime runs into a list that was made without them.
pub fn settle(list: &mut Value, items: &[(ItemId, Arc<Item>)]) {
    for call in list["data"].as_array_mut().into_iter().flatten().filter(|item| item["type"] == "mcp_call") {
        let call_id = call["id"].as_str().and_then(|id| id.strip_prefix("mcp_")).map(|id| format!("call_{id}"));
        let is_it =
            |item: &Item| matches!(item, Item::ToolResult { call_id: of, .. } if Some(&of.0) == call_id.as_ref());
        if let Some((_, result)) = items.iter().find(|(_, item)| is_it(item)) {
            let (status, output, error) = fate(&CallOutcome::Returned(Arc::clone(result)));
            call["status"] = json!(status);
            call["output"] = output;
            call["error"] = error;
        }
    }
}

/// A question to people whether a call may run, or run again.
pub(super) fn request(session: SessionId, approval: Sequence, call: &CallOpened, arguments: &str) -> Value {
    let by = call.served.as_ref().map(|served| &served.by);
    json!({
        "id": request_id(session, approval), "type": "mcp_approval_request",
        "server_label": by.map(|by| by.toolset.as_str()), "name": by.map(|by| by.tool.as_str()),
        "arguments": arguments,
    })
}

/// Status, output and error.
pub(super) fn fate(outcome: &CallOutcome) -> (&'static str, Value, Value) {
    match outcome {
        CallOutcome::Returned(item) => match &**item {
            Item::ToolResult { error: Some(error), .. } => ("failed", Value::Null, json!(error)),
            Item::ToolResult { output, .. } => ("completed", text_of(output), Value::Null),
            _ => ("completed", Value::Null, Value::Null),
        },
        CallOutcome::Cancelled => ("incomplete", Value::Null, json!("The call was cancelled.")),
        CallOutcome::Refused(why) | CallOutcome::Failed(why) | CallOutcome::Denied(why) | CallOutcome::Unknown(why) => {
            ("failed", Value::Null, json!(why))
        }
    }
}
