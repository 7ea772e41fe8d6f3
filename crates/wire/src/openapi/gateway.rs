//! Schemas of inferences without a session. Bodies name what has a meaning for every upstream; other fields are handed
//! on to an upstream of the same format and refused where there is none.

use serde_json::{Value, json};

use super::schema::{any_object, any_of, choice, constant, count, flag, list, nullable, number, object, text};

/// All of them.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let error = object([("type", text()), ("message", text()), ("details?", any_object())]);
    let anthropic_error = object([("type", constant("error")), ("error", error), ("request_id", nullable(text()))]);
    let event = json!({ "type": "object", "required": ["type"], "properties": { "type": text() } });
    vec![
        ("AnthropicError", anthropic_error),
        ("ChatBody", chat_body()),
        ("ChatCompletion", completion("chat.completion", "message")),
        ("ChatCompletionChunk", completion("chat.completion.chunk", "delta")),
        ("MessagesBody", messages_body(true)),
        ("CountBody", messages_body(false)),
        ("Message", message()),
        ("MessageEvent", event),
        ("TokenCount", object([("input_tokens", count())])),
        ("EmbeddingsBody", embeddings_body()),
        ("EmbeddingList", embeddings()),
    ]
}

fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256 })
}

/// An object that says what it is.
fn typed() -> Value {
    json!({ "type": "object", "required": ["type"], "properties": { "type": text() } })
}

fn at_least_one() -> Value {
    json!({ "type": "integer", "minimum": 1 })
}

fn chat_body() -> Value {
    let content = any_of([text(), list(any_object())]);
    let said = object([("role", choice(&["system", "developer", "user"])), ("content", content.clone())]);
    let answer = object([("role", constant("assistant")), ("content?", nullable(content.clone()))]);
    let result = object([("role", constant("tool")), ("tool_call_id", text()), ("content", content)]);
    let messages = json!({ "type": "array", "minItems": 1, "items": any_of([said, answer, result]) });
    object([
        ("model", name()),
        ("messages", messages),
        ("stream?", nullable(flag())),
        ("stream_options?", nullable(object([("include_usage?", nullable(flag()))]))),
        ("max_completion_tokens?", nullable(at_least_one())),
        ("max_tokens?", nullable(at_least_one())),
        ("temperature?", nullable(number(0.0, 2.0))),
        ("top_p?", nullable(number(0.0, 1.0))),
        ("presence_penalty?", nullable(number(-2.0, 2.0))),
        ("frequency_penalty?", nullable(number(-2.0, 2.0))),
        ("tools?", nullable(list(any_object()))),
        ("tool_choice?", any_of([text(), any_object(), json!({ "type": "null" })])),
        ("parallel_tool_calls?", nullable(flag())),
        ("response_format?", nullable(typed())),
        ("reasoning_effort?", nullable(text())),
    ])
}

fn completion(kind: &str, part: &str) -> Value {
    let choice = json!({
        "type": "object", "required": ["index", part, "finish_reason"],
        "properties": { "index": count(), part: any_object(), "finish_reason": nullable(text()) },
    });
    object([
        ("id", text()),
        ("object", constant(kind)),
        ("created", count()),
        ("model", text()),
        ("choices", list(choice)),
        ("usage?", nullable(any_object())),
    ])
}

fn messages_body(answers: bool) -> Value {
    let content = any_of([text(), list(any_object())]);
    let message = object([("role", choice(&["user", "assistant"])), ("content", content.clone())]);
    let limit = if answers { "max_tokens" } else { "max_tokens?" };
    object([
        ("model", name()),
        ("messages", json!({ "type": "array", "minItems": 1, "items": message })),
        (limit, at_least_one()),
        ("system?", any_of([content, json!({ "type": "null" })])),
        ("stream?", nullable(flag())),
        ("temperature?", nullable(number(0.0, 1.0))),
        ("top_p?", nullable(number(0.0, 1.0))),
        ("top_k?", nullable(count())),
        ("stop_sequences?", nullable(list(text()))),
        ("tools?", nullable(list(any_object()))),
        ("tool_choice?", nullable(any_object())),
        ("thinking?", nullable(typed())),
        ("metadata?", nullable(any_object())),
    ])
}

fn message() -> Value {
    object([
        ("id", text()),
        ("type", constant("message")),
        ("role", constant("assistant")),
        ("model", text()),
        ("content", list(any_object())),
        ("stop_reason", nullable(text())),
        ("stop_sequence", nullable(text())),
        ("usage", any_object()),
    ])
}

fn embeddings_body() -> Value {
    let texts = json!({ "type": "array", "minItems": 1, "maxItems": 2048, "items": name() });
    object([
        ("model", name()),
        ("input", any_of([json!({ "type": "string", "minLength": 1 }), texts])),
        ("dimensions?", nullable(at_least_one())),
        ("encoding_format?", nullable(choice(&["float", "base64"]))),
    ])
}

fn embeddings() -> Value {
    let vector = any_of([list(json!({ "type": "number" })), text()]);
    let embedding = object([("object", constant("embedding")), ("index", count()), ("embedding", vector)]);
    let usage = object([("prompt_tokens", count()), ("total_tokens", count())]);
    object([("object", constant("list")), ("data", list(embedding)), ("model", text()), ("usage", usage)])
}
