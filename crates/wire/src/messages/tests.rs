//! What is read of requests, and what replies look like to clients.

use mainstay_vocabulary::{
    Content, Item, Object, Role, Usage,
    inference::{Delta, Finished, Stop, TextFormat},
    item::ItemKind,
    tool::ToolChoice,
};
use serde_json::{Value, json};

use super::{Purpose, Reply, object, read};
use crate::stateless::{Call, Pieces};

fn body(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

fn call(value: Value) -> Call {
    read(body(value), Purpose::Answer).unwrap()
}

fn refused(value: Value) -> String {
    read(body(value), Purpose::Answer).unwrap_err().param
}

#[test]
fn a_conversation_with_tools_and_thoughts_is_read() {
    let call = call(json!({
        "model": "m", "max_tokens": 100, "stream": true,
        "system": [{ "type": "text", "text": "be brief", "cache_control": { "type": "ephemeral" } }],
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "look" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AA==" } },
                { "type": "document", "title": "t", "source": { "type": "text", "media_type": "text/plain", "data": "x" } },
            ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "hm", "signature": "YS9i.c2ln" },
                { "type": "redacted_thinking", "data": "other" },
                { "type": "text", "text": "let me see" },
                { "type": "tool_use", "id": "t1", "name": "f", "input": { "a": 1 } },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": true },
                { "type": "text", "text": "go on" },
            ] },
        ],
        "tools": [{ "name": "f", "input_schema": { "type": "object" }, "cache_control": { "type": "ephemeral" } }],
        "tool_choice": { "type": "any", "disable_parallel_tool_use": true },
        "thinking": { "type": "enabled", "budget_tokens": 50 }, "stop_sequences": ["END"], "top_k": 3,
        "metadata": { "user_id": "u" },
        "output_config": { "format": { "type": "json_schema", "schema": {} } },
    }));
    assert_eq!((call.streams, &call.needs), (true, &None));
    let request = &call.request;
    assert_eq!((request.tool_choice.clone(), request.parallel_tool_calls), (ToolChoice::Required, Some(false)));
    assert_eq!((request.reasoning.budget_tokens, request.sampling.top_k), (Some(50), Some(3)));
    assert!(matches!(request.text, TextFormat::JsonSchema { .. }));
    let [system, said, thought, hidden, spoke, called, result, more] = &request.input[..] else {
        panic!("{:?}", request.input)
    };
    assert!(matches!(&**system, Item::Message { role: Role::System, .. }));
    let Item::Message { content, .. } = &**said else { panic!() };
    assert!(matches!(&content[1], Content::Image { url, .. } if url == "data:image/png;base64,AA=="));
    assert!(matches!(&content[2], Content::File { url, .. } if url == "data:text/plain;base64,eA=="));
    let Item::Reasoning { content, opaque: Some(opaque), .. } = &**thought else { panic!() };
    assert_eq!((content[0].as_str(), opaque.deployment.as_str(), opaque.bytes.as_str()), ("hm", "a/b", "c2ln"));
    assert!(matches!(&**hidden, Item::Reasoning { opaque: Some(opaque), .. } if opaque.deployment.is_empty()));
    assert!(matches!(&**spoke, Item::Message { role: Role::Assistant, .. }));
    assert!(matches!(&**called, Item::ToolCall { arguments, .. } if arguments == "{\"a\":1}"));
    assert!(matches!(&**result, Item::ToolResult { error: Some(error), .. } if error == "no"));
    assert!(matches!(&**more, Item::Message { role: Role::User, .. }));
}

#[test]
fn a_signature_of_ours_never_goes_out_verbatim() {
    let signed = |signature: &str, more: Value| {
        let thought = json!([{ "type": "thinking", "thinking": "hm", "signature": signature }]);
        let messages = json!([{ "role": "user", "content": "x" }, { "role": "assistant", "content": thought }]);
        let mut object = json!({ "model": "m", "max_tokens": 1, "messages": messages });
        object.as_object_mut().unwrap().extend(body(more));
        call(object).request.verbatim.is_some()
    };
    assert!(signed("EqQBCkYIARgCKkA=", json!({})), "the vendor's own goes back as it came");
    assert!(!signed("YS9i.c2ln", json!({})));
    assert!(signed("YS9i.c2ln", json!({ "mcp_servers": [{}] })), "what only this format can say is not dropped");
}

#[test]
fn what_only_this_format_can_say_is_noted_and_named() {
    let with = |name: &str, value: Value| {
        let mut object = json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": "x" }] });
        object[name] = value;
        call(object).needs
    };
    assert_eq!(with("mcp_servers", json!([{}])).as_deref(), Some("mcp_servers"));
    assert_eq!(
        with("tools", json!([{ "type": "web_search_20250305", "name": "w" }])).as_deref(),
        Some("tools[0].type")
    );
    let search = json!([{ "role": "user", "content": [{ "type": "search_result" }] }]);
    assert_eq!(with("messages", search).as_deref(), Some("messages[0].content[0].type"));
    for name in ["metadata", "context_management"] {
        assert_eq!(with(name, json!({})), None, "{name}");
    }
    for (tier, needs) in [("auto", None), ("standard_only", None), ("express", Some("service_tier"))] {
        assert_eq!(with("service_tier", json!(tier)).as_deref(), needs, "{tier}");
    }
}

#[test]
fn refusals_name_the_parameter() {
    let with = |name: &str, value: Value| {
        let mut object = json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": "x" }] });
        object[name] = value;
        refused(object)
    };
    assert_eq!(refused(json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] })), "max_tokens");
    assert_eq!(with("messages", json!([])), "messages");
    assert_eq!(with("messages", json!([{ "role": "tool", "content": "x" }])), "messages[0].role");
    let block = |block: Value| json!([{ "role": "user", "content": [block] }]);
    assert_eq!(with("messages", block(json!({ "type": "text" }))), "messages[0].content[0].text");
    let image = block(json!({ "type": "image", "source": { "type": "base64", "data": "AA==" } }));
    assert_eq!(with("messages", image), "messages[0].content[0].source.media_type");
    assert_eq!(with("tools", json!([{ "name": "f" }])), "tools[0].input_schema");
    assert_eq!(with("tool_choice", json!({ "type": "tool", "name": "g" })), "tool_choice.name");
    assert_eq!(with("thinking", json!({ "type": "enabled" })), "thinking.budget_tokens");
    assert_eq!(with("temperature", json!(1.5)), "temperature");
    let count = body(json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] }));
    assert!(read(count, Purpose::Count).is_ok(), "counting needs no limit");
}

fn deltas() -> Vec<Delta> {
    let call = ItemKind::ToolCall { name: "f".to_owned(), provider_call_id: Some("toolu_9".to_owned()) };
    let text = |index, text: &str| Delta::Text { index, text: text.to_owned() };
    vec![
        Delta::Started { index: 0, kind: ItemKind::Reasoning },
        text(0, "hm"),
        Delta::Started { index: 1, kind: ItemKind::Message },
        text(1, "h"),
        Delta::Done { index: 0, opaque: Some("sig".to_owned()) },
        text(1, "i"),
        Delta::Started { index: 2, kind: call },
        text(2, "{\"a\":1}"),
        Delta::Done { index: 1, opaque: None },
        Delta::Done { index: 2, opaque: None },
    ]
}

fn finished(stop: Stop) -> Finished {
    let usage = Some(Usage { input: 10, cached_input: 4, cache_write: 1, output: 5, ..Usage::default() });
    Finished { stop, usage, model: None, reported: Object::new() }
}

fn events(text: &str) -> Vec<Value> {
    let frames = text.split_terminator("\n\n").map(|frame| {
        let (event, data) = frame.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event.strip_prefix("event: "), data["type"].as_str());
        data
    });
    frames.collect()
}

#[test]
fn blocks_of_a_stream_come_one_after_the_other() {
    let mut reply = Reply::new("msg_1", "m", "a/b");
    let mut text: String = deltas().iter().map(|delta| reply.delta(delta)).collect();
    text.push_str(&reply.finish(&finished(Stop::ToolCalls)));
    let names: Vec<String> = events(&text)
        .iter()
        .map(|event| {
            let index = event["index"].as_u64().map_or(String::new(), |index| format!(" {index}"));
            let delta = event["delta"]["type"].as_str().map_or(String::new(), |delta| format!(" {delta}"));
            format!("{}{index}{delta}", event["type"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start 0",
            "content_block_delta 0 thinking_delta",
            "content_block_delta 0 signature_delta",
            "content_block_stop 0",
            "content_block_start 1",
            "content_block_delta 1 text_delta",
            "content_block_delta 1 text_delta",
            "content_block_stop 1",
            "content_block_start 2",
            "content_block_delta 2 input_json_delta",
            "content_block_stop 2",
            "message_delta",
            "message_stop",
        ]
    );
    let last = &events(&text)[12];
    assert_eq!(last["delta"]["stop_reason"], "tool_use");
    assert_eq!((&last["usage"]["input_tokens"], &last["usage"]["cache_read_input_tokens"]), (&json!(5), &json!(4)));
}

#[test]
fn an_object_holds_the_same() {
    let mut pieces = Pieces::default();
    deltas().iter().for_each(|delta| pieces.take(delta));
    let mut finished = finished(Stop::Sequence("END".to_owned()));
    finished.reported.insert("service_tier".to_owned(), json!("default"));
    let object = object("msg_1", "m", "a/b", (&pieces, &finished));
    assert_eq!(object["content"][0]["signature"], "YS9i.sig");
    assert_eq!(object["usage"]["service_tier"], "standard", "the other vendor's word for the same");
    assert_eq!(object["content"][2], json!({ "type": "tool_use", "id": "toolu_9", "name": "f", "input": { "a": 1 } }));
    assert_eq!((&object["stop_reason"], &object["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
}

#[test]
fn a_stream_that_ends_with_open_items_closes_them() {
    let mut reply = Reply::new("msg_1", "m", "a/b");
    let open = deltas().into_iter().filter(|delta| !matches!(delta, Delta::Done { .. }));
    let mut text: String = open.map(|delta| reply.delta(&delta)).collect();
    text.push_str(&reply.finish(&finished(Stop::MaxOutputTokens)));
    let events = events(&text);
    let count = |name: &str| events.iter().filter(|event| event["type"] == name).count();
    assert_eq!((count("content_block_start"), count("content_block_stop"), count("message_stop")), (3, 3, 1));
}
