//! Calls that the runtime runs, as items of this wire, and what people are asked about them.

use mainstay_session::{
    State,
    effect::{Effect, Stage},
    event::{CallOpened, CallOutcome},
};
use mainstay_vocabulary::{Content, Item, ItemId, Sequence, item::ToolOutput};
use serde_json::{Value, json};

use super::{item::arguments_of, turn_id};

/// The id of a call's item.
pub fn call_id(item: ItemId) -> String {
    format!("mcp_{item}")
}

/// The name of a question to people.
pub fn request_id(state: &State, approval: Sequence) -> String {
    format!("mcpr_{}", ItemId { session: state.session, sequence: approval, ordinal: 0 })
}

/// A call that the runtime runs; `outcome` where it has one.
pub fn call(call: &CallOpened, outcome: Option<&CallOutcome>, turn: &str) -> Value {
    let served = call.served.as_ref().map(|served| &served.by);
    let (status, output, error) = outcome.map_or(("in_progress", Value::Null, Value::Null), fate);
    json!({
        "type": "mcp_call", "id": call_id(call.item), "arguments": arguments_of(&call.arguments), "error": error,
        "name": served.map(|by| by.tool.as_str()), "output": output,
        "server_label": served.map(|by| by.toolset.as_str()), "status": status, "turn_id": turn,
    })
}

fn fate(outcome: &CallOutcome) -> (&'static str, Value, Value) {
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

/// A tool's output as text: its parts one after the other, those that are no text as JSON.
pub fn text_of(output: &ToolOutput) -> Value {
    match output {
        ToolOutput::Text(text) => json!(text),
        ToolOutput::Content(parts) => {
            let part = |part: &Content| match part {
                Content::Text(text) | Content::Refusal(text) => text.clone(),
                Content::Image { url, .. } | Content::File { url, .. } => url.clone(),
                Content::Other(value) => value.to_string(),
            };
            json!(parts.iter().map(part).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// What people are asked, oldest first: whether calls may run, and whether those may run again of which nobody knows
/// what became.
pub fn required_actions(state: &State) -> Vec<Value> {
    let turn = state.turn.as_ref().map(|turn| turn_id(state.session, turn.id));
    let action = |effect: &Effect| {
        let approval = effect.approval()?;
        Some(json!({
            "type": "mcp_approval_request", "request_id": request_id(state, approval), "turn_id": turn,
            "request": {
                "type": "mcp_tool_call", "name": effect.served.by.tool, "server_label": effect.served.by.toolset,
                "arguments": arguments_of(effect.arguments()), "message": message(effect),
            },
        }))
    };
    state.awaited().filter_map(|(_, effect)| action(effect)).collect()
}

/// Why people are asked.
pub fn message(effect: &Effect) -> String {
    match &effect.stage {
        Stage::Asked(asked) if asked.ruling.reasons.is_empty() => {
            format!("The agent wants to call {:?} on {:?}.", effect.served.by.tool, effect.served.by.toolset)
        }
        Stage::Asked(asked) => asked.ruling.reasons.join(" "),
        Stage::Unknown { why, .. } => format!(
            "The call was sent, and nobody knows whether it had an effect: {why}. Approving makes it again under the \
             same idempotency key; denying tells the agent that its outcome is unknown."
        ),
        Stage::Wanted { .. } | Stage::Running { .. } => String::new(),
    }
}
