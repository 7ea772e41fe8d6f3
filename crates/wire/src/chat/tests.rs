//! What is read of requests, and what replies look like to clients.

use mainstay_vocabulary::{
    Content, Item, Object, Usage,
    inference::{Delta, Finished, Stop, TextFormat},
    item::{ItemKind, ToolOutput},
    tool::ToolChoice,
};
use serde_json::{Value, json};

use super::{Options, Reply, object, read};
use crate::stateless::{Call, Pieces};

fn body(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

fn call(value: Value) -> Call {
    read(body(value)).unwrap().0
}

/// The parameter that is refused.
fn refused(value: Value) -> String {
    read(body(value)).unwrap_err().param
}

#[test]
fn a_conversation_with_tools_is_read() {
    let call = call(json!({
        "model": "m", "messages": [
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": [
                { "type": "text", "text": "look" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==", "detail": "low" } },
                { "type": "file", "file": { "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf" } },
                { "type": "file", "file": { "file_id": "file-1" } },
            ] },
            { "role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } },
            ] },
            { "role": "tool", "tool_call_id": "c1", "content": "42" },
        ],
        "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }],
        "tool_choice": { "type": "function", "function": { "name": "f" } },
        "response_format": { "type": "json_schema", "json_schema": { "name": "s", "schema": {}, "strict": true } },
        "stop": "END", "max_tokens": 7, "max_completion_tokens": 9, "logprobs": true, "seed": -3, "top_k": 5,
        "user": "u", "metadata": {}, "n": 1, "stream": true,
    }));
    assert_eq!((call.model.as_str(), call.streams, &call.needs), ("m", true, &None));
    let request = &call.request;
    assert_eq!(request.tool_choice, ToolChoice::Function("f".to_owned()));
    assert_eq!(request.sampling.max_output_tokens, Some(9));
    assert_eq!(request.sampling.stop, ["END"]);
    assert_eq!((request.sampling.top_logprobs, request.sampling.seed), (Some(0), Some(-3)));
    assert!(matches!(&request.text, TextFormat::JsonSchema { strict: Some(true), .. }));
    let kinds: Vec<&str> = request.input.iter().map(|item| kind(item)).collect();
    assert_eq!(kinds, ["message", "message", "reasoning", "call", "result"]);
    let Item::Message { content, .. } = &*request.input[1] else { panic!() };
    assert!(matches!(&content[2], Content::File { name: Some(name), .. } if name == "a.pdf"));
    assert!(matches!(&content[3], Content::File { url, .. } if url == "mainstay:file-1"));
    let Item::ToolResult { output, .. } = &*request.input[4] else { panic!() };
    assert_eq!(*output, ToolOutput::Text("42".to_owned()));
    assert_eq!(request.verbatim.as_ref().unwrap().body["user"], "u", "the client's body goes along as it is");
}

fn kind(item: &Item) -> &'static str {
    match item {
        Item::Message { .. } => "message",
        Item::Reasoning { .. } => "reasoning",
        Item::ToolCall { .. } => "call",
        Item::ToolResult { .. } => "result",
        Item::Compaction { .. } | Item::Other(_) => "other",
    }
}

#[test]
fn what_only_this_format_can_say_is_noted_and_named() {
    let with = |name: &str, value: Value| {
        let mut object = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
        object[name] = value;
        call(object).needs
    };
    assert_eq!(with("logit_bias", json!({ "1": 2 })).as_deref(), Some("logit_bias"));
    assert_eq!(with("n", json!(2)).as_deref(), Some("n"));
    assert_eq!(with("modalities", json!(["text", "audio"])).as_deref(), Some("modalities"));
    assert_eq!(with("tools", json!([{ "type": "custom", "custom": {} }])).as_deref(), Some("tools[0].type"));
    let audio = json!([{ "role": "user", "content": [{ "type": "input_audio", "input_audio": {} }] }]);
    assert_eq!(with("messages", audio).as_deref(), Some("messages[0].content[0].type"));
    for (name, value) in [("store", json!(true)), ("modalities", json!(["text"])), ("logit_bias", Value::Null)] {
        assert_eq!(with(name, value), None, "{name}");
    }
}

#[test]
fn refusals_name_the_parameter() {
    let messages = json!([{ "role": "user", "content": "x" }]);
    let with = |name: &str, value: Value| {
        let mut object = json!({ "model": "m", "messages": messages });
        object[name] = value;
        refused(object)
    };
    assert_eq!(refused(json!({})), "model");
    assert_eq!(refused(json!({ "model": "m" })), "messages");
    assert_eq!(with("model", json!("")), "model");
    assert_eq!(with("messages", json!([])), "messages");
    assert_eq!(with("messages", json!([{ "role": "owner", "content": "x" }])), "messages[0].role");
    assert_eq!(with("messages", json!([{ "role": "user" }])), "messages[0].content");
    assert_eq!(with("messages", json!([{ "role": "tool", "content": "x" }])), "messages[0].tool_call_id");
    assert_eq!(with("temperature", json!(3)), "temperature");
    assert_eq!(with("stop", json!(["a", "b", "c", "d", "e"])), "stop");
    assert_eq!(with("top_logprobs", json!(2)), "top_logprobs");
    assert_eq!(with("tools", json!([{ "type": "function" }])), "tools[0].function");
    assert_eq!(with("tool_choice", json!("maybe")), "tool_choice");
    assert_eq!(with("response_format", json!({ "type": "xml" })), "response_format.type");
    assert_eq!(with("seed", json!(1.5)), "seed");
}

fn deltas() -> Vec<Delta> {
    let call = ItemKind::ToolCall { name: "f".to_owned(), provider_call_id: None };
    let text = |index, text: &str| Delta::Text { index, text: text.to_owned() };
    vec![
        Delta::Started { index: 0, kind: ItemKind::Reasoning },
        text(0, "hm"),
        Delta::Done { index: 0, opaque: None },
        Delta::Started { index: 1, kind: ItemKind::Message },
        Delta::Logprobs { index: 1, logprobs: json!([{ "token": "h", "logprob": -1.0 }]) },
        text(1, "hi"),
        Delta::Done { index: 1, opaque: None },
        Delta::Started { index: 2, kind: call },
        text(2, "{\"a\":"),
        text(2, "1}"),
        Delta::Done { index: 2, opaque: None },
    ]
}

fn finished() -> Finished {
    let usage = Some(Usage { input: 10, cached_input: 4, output: 5, reasoning: 2, ..Usage::default() });
    Finished { stop: Stop::ToolCalls, usage, model: None, reported: Object::new() }
}

#[test]
fn a_stream_adds_up_to_the_object() {
    let mut reply = Reply::new("chatcmpl-1", "m", 7, Options { include_usage: true });
    let mut text: String = deltas().iter().map(|delta| reply.delta(delta)).collect();
    text.push_str(&reply.finish(&finished()));
    let chunks: Vec<Value> =
        text.split_terminator("\n\n").map(|frame| serde_json::from_str(&frame["data: ".len()..]).unwrap()).collect();
    let joined = |name: &str| -> String {
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"][name].as_str()).collect()
    };
    assert_eq!((joined("content"), joined("reasoning_content")), ("hi".to_owned(), "hm".to_owned()));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let calls: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| !call.is_null())
        .collect();
    assert_eq!((calls[0]["id"].as_str(), calls[0]["index"].as_u64()), (Some("call_1_0"), Some(0)));
    let arguments: String = calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(arguments, "{\"a\":1}");
    let last = &chunks[chunks.len() - 1];
    assert_eq!((last["choices"].as_array().unwrap().len(), &last["usage"]["total_tokens"]), (0, &json!(15)));
    let reasons: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert_eq!(reasons.iter().filter(|reason| !reason.is_null()).count(), 1);

    let mut pieces = Pieces::default();
    deltas().iter().for_each(|delta| pieces.take(delta));
    let mut finished = finished();
    finished.reported.insert("service_tier".to_owned(), json!("standard"));
    let object = object("chatcmpl-1", 7, "m", (&pieces, &finished));
    assert_eq!(object["service_tier"], "default", "the other vendor's word for the same");
    let message = &object["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("hi"), &json!("hm")));
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], "{\"a\":1}");
    assert_eq!(object["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(object["choices"][0]["logprobs"]["content"][0]["token"], "h");
    assert_eq!(object["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
    assert_eq!(chunks.iter().filter(|chunk| !chunk["choices"][0]["logprobs"].is_null()).count(), 1);
}

#[test]
fn usage_comes_only_where_it_was_asked_for() {
    let mut reply = Reply::new("chatcmpl-1", "m", 7, Options::default());
    let text = reply.finish(&finished());
    assert!(!text.contains("usage") && text.contains("\"finish_reason\":\"tool_calls\""), "{text}");
}
