//! Reading requests: what is taken, what is refused and by which name, and that nothing strange breaks the reader.

use mainstay_session::{
    event::Task,
    spec::{CallMode, Compaction, Interruption, Limits, Retention, Truncation},
};
use mainstay_vocabulary::{
    CallId, Content, Item, ItemId, Object, Role, Sequence, SessionId, Shard, TurnId,
    inference::{Format, TextFormat},
    item::{ItemStatus, ToolOutput},
    tool::ToolChoice,
};
use serde_json::{Value, json};

use crate::fields::Invalid;
use crate::{
    conversations::{CreateConversation, read_items, read_update},
    responses::{
        CreateResponse,
        input::Element,
        item::{Shape, item_json},
        page::{Page, list_json},
    },
};

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

fn with(extra: Value) -> Object {
    let mut body = object(json!({ "model": "m", "input": "hi" }));
    body.extend(object(extra));
    body
}

fn read(extra: Value) -> Result<CreateResponse, Invalid> {
    CreateResponse::read(with(extra), Limits::default())
}

fn turn() -> TurnId {
    TurnId { session: SessionId::new(Shard(0), [1; 16]), sequence: Sequence(4) }
}

fn item_id() -> ItemId {
    ItemId { session: turn().session, sequence: Sequence(7), ordinal: 1 }
}

fn items(value: Value) -> Vec<Item> {
    let input = read(json!({ "input": value })).unwrap().input;
    let item = |element| match element {
        Element::Item(item) => *item,
        Element::Reference(..) => panic!("a reference"),
    };
    input.into_iter().map(item).collect()
}

#[test]
fn the_least_request_has_the_vendors_defaults() {
    let request = read(json!({})).unwrap();
    let spec = &request.spec;
    assert_eq!((spec.calls, spec.interruption, spec.retention), (CallMode::Yield, Interruption::End, Retention::Keep));
    assert_eq!((request.stream, request.background, request.conversation), (false, false, None));
    assert_eq!(request.options, mainstay_session::event::TurnOptions::default());
    let said = Item::Message { role: Role::User, content: vec![Content::Text("hi".to_owned())], phase: None };
    assert_eq!(request.input, [Element::Item(Box::new(said))]);
}

#[test]
fn explicit_nulls_count_as_absent() {
    let names = [
        "background",
        "conversation",
        "include",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
        "moderation",
        "context_management",
        "something_new",
    ];
    let nulls: Object = names.into_iter().map(|name| (name.to_owned(), Value::Null)).collect();
    assert_eq!(read(Value::Object(nulls)).unwrap(), read(json!({})).unwrap());
    let inner =
        json!({ "reasoning": { "effort": null, "summary": null }, "text": { "format": null, "verbosity": null } });
    assert_eq!(read(inner).unwrap(), read(json!({})).unwrap());
}

#[test]
fn refusals_name_the_parameter() {
    let (resp, conv) = (format!("resp_{}", turn()), format!("conv_{}", turn().session));
    let function = json!({ "type": "function", "name": "add" });
    let cases = [
        (json!({ "model": null }), "model", "missing_required_parameter"),
        (json!({ "model": 3 }), "model", "invalid_type"),
        (json!({ "model": "" }), "model", "invalid_value"),
        (json!({ "input": null }), "input", "missing_required_parameter"),
        (json!({ "input": 3 }), "input", "invalid_type"),
        (json!({ "input": [3] }), "input[0]", "invalid_type"),
        (json!({ "input": [{}] }), "input[0].type", "missing_required_parameter"),
        (json!({ "input": [{ "role": "user" }] }), "input[0].content", "missing_required_parameter"),
        (json!({ "input": [{ "role": "boss", "content": "x" }] }), "input[0].role", "invalid_value"),
        (
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_text" }] }] }),
            "input[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            json!({ "input": [{ "type": "function_call_output", "output": "x" }] }),
            "input[0].call_id",
            "missing_required_parameter",
        ),
        (json!({ "input": [{ "type": "item_reference", "id": "msg_1" }] }), "input[0].id", "item_not_found"),
        (json!({ "input": [{ "type": "compaction_trigger" }, "x"] }), "input[0].type", "invalid_value"),
        (
            json!({ "input": [{ "type": "compaction", "encrypted_content": "gAAAAAB" }] }),
            "input[0].encrypted_content",
            "invalid_value",
        ),
        (
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_image" }] }] }),
            "input[0].content[0].image_url",
            "missing_required_parameter",
        ),
        (
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_file", "file_id": "a", "file_url": "b" }] }] }),
            "input[0].content[0].type",
            "invalid_value",
        ),
        (json!({ "stream": "yes" }), "stream", "invalid_type"),
        (json!({ "background": true, "store": false }), "background", "invalid_value"),
        (
            json!({ "previous_response_id": resp, "conversation": conv }),
            "conversation",
            "mutually_exclusive_parameters",
        ),
        (json!({ "previous_response_id": "resp_1" }), "previous_response_id", "previous_response_not_found"),
        (json!({ "previous_response_id": conv }), "previous_response_id", "previous_response_not_found"),
        (json!({ "conversation": { "id": "conv_1" } }), "conversation", "conversation_not_found"),
        (json!({ "conversation": conv, "store": false }), "store", "invalid_value"),
        (json!({ "temperature": 2.1 }), "temperature", "invalid_value"),
        (json!({ "temperature": "hot" }), "temperature", "invalid_type"),
        (json!({ "top_p": -0.1 }), "top_p", "invalid_value"),
        (json!({ "max_output_tokens": 0 }), "max_output_tokens", "invalid_value"),
        (json!({ "max_output_tokens": 1.5 }), "max_output_tokens", "invalid_value"),
        (json!({ "max_output_tokens": -1 }), "max_output_tokens", "invalid_value"),
        (json!({ "metadata": { "k": 1 } }), "metadata.k", "invalid_type"),
        (json!({ "metadata": { "k": "v".repeat(513) } }), "metadata.k", "invalid_value"),
        (json!({ "truncation": "some" }), "truncation", "invalid_value"),
        (json!({ "include": ["all"] }), "include", "invalid_value"),
        (json!({ "top_logprobs": 21 }), "top_logprobs", "invalid_value"),
        (json!({ "prompt": { "id": "p" } }), "prompt", "unsupported_parameter"),
        (json!({ "context_management": [{ "type": "cut" }] }), "context_management[0].type", "invalid_value"),
        (
            json!({ "context_management": [{ "type": "compaction", "compact_threshold": 999 }] }),
            "context_management[0].compact_threshold",
            "invalid_value",
        ),
        (json!({ "service_tier": "warp" }), "service_tier", "invalid_value"),
        (json!({ "moderation": { "model": "x" } }), "moderation", "unsupported_parameter"),
        (json!({ "seed": 1 }), "seed", "unsupported_parameter"),
        (json!({ "reasoning": { "mode": "pro" } }), "reasoning.mode", "unsupported_parameter"),
        (
            json!({ "prompt_cache_options": { "prewarm": true } }),
            "prompt_cache_options.prewarm",
            "unsupported_parameter",
        ),
        (
            json!({ "text": { "format": { "type": "json_schema", "name": "x" } } }),
            "text.format.schema",
            "missing_required_parameter",
        ),
        (json!({ "text": { "format": { "type": "xml" } } }), "text.format.type", "invalid_value"),
        (json!({ "tools": [{ "type": "function" }] }), "tools[0].name", "missing_required_parameter"),
        (json!({ "tools": [function, function] }), "tools[1].name", "invalid_value"),
        (json!({ "tools": {} }), "tools", "invalid_type"),
        (json!({ "tool_choice": "required" }), "tool_choice", "invalid_value"),
        (json!({ "tool_choice": { "type": "function", "name": "add" } }), "tool_choice", "invalid_value"),
        (json!({ "tool_choice": { "type": "web_search" } }), "tool_choice", "unsupported_parameter"),
        (json!({ "user": 3 }), "user", "invalid_type"),
        (json!({ "user": "x".repeat(5_000) }), "user", "invalid_value"),
    ];
    for (body, param, code) in cases {
        let invalid = read(body.clone()).unwrap_err();
        assert_eq!((invalid.param.as_str(), invalid.code), (param, code), "{body}");
    }
}

#[test]
fn a_full_request_is_taken_over_and_shown_again() {
    let request = read(json!({
        "instructions": "be brief", "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 100.0,
        "presence_penalty": 1, "parallel_tool_calls": false, "reasoning": { "effort": "low", "generate_summary": "auto" },
        "text": { "verbosity": "low", "format": { "type": "json_schema", "name": "n", "schema": { "type": "object" } } },
        "tools": [
            { "type": "web_search" },
            { "type": "function", "name": "add", "parameters": { "type": "object" }, "strict": true, "async": true },
        ],
        "tool_choice": { "type": "allowed_tools", "mode": "required", "tools": [{ "type": "function", "name": "add" }] },
        "metadata": { "a": "b" }, "user": "u", "safety_identifier": "s", "truncation": "auto", "stream": true,
        "include": ["reasoning.encrypted_content"], "stream_options": { "include_obfuscation": true },
        "client_metadata": { "kept": true },
    }))
    .unwrap();
    let spec = &request.spec;
    assert_eq!(spec.instructions.as_deref(), Some("be brief"));
    assert_eq!((spec.sampling.max_output_tokens, spec.sampling.presence_penalty), (Some(100), Some(1.0)));
    assert_eq!(spec.reasoning.summary.as_deref(), Some("auto"));
    assert!(matches!(&spec.text, TextFormat::JsonSchema { name, strict: None, .. } if name == "n"));
    assert_eq!(spec.tools.len(), 1);
    assert_eq!(spec.tools[0].rest["async"], true);
    assert_eq!(spec.tool_choice, ToolChoice::Allowed { names: vec!["add".to_owned()], required: true });
    assert_eq!(spec.echo["tools"].as_array().unwrap().len(), 2);
    assert_eq!(request.options.echo["rest"]["client_metadata"]["kept"], true);
    assert_eq!(request.shape, Shape { encrypted: true, obfuscated: true });
    let head = crate::responses::Head {
        turn: turn(),
        created_at: mainstay_vocabulary::Timestamp(5_000),
        spec: request.spec.clone(),
        options: request.options.clone(),
        conversation: None,
    };
    let shown = crate::responses::View::without_frames(head, request.shape).object();
    assert_eq!(shown["tools"][0]["type"], "web_search");
    assert_eq!(shown["text"]["verbosity"], "low");
    assert_eq!((&shown["metadata"]["a"], &shown["user"]), (&json!("b"), &json!("u")));
    assert_eq!((&shown["truncation"], &shown["tool_choice"]["mode"]), (&json!("auto"), &json!("required")));
}

#[test]
fn what_only_the_same_format_knows_is_sent_there() {
    let request = read(json!({
        "service_tier": "flex", "prompt_cache_key": "k", "prompt_cache_retention": "24h", "user": "u",
        "text": { "verbosity": "low" }, "metadata": { "ours": "alone" },
    }));
    let spec = request.unwrap().spec;
    assert_eq!(spec.service_tier.as_deref(), Some("flex"), "every format has a word for it");
    assert_eq!(read(json!({ "service_tier": "auto" })).unwrap().spec.service_tier, None);
    let extra = spec.extra.clone().unwrap();
    assert_eq!(extra.format, Format::OpenAiResponses);
    let sent = json!({
        "user": "u", "prompt_cache_key": "k", "prompt_cache_retention": "24h", "text": { "verbosity": "low" },
    });
    assert_eq!(Value::Object(extra.fields.clone()), sent);
    assert_eq!(read(json!({})).unwrap().spec.extra, None);
}

#[test]
fn log_probabilities_are_asked_for_by_either_name() {
    let asked = |extra| read(extra).unwrap().spec.sampling.top_logprobs;
    let include = json!(["message.output_text.logprobs"]);
    assert_eq!(asked(json!({ "include": include })), Some(0));
    assert_eq!(asked(json!({ "include": include, "top_logprobs": 3 })), Some(3));
    assert_eq!(asked(json!({ "top_logprobs": 3 })), Some(3));
    assert_eq!(asked(json!({ "top_logprobs": 0 })), None);
}

#[test]
fn a_compaction_is_asked_for_in_three_ways() {
    let managed =
        read(json!({ "context_management": [{ "type": "compaction", "compact_threshold": 2_000 }] })).unwrap();
    assert_eq!(managed.spec.compaction, Some(Compaction { threshold_tokens: Some(2_000) }));
    assert_eq!(managed.options.task, Task::Answer);
    let open = read(json!({ "context_management": [{ "type": "compaction" }] })).unwrap();
    assert_eq!(open.spec.compaction, Some(Compaction { threshold_tokens: None }));
    let triggered = read(json!({ "input": [{ "role": "user", "content": "x" }, { "type": "compaction_trigger" }] }));
    let triggered = triggered.unwrap();
    assert_eq!((triggered.options.task, triggered.input.len()), (Task::Compact, 1));
    let alone = |extra| CreateResponse::read_compaction(with(extra), Limits::default());
    let request = alone(json!({ "prompt_cache_key": "k" })).unwrap();
    assert_eq!((request.options.task, request.is_ephemeral()), (Task::Compact, true));
    assert!(alone(json!({ "input": null, "previous_response_id": format!("resp_{}", turn()) })).is_ok());
    for name in ["stream", "background", "store", "conversation"] {
        assert_eq!(alone(json!({ name: true })).unwrap_err().param, name);
    }
    assert_eq!(read(json!({ "truncation": "auto" })).unwrap().spec.truncation, Truncation::Auto);
}

#[test]
fn a_digest_comes_back_as_it_went() {
    let digest = Item::Compaction { text: "They agreed: Tuesday – 🦀".to_owned() };
    let shown = item_json(item_id(), &digest, ItemStatus::Completed, Shape::default());
    assert!(shown["id"].as_str().unwrap().starts_with("cmp_"));
    assert_eq!(items(json!([shown])), [digest]);
    for foreign in ["", "mainstay-digest-1.", "mainstay-digest-1.!", "bWFpbnN0YXk", "mainstay-digest-1._w"] {
        let read = read(json!({ "input": [{ "type": "compaction", "encrypted_content": foreign }] }));
        let is_empty = foreign == "mainstay-digest-1.";
        assert_eq!(read.is_ok(), is_empty, "{foreign}");
    }
}

#[test]
fn a_file_without_a_type_gets_one_by_its_name() {
    for (name, url) in [("a.txt", "data:text/plain;base64,AA=="), ("a", "data:application/pdf;base64,AA==")] {
        let part = json!({ "type": "input_file", "file_data": "AA==", "filename": name });
        let said = items(json!([{ "role": "user", "content": [part] }]));
        assert!(matches!(&said[0], Item::Message { content, .. }
            if matches!(&content[0], Content::File { url: found, .. } if found == url)));
    }
}

#[test]
fn input_items_of_every_kind_are_read_and_shown_again() {
    let part = json!({ "type": "input_text", "text": "t" });
    let file = json!({ "type": "input_file", "file_id": "file_1" });
    let pdf = json!({ "type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf" });
    let far = json!({ "type": "input_file", "file_url": "https://example.com/a.pdf" });
    let said = [
        json!({ "type": "message", "role": "user", "content": [part, file, pdf, far] }),
        json!({ "type": "message", "role": "user", "content": [
            { "type": "input_image", "file_id": "file_2", "detail": "auto" },
        ] }),
        json!({ "type": "message", "role": "assistant", "phase": "commentary", "content": [
            { "type": "output_text", "text": "a", "annotations": [], "logprobs": [] }, { "type": "refusal", "refusal": "r" },
        ] }),
        json!({ "type": "message", "role": "user", "content": [
            { "type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low" },
        ] }),
        json!({ "type": "function_call", "call_id": "c", "name": "add", "arguments": "{" }),
        json!({ "type": "function_call_output", "call_id": "c", "output": "3" }),
        json!({ "type": "function_call_output", "call_id": "d", "output": [part] }),
        json!({ "type": "reasoning", "summary": [{ "type": "summary_text", "text": "s" }],
            "content": [{ "type": "reasoning_text", "text": "r" }] }),
        json!({ "type": "custom_tool_call", "call_id": "x", "name": "n", "input": "verbatim" }),
    ];
    for (sent, item) in said.iter().zip(items(json!(said))) {
        let shown = item_json(item_id(), &item, ItemStatus::Completed, Shape::default());
        assert_eq!(shown["status"], "completed");
        assert!(shown["id"].as_str().unwrap().ends_with(&item_id().to_string()), "{shown}");
        for (key, value) in sent.as_object().unwrap() {
            assert_eq!(&shown[key], value, "{key} of {sent}");
        }
    }
    let easy = items(json!([{ "role": "developer", "content": "x" }]));
    assert!(matches!(&easy[0], Item::Message { role: Role::Developer, content, .. } if content.len() == 1));
    let result = items(json!([{ "type": "function_call_output", "call_id": "c", "output": "" }]));
    let output = ToolOutput::Text(String::new());
    assert_eq!(result, [Item::ToolResult { call_id: CallId("c".to_owned()), output, error: None }]);
}

#[test]
fn references_are_left_to_be_looked_up() {
    let id = format!("msg_{}", item_id());
    for reference in
        [json!({ "type": "item_reference", "id": id }), json!({ "id": id }), json!({ "type": null, "id": id })]
    {
        let input = read(json!({ "input": [reference] })).unwrap().input;
        assert_eq!(input, [Element::Reference(item_id(), "input[0].id".to_owned())]);
    }
}

#[test]
fn encrypted_content_comes_back_as_it_went() {
    let item = Item::Reasoning {
        content: Vec::new(),
        summary: Vec::new(),
        opaque: Some(mainstay_vocabulary::item::Opaque { deployment: "a.b/c".to_owned(), bytes: "x.y=".to_owned() }),
    };
    let shape = Shape { encrypted: true, obfuscated: false };
    let shown = item_json(item_id(), &item, ItemStatus::Completed, shape);
    assert_eq!(items(json!([shown])), [item]);
    let foreign = items(json!([{ "type": "reasoning", "summary": [], "encrypted_content": "gAAAAA==" }]));
    assert!(matches!(&foreign[0], Item::Reasoning { opaque: Some(opaque), .. } if opaque.deployment.is_empty()));
}

#[test]
fn nothing_strange_breaks_the_reader() {
    let strange = [
        json!(true),
        json!(-1),
        json!(1e308),
        json!(""),
        json!("\u{0}\u{10ffff}"),
        json!([]),
        json!({}),
        json!([null]),
        json!([[]]),
        json!([{}]),
        json!([{ "type": [] }]),
        json!({ "type": {} }),
        json!({ "id": 3 }),
        json!({ "": "" }),
        json!([{ "type": "message", "role": "user", "content": [[], 3, null] }]),
        json!(u64::MAX),
        json!("é".repeat(5_000)),
        json!([{ "type": "reasoning", "summary": "x" }]),
        json!({ "format": 3 }),
        json!({ "format": { "type": 1 } }),
    ];
    let names = [
        "model",
        "input",
        "stream",
        "store",
        "background",
        "conversation",
        "previous_response_id",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "include",
        "metadata",
        "temperature",
        "max_output_tokens",
        "user",
        "prompt_cache_options",
        "stream_options",
        "truncation",
        "instructions",
        "service_tier",
        "anything",
    ];
    let mut refused = 0;
    for name in names {
        for value in &strange {
            if let Err(invalid) = read(json!({ name: value })) {
                assert!(invalid.param.starts_with(name), "{name} = {value}: {invalid:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > names.len() * strange.len() / 2);
    let many = json!({ "input": vec![json!({ "role": "user", "content": "x" }); 5_000] });
    assert_eq!(read(many).unwrap_err().param, "input");
}

#[test]
fn conversations_are_read() {
    let body = json!({ "items": [{ "role": "user", "content": "x" }], "metadata": { "a": "b" } });
    let request = CreateConversation::read(object(body)).unwrap();
    assert_eq!((request.items.len(), &request.metadata["a"]), (1, &json!("b")));
    assert_eq!(CreateConversation::read(object(json!({ "items": null }))).unwrap().items, []);
    assert_eq!(CreateConversation::read(object(json!({ "items": 3 }))).unwrap_err().param, "items");
    assert_eq!(read_update(Object::new()).unwrap_err().param, "metadata");
    assert_eq!(read_update(object(json!({ "metadata": null }))).unwrap(), Object::new());
    assert_eq!(read_items(object(json!({ "items": [] }))).unwrap_err().param, "items");
    assert_eq!(read_items(object(json!({ "items": [{ "role": 1 }] }))).unwrap_err().param, "items[0].role");
}

#[test]
fn pages_cover_a_list_once_in_either_order() {
    let id = |ordinal| ItemId { ordinal, ..item_id() };
    let said = |text: String| Item::Message { role: Role::User, content: vec![Content::Text(text)], phase: None };
    let all: Vec<_> = (0..7).map(|index| (id(index), Box::new(said(index.to_string())))).collect();
    for ascending in [true, false] {
        for limit in 1..9 {
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let page = Page { after, limit, ascending };
                let found = page.cut(&all).unwrap();
                let json = list_json(found.iter().map(|(id, item)| (*id, item)), limit, Shape::default());
                let data = json["data"].as_array().unwrap();
                assert!(data.len() <= limit);
                seen.extend(data.iter().map(|item| item["id"].as_str().unwrap().parse::<ItemId>().unwrap().ordinal));
                after = data.last().map(|item| item["id"].as_str().unwrap().parse().unwrap());
                if json["has_more"] == false {
                    break;
                }
            }
            let expected: Vec<u32> = if ascending { (0..7).collect() } else { (0..7).rev().collect() };
            assert_eq!(seen, expected, "limit {limit}");
        }
    }
    assert_eq!(Page { after: Some(id(99)), limit: 3, ascending: true }.cut(&all), None);
}
