//! Which requests are passed on as they came, and how a stream that is passed on ends.

use mainstay_vocabulary::{
    Object, Sequence, SessionId, Shard,
    inference::{Failure, FailureKind, Format},
    item::Opaque,
};
use serde_json::{Value, json};

use crate::responses::{
    item::write_opaque,
    passing::{Passed, read},
};

fn body(more: Value) -> Object {
    let mut body = json!({ "model": "m", "input": "hi", "store": false });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    let Value::Object(body) = body else { panic!() };
    body
}

fn passes(more: Value) -> bool {
    read(&body(more)).is_some()
}

#[test]
fn what_is_passed_on_keeps_every_field() {
    let whole = body(json!({
        "stream": true, "max_output_tokens": 9, "novel": { "a": [1, null] }, "seed": 3, "moderation": { "model": "x" },
        "previous_response_id": null, "conversation": null, "background": false, "context_management": [],
        "tools": [{ "type": "web_search" }], "tool_choice": { "type": "web_search" },
        "input": [
            { "role": "user", "content": [{ "type": "input_image", "file_id": "file-upstreams-own" }] },
            { "type": "reasoning", "id": "rs_up", "encrypted_content": "gAAAAA", "summary": [] },
            { "type": "novel", "id": "n_1" },
            { "type": "compaction", "encrypted_content": "upstream's own" },
        ],
    }));
    let call = read(&whole).unwrap();
    assert_eq!((call.model.as_str(), call.streams, call.needs.is_some()), ("m", true, true));
    assert_eq!(call.request.sampling.max_output_tokens, Some(9), "the limit is clamped and booked");
    let verbatim = call.request.verbatim.as_ref().unwrap();
    assert_eq!((verbatim.format, &verbatim.body, verbatim.streams), (Format::OpenAiResponses, &whole, true));
}

#[test]
fn what_is_stored_here_or_done_here_is_not_passed_on() {
    let session = SessionId::new(Shard(0), [3; 16]);
    let item = mainstay_vocabulary::ItemId { session, sequence: Sequence(4), ordinal: 0 };
    let turn = crate::responses::response_id(mainstay_vocabulary::TurnId { session, sequence: Sequence(2) });
    let sealed = write_opaque(&Opaque { deployment: "a/b".to_owned(), bytes: "x".to_owned() });
    let digest = mainstay_vocabulary::Item::Compaction { text: "so far".to_owned() };
    let digest = crate::responses::item::item_json(
        item,
        &digest,
        mainstay_vocabulary::item::ItemStatus::Completed,
        crate::responses::item::Shape::default(),
    );
    let said = |part: Value| json!({ "input": [{ "role": "user", "content": [part] }] });
    assert!(passes(json!({})));
    for more in [
        json!({ "store": true }),
        json!({ "store": null }),
        json!({ "previous_response_id": turn }),
        json!({ "conversation": { "id": "conv_1" } }),
        json!({ "background": true }),
        json!({ "context_management": [{ "type": "compaction" }] }),
        json!({ "prompt": { "id": "agent_1" } }),
        said(json!({ "type": "input_file", "file_id": format!("file_{session}") })),
        json!({ "input": [{ "type": "function_call_output", "call_id": "c", "output":
            [{ "type": "input_image", "file_id": format!("file_{session}") }] }] }),
        json!({ "input": [{ "id": "msg_1" }] }),
        json!({ "input": [{ "type": "item_reference", "id": "msg_1" }] }),
        json!({ "input": [{ "type": "message", "id": format!("msg_{item}"), "role": "assistant", "content": "x" }] }),
        json!({ "input": [{ "role": "user", "content": "x" }, { "type": "compaction_trigger" }] }),
        json!({ "input": [digest] }),
        json!({ "input": [{ "type": "reasoning", "id": "rs_up", "summary": [], "encrypted_content": sealed }] }),
        // What is malformed is refused here, with the parameter's name.
        json!({ "input": null }),
        json!({ "input": 3 }),
        json!({ "model": "" }),
        json!({ "model": null }),
        json!({ "stream": "yes" }),
        json!({ "max_output_tokens": 0 }),
        json!({ "max_output_tokens": 1.5 }),
    ] {
        assert!(!passes(more.clone()), "{more}");
    }
}

#[test]
fn a_stream_that_breaks_ends_in_this_format() {
    let failure = Failure { kind: FailureKind::Broken, message: "it broke".to_owned(), retry_after_ms: None };
    let mut passed = Passed::default();
    let response = json!({ "id": "resp_up", "status": "in_progress", "novel": 1 });
    let created = json!({ "type": "response.created", "sequence_number": 0, "response": response });
    assert_eq!(passed.frame(&created), format!("event: response.created\ndata: {created}\n\n"));
    passed.frame(&json!({ "type": "response.output_text.delta", "sequence_number": 7, "delta": "x" }));
    let end = passed.fail(&failure, "upstream_error");
    let frames: Vec<Value> = end.lines().filter_map(|line| line.strip_prefix("data: ")).map(read_json).collect();
    assert_eq!((&frames[0]["type"], &frames[0]["sequence_number"]), (&json!("error"), &json!(8)));
    assert_eq!((&frames[0]["code"], &frames[0]["message"]), (&json!("upstream_error"), &json!("it broke")));
    assert_eq!((&frames[1]["type"], &frames[1]["sequence_number"]), (&json!("response.failed"), &json!(9)));
    let failed = &frames[1]["response"];
    assert_eq!((&failed["id"], &failed["status"], &failed["novel"]), (&json!("resp_up"), &json!("failed"), &json!(1)));
    assert_eq!(failed["error"]["code"], "server_error");
    assert_eq!(Passed::default().fail(&failure, "x").matches("event: ").count(), 1, "nothing began");
}

fn read_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
