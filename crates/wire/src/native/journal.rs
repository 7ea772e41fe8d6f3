//! The journal as it is: every event with its place and time, receipts and attempts included. Items stand as the Agents
//! wire shows them.

use mainstay_session::{
    Event,
    compaction::Kept,
    event::{
        CallOutcome, Created, InferenceEnded, InferenceOutcome, Input, Intended, LateOutcome, Receipt, Replaced,
        Shortfall, TurnEnded, TurnStatus, Written,
    },
    feed::Recorded,
};
use mainstay_vocabulary::{Item, ItemId, Object, Sequence, SessionId, inference::Stop};
use serde_json::{Value, json};

use super::session::{kind, parent_of};
use crate::agents::{item, turn_id, types};

/// An event of a session's journal.
pub fn record(session: SessionId, recorded: &Recorded) -> Value {
    let mut object = Object::new();
    object.insert("sequence".to_owned(), json!(recorded.sequence.0));
    object.insert("at_ms".to_owned(), json!(recorded.at.0));
    let (name, facts) = facts((session, recorded.sequence), &recorded.event);
    object.insert("type".to_owned(), json!(name));
    if let Value::Object(facts) = facts {
        object.extend(facts);
    }
    Value::Object(object)
}

/// A page of a journal.
pub fn page(data: Vec<Value>, has_more: bool) -> Value {
    json!({ "object": "list", "data": data, "has_more": has_more })
}

/// The event's name and what it says. `place` is where it stands.
fn facts(place: (SessionId, Sequence), event: &Event) -> (&'static str, Value) {
    let session = place.0;
    match event {
        Event::SessionCreated(created) => ("session_created", begun(created)),
        Event::SpecChanged(spec) => ("spec_changed", json!({ "model": spec.model })),
        Event::MetadataChanged(metadata) => ("metadata_changed", json!({ "metadata": metadata })),
        Event::InputAccepted(input) => ("input_accepted", accepted(place, input)),
        Event::TurnStarted(started) => {
            let turn = turn_id(session, place.1);
            let facts = json!({ "turn_id": turn, "input": started.input.0, "deadline_ms": started.deadline.0 });
            ("turn_started", facts)
        }
        Event::InputIncorporated { inputs } => ("input_incorporated", json!({ "inputs": inputs })),
        Event::InferenceIntended(intended) => ("inference_intended", intent(intended)),
        Event::ItemCompleted(item) => ("item_completed", json!({ "item": written(item, "completed") })),
        Event::ItemInterrupted(item) => {
            let facts = json!({ "item": written(item, "incomplete"), "continues": item.continues });
            ("item_interrupted", facts)
        }
        Event::InferenceEnded(ended) => ("inference_ended", inference(ended)),
        Event::CallOpened(call) => {
            let mut facts = json!({ "call_id": call.call_id.0, "name": call.name, "arguments": call.arguments });
            if let Some(served) = &call.served {
                facts["served"] = serde_json::to_value(served).unwrap_or_default();
            }
            ("call_opened", facts)
        }
        Event::CallClosed { call_id, outcome } => ("call_closed", closed(place, &call_id.0, outcome)),
        Event::TurnEnded(ended) => ("turn_ended", turn_end(session, ended)),
        Event::OutcomeAfterCancel(outcome) => ("outcome_after_cancel", late(place, outcome)),
        Event::ItemsAdded(items) => ("items_added", json!({ "items": list(place, items) })),
        Event::ItemHidden { item } => ("item_hidden", json!({ "item": item.to_string() })),
        Event::TurnHidden { turn } => ("turn_hidden", json!({ "turn_id": turn_id(session, *turn) })),
        Event::Recovered { epoch } => ("recovered", json!({ "epoch": epoch.0 })),
        Event::SessionDeleted => ("session_deleted", Value::Null),
        Event::AgentSaved { agent, definition } => {
            let facts = json!({ "agent_id": format!("agent_{agent}"), "name": definition.name });
            ("agent_saved", facts)
        }
        Event::AgentDeleted { agent } => ("agent_deleted", json!({ "agent_id": format!("agent_{agent}") })),
        Event::AgentArchived { agent } => ("agent_archived", json!({ "agent_id": format!("agent_{agent}") })),
        Event::EchoChanged(echo) => ("echo_changed", json!({ "echo": echo })),
        Event::SessionArchived => ("session_archived", Value::Null),
        Event::CompactionAsked => ("compaction_asked", Value::Null),
        Event::ContextReplaced(replaced) => ("context_replaced", replacement(replaced)),
        Event::CompactionSkipped => ("compaction_skipped", Value::Null),
        Event::Withheld => ("withheld", Value::Null),
        Event::FileBegun(head) => ("file_begun", serde_json::to_value(head).unwrap_or_default()),
        Event::FilePart(part) => ("file_part", json!({ "bytes": part.bytes })),
        Event::FileCompleted { parts } => ("file_completed", json!({ "parts": parts })),
        Event::AutomationSaved(saved) => {
            let facts = json!({ "name": saved.definition.name, "next_at_ms": saved.next_at });
            ("automation_saved", facts)
        }
        Event::AutomationPaused { reason } => ("automation_paused", json!({ "reason": reason })),
        Event::AutomationResumed { next_at } => ("automation_resumed", json!({ "next_at_ms": next_at })),
        Event::InvocationBegun(begun) => ("invocation_begun", serde_json::to_value(begun).unwrap_or_default()),
        Event::InvocationEnded { invocation, outcome } => {
            ("invocation_ended", json!({ "invocation": invocation.0, "outcome": outcome }))
        }
        Event::WebhooksSettled(settled) => ("webhooks_settled", serde_json::to_value(settled).unwrap_or_default()),
        Event::ToolsListed(listed) => ("tools_listed", serde_json::to_value(listed).unwrap_or_default()),
        Event::CallIntended(intended) => ("call_intended", serde_json::to_value(intended).unwrap_or_default()),
        Event::CallLost(lost) => ("call_lost", serde_json::to_value(lost).unwrap_or_default()),
        Event::ApprovalAsked(asked) => ("approval_asked", serde_json::to_value(asked).unwrap_or_default()),
        Event::ApprovalAnswered(answered) => ("approval_answered", serde_json::to_value(answered).unwrap_or_default()),
        Event::CallResolved(resolved) => ("call_resolved", serde_json::to_value(resolved).unwrap_or_default()),
        Event::GatewayBooked(booked) => ("gateway_booked", serde_json::to_value(booked).unwrap_or_default()),
    }
}

/// A context that begins anew: the digest, and which items stay word for word.
fn replacement(replaced: &Replaced) -> Value {
    let ids = |kept: &[Kept]| kept.iter().map(|kept| kept.id.to_string()).collect::<Vec<_>>();
    json!({
        "digest": replaced.digest.as_ref().map(|digest| &digest.text),
        "kept_before": ids(&replaced.stays.before),
        "kept_after": ids(&replaced.stays.after),
    })
}

fn begun(created: &Created) -> Value {
    json!({
        "kind": kind(created.kind),
        "model": created.spec.model,
        "instructions": created.spec.instructions.as_deref(),
        "agent_id": created.agent.as_ref().map(|agent| format!("agent_{}", agent.agent)),
        "parent": created.parent.map(|parent| parent_of(&parent)),
        "metadata": created.metadata,
    })
}

fn accepted(place: (SessionId, Sequence), input: &Input) -> Value {
    json!({ "delivery": input.delivery, "items": list(place, &input.items) })
}

fn list((session, sequence): (SessionId, Sequence), items: &[std::sync::Arc<Item>]) -> Vec<Value> {
    let ids = (0..).map(|ordinal| ItemId { session, sequence, ordinal });
    ids.zip(items).map(|(id, item)| shown(id, item, "completed")).collect()
}

fn written(written: &Written, status: &str) -> Value {
    shown(written.id, &written.item, status)
}

/// An item of no turn in particular: the journal's order tells the turn.
fn shown(id: ItemId, item: &Item, status: &str) -> Value {
    let mut shown = item::input(id, item, "");
    if let Value::Object(object) = &mut shown {
        object.shift_remove("turn_id");
        object.insert("status".to_owned(), json!(status));
    }
    shown
}

fn intent(intended: &Intended) -> Value {
    let route = &intended.route;
    json!({
        "attempt": intended.attempt,
        "epoch": intended.epoch.0,
        "deployment": route.deployment,
        "provider": route.provider,
        "upstream_model": route.upstream_model,
        "place": route.place,
        "max_output_tokens": route.max_output_tokens,
        "context": intended.context.0,
        "prompt_digest": intended.prompt,
        "purpose": intended.purpose,
        "continues_item": intended.continues.map(|item| item.to_string()),
    })
}

fn inference(ended: &InferenceEnded) -> Value {
    let (outcome, error) = match &ended.outcome {
        InferenceOutcome::Finished(_) => ("finished", Value::Null),
        InferenceOutcome::Failed(failure) => {
            let error = json!({
                "kind": failure.kind, "message": failure.message, "retry_after_ms": failure.retry_after_ms,
            });
            ("failed", error)
        }
        InferenceOutcome::Interrupted => ("interrupted", Value::Null),
        InferenceOutcome::Cancelled => ("cancelled", Value::Null),
    };
    let stop = match &ended.outcome {
        InferenceOutcome::Finished(stop) => Some(stop_of(stop)),
        _ => None,
    };
    json!({
        "intent": ended.intent.0,
        "outcome": outcome,
        "stop": stop,
        "error": error,
        "kept": ended.kept,
        "retry_at_ms": ended.retry_at.map(|at| at.0),
        "receipt": receipt(&ended.receipt),
    })
}

const fn stop_of(stop: &Stop) -> &'static str {
    match stop {
        Stop::End => "end",
        Stop::ToolCalls => "tool_calls",
        Stop::MaxOutputTokens => "max_output_tokens",
        Stop::ContentFilter => "content_filter",
        Stop::Sequence(_) => "stop_sequence",
        Stop::Pause => "pause",
    }
}

fn receipt(receipt: &Receipt) -> Value {
    let mut usage = types::usage(&receipt.usage);
    usage["input_tokens_details"]["cache_write_tokens"] = json!(receipt.usage.cache_write);
    json!({
        "usage": usage,
        "booking": receipt.booking,
        "cost_pico_usd": receipt.cost.map(|cost| cost.0),
        "model": receipt.model,
        "reported": receipt.reported,
    })
}

fn closed((session, sequence): (SessionId, Sequence), call_id: &str, outcome: &CallOutcome) -> Value {
    let id = ItemId { session, sequence, ordinal: 0 };
    let (name, error) = match outcome {
        CallOutcome::Returned(item) => {
            return json!({ "call_id": call_id, "outcome": "returned", "item": shown(id, item, "completed") });
        }
        CallOutcome::Cancelled => ("cancelled", None),
        CallOutcome::Refused(why) => ("refused", Some(why)),
        CallOutcome::Failed(why) => ("failed", Some(why)),
        CallOutcome::Denied(why) => ("denied", Some(why)),
        CallOutcome::Unknown(why) => ("unknown", Some(why)),
    };
    json!({ "call_id": call_id, "outcome": name, "error": error })
}

fn turn_end(session: SessionId, ended: &TurnEnded) -> Value {
    let (status, reason, error) = match &ended.status {
        TurnStatus::Completed => ("completed", None, Value::Null),
        TurnStatus::Cancelled => ("cancelled", None, Value::Null),
        TurnStatus::Failed(error) => ("failed", None, json!({ "code": error.code, "message": error.message })),
        TurnStatus::Incomplete(why) => {
            let reason = match why {
                Shortfall::MaxOutputTokens => "max_output_tokens",
                Shortfall::ContentFilter => "content_filter",
                Shortfall::Interrupted => "interrupted",
            };
            ("incomplete", Some(reason), Value::Null)
        }
    };
    json!({
        "turn_id": turn_id(session, ended.turn),
        "status": status,
        "reason": reason,
        "error": error,
        "usage": types::usage(&ended.usage),
    })
}

fn late((session, sequence): (SessionId, Sequence), outcome: &LateOutcome) -> Value {
    match outcome {
        LateOutcome::Inference { intent, receipt: late } => {
            json!({ "of": "inference", "intent": intent.0, "receipt": receipt(late) })
        }
        LateOutcome::Call(item) => {
            let id = ItemId { session, sequence, ordinal: 0 };
            json!({ "of": "call", "item": shown(id, item, "completed") })
        }
    }
}
