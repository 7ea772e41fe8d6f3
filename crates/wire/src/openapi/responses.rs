//! Schemas of the Responses and Conversations wires.

use serde_json::{Value, json};

use super::schema::{
    any_object, any_of, choice, constant, count, deleted, flag, list, nullable, number, object, page, reference,
    seconds, text,
};

const STATUS: [&str; 6] = ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"];

const EVENTS: [&str; 23] = [
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.refusal.delta",
    "response.refusal.done",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    "response.reasoning_summary_text.delta",
    "response.reasoning_summary_text.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
];

/// All of them.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let conversation = object([
        ("id", text()),
        ("object", constant("conversation")),
        ("created_at", seconds()),
        ("metadata", reference("Metadata")),
    ]);
    let items = json!({ "type": "array", "items": reference("InputItem"), "maxItems": 1_000 });
    let some_items = json!({ "type": "array", "items": reference("InputItem"), "minItems": 1, "maxItems": 1_000 });
    vec![
        ("ResponseBody", body()),
        ("InputTokensBody", input_tokens_body()),
        ("Prompt", prompt()),
        ("ToolChoice", tool_choice()),
        ("InputItem", input_item()),
        ("Item", item()),
        ("Response", response()),
        ("CompactBody", compact_body()),
        ("CompactedResponse", compacted()),
        ("InputTokens", object([("object", constant("response.input_tokens")), ("input_tokens", count())])),
        ("ResponseEvent", event()),
        ("ItemList", page("Item")),
        ("ResponseDeleted", deleted("response")),
        ("Conversation", conversation),
        ("ConversationDeleted", deleted("conversation.deleted")),
        ("ConversationBody", object([("items?", nullable(items)), ("metadata?", nullable(reference("Metadata")))])),
        ("ConversationUpdate", object([("metadata", nullable(reference("Metadata")))])),
        ("ItemsBody", object([("items", some_items)])),
    ]
}

fn body() -> Value {
    let reasoning = object([("effort?", nullable(text())), ("summary?", nullable(text()))]);
    let context_management = object([
        ("type", constant("compaction")),
        ("compact_threshold?", nullable(json!({ "type": "integer", "minimum": 1_000 }))),
    ]);
    let text_options = object([
        ("format?", nullable(reference("TextFormat"))),
        ("verbosity?", nullable(choice(&["low", "medium", "high"]))),
    ]);
    let mut body = object([
        ("model?", nullable(json!({ "type": "string", "minLength": 1, "maxLength": 256 }))),
        ("prompt?", nullable(reference("Prompt"))),
        ("input?", nullable(any_of([text(), list(reference("InputItem"))]))),
        ("instructions?", nullable(text())),
        ("previous_response_id?", nullable(text())),
        ("conversation?", nullable(any_of([text(), object([("id", text())])]))),
        ("stream?", nullable(flag())),
        ("stream_options?", nullable(object([("include_obfuscation?", nullable(flag()))]))),
        ("background?", nullable(flag())),
        ("store?", nullable(flag())),
        ("include?", nullable(list(text()))),
        ("tools?", nullable(list(reference("Tool")))),
        ("tool_choice?", nullable(reference("ToolChoice"))),
        ("parallel_tool_calls?", nullable(flag())),
        ("max_tool_calls?", nullable(json!({ "type": "integer", "minimum": 1 }))),
        ("max_output_tokens?", nullable(json!({ "type": "integer", "minimum": 1 }))),
        ("temperature?", nullable(number(0.0, 2.0))),
        ("top_p?", nullable(number(0.0, 1.0))),
        ("presence_penalty?", nullable(number(-2.0, 2.0))),
        ("frequency_penalty?", nullable(number(-2.0, 2.0))),
        ("reasoning?", nullable(reasoning)),
        ("text?", nullable(text_options)),
        ("truncation?", nullable(choice(&["auto", "disabled"]))),
        ("context_management?", nullable(list(context_management))),
        ("top_logprobs?", nullable(json!({ "type": "integer", "minimum": 0, "maximum": 20 }))),
        ("service_tier?", nullable(choice(&crate::tier::KNOWN))),
        ("prompt_cache_key?", nullable(text())),
        ("prompt_cache_retention?", nullable(text())),
        ("safety_identifier?", nullable(text())),
        ("metadata?", nullable(reference("Metadata"))),
    ]);
    let one_of = |names: &[&str]| names.iter().map(|name| json!({ "required": [name] })).collect::<Vec<_>>();
    body["allOf"] = json!([
        { "anyOf": one_of(&["model", "prompt"]) },
        { "anyOf": one_of(&["input", "previous_response_id", "conversation"]) },
    ]);
    body["description"] = json!(
        "`input` may be left out with `previous_response_id` or `conversation`, not with both; `model` with `prompt`."
    );
    body
}

/// A Response's that is not made.
fn input_tokens_body() -> Value {
    let mut body = body();
    body["required"] = json!(["model"]);
    body["description"] = json!("What a Response would be made of.");
    if let Some(body) = body.as_object_mut() {
        body.remove("allOf");
    }
    if let Some(known) = body["properties"].as_object_mut() {
        known.retain(|name, _| !["prompt", "stream", "background", "store"].contains(&name.as_str()));
        known.insert("model".to_owned(), json!({ "type": "string", "minLength": 1, "maxLength": 256 }));
    }
    body
}

/// A stored prompt and the values of its variables.
fn prompt() -> Value {
    let variables = json!({ "type": "object", "additionalProperties": any_of([text(), any_object()]) });
    object([("id", text()), ("version?", nullable(text())), ("variables?", nullable(variables))])
}

fn compact_body() -> Value {
    let mut body = object([
        ("model", json!({ "type": "string", "minLength": 1, "maxLength": 256 })),
        ("input?", nullable(any_of([text(), list(reference("InputItem"))]))),
        ("instructions?", nullable(text())),
        ("previous_response_id?", nullable(text())),
        ("prompt_cache_key?", nullable(text())),
        ("service_tier?", nullable(choice(&crate::tier::KNOWN))),
    ]);
    body["anyOf"] = json!([{ "required": ["input"] }, { "required": ["previous_response_id"] }]);
    body["description"] = json!("`input` may be left out with `previous_response_id`. Nothing is stored.");
    body
}

fn compacted() -> Value {
    object([
        ("id", text()),
        ("object", constant("response.compaction")),
        ("created_at", seconds()),
        ("output", list(reference("Item"))),
        ("usage", reference("Usage")),
    ])
}

fn tool_choice() -> Value {
    let function = object([("type", constant("function")), ("name", text())]);
    let allowed = object([
        ("type", constant("allowed_tools")),
        ("mode", choice(&["auto", "required"])),
        ("tools", list(any_object())),
    ]);
    any_of([choice(&["auto", "none", "required"]), function, allowed])
}

fn input_item() -> Value {
    any_of([
        object([
            ("type?", nullable(constant("message"))),
            ("role", choice(&["user", "assistant", "system", "developer"])),
            ("content", any_of([text(), list(any_object())])),
        ]),
        object([("type", constant("function_call")), ("call_id", text()), ("name", text()), ("arguments", text())]),
        object([
            ("type", constant("function_call_output")),
            ("call_id", text()),
            ("output", any_of([text(), list(any_object())])),
        ]),
        object([("type", constant("reasoning")), ("summary?", nullable(list(any_object())))]),
        object([("type?", nullable(constant("item_reference"))), ("id", text())]),
        object([("type", constant("compaction")), ("encrypted_content", text())]),
        object([("type", constant("compaction_trigger"))]),
    ])
}

fn item() -> Value {
    object([
        ("id", text()),
        ("type", text()),
        ("status", choice(&["in_progress", "completed", "incomplete"])),
        ("role?", choice(&["user", "assistant", "system", "developer"])),
        ("content?", list(any_object())),
        ("summary?", list(any_object())),
        ("encrypted_content?", text()),
        ("call_id?", text()),
        ("name?", text()),
        ("arguments?", text()),
        ("output?", any_of([text(), list(any_object())])),
    ])
}

fn response() -> Value {
    let error = object([("code", text()), ("message", text())]);
    let incomplete = object([("reason", choice(&["max_output_tokens", "content_filter", "interrupted"]))]);
    let nullable_text = || nullable(text());
    object([
        ("id", text()),
        ("object", constant("response")),
        ("created_at", seconds()),
        ("completed_at", nullable(seconds())),
        ("status", choice(&STATUS)),
        ("background", flag()),
        ("conversation", nullable(object([("id", text())]))),
        ("error", nullable(error)),
        ("incomplete_details", nullable(incomplete)),
        ("instructions", nullable_text()),
        ("max_output_tokens", nullable(count())),
        ("max_tool_calls", nullable(count())),
        ("metadata", reference("Metadata")),
        ("model", text()),
        ("output", list(reference("Item"))),
        ("parallel_tool_calls", flag()),
        ("presence_penalty", number(-2.0, 2.0)),
        ("frequency_penalty", number(-2.0, 2.0)),
        ("previous_response_id", nullable_text()),
        ("prompt_cache_key", nullable_text()),
        ("prompt_cache_retention", nullable_text()),
        ("reasoning", any_object()),
        ("safety_identifier", nullable_text()),
        ("service_tier", text()),
        ("store", flag()),
        ("temperature", number(0.0, 2.0)),
        ("text", any_object()),
        ("tool_choice", reference("ToolChoice")),
        ("tools", list(reference("Tool"))),
        ("top_logprobs", count()),
        ("top_p", number(0.0, 1.0)),
        ("truncation", choice(&["auto", "disabled"])),
        ("usage", nullable(reference("Usage"))),
        ("user", nullable_text()),
        ("prompt?", reference("Prompt")),
    ])
}

fn event() -> Value {
    object([
        ("type", choice(&EVENTS)),
        ("sequence_number", count()),
        ("response?", reference("Response")),
        ("item?", reference("Item")),
        ("item_id?", text()),
        ("output_index?", count()),
        ("content_index?", count()),
        ("summary_index?", count()),
        ("part?", any_object()),
        ("delta?", text()),
        ("text?", text()),
        ("refusal?", text()),
        ("arguments?", text()),
        ("logprobs?", list(any_object())),
        ("obfuscation?", text()),
    ])
}
