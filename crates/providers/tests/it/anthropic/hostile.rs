//! Streams of Messages without end or measure: they are cut off, and what came keeps the rules of `Delta`.

use mainstay_providers::{anthropic::decode::decoder, http::decode::MAX_ITEMS};
use mainstay_vocabulary::{Object, inference::FailureKind};

use crate::{decode::decode, hostile::check};

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

#[test]
fn items_without_end_are_cut_off() {
    let call = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f"}}"#;
    let text = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}"#;
    for start in [call, text] {
        let stream = event(start).repeat(MAX_ITEMS as usize + 1);
        let (chunks, failure) = decode(decoder(false, Object::new()), [stream.as_bytes()]);
        assert_eq!(failure.unwrap().kind, FailureKind::Protocol);
        check(&chunks, false);
    }
}

#[test]
fn blocks_without_meaning_are_cut_off_too() {
    let start = r#"{"type":"content_block_start","index":0,"content_block":{"type":"hologram"}}"#;
    let stream = event(start).repeat(MAX_ITEMS as usize * 4 + 1);
    let (chunks, failure) = decode(decoder(false, Object::new()), [stream.as_bytes()]);
    assert!(chunks.is_empty());
    assert_eq!(failure.unwrap().kind, FailureKind::Protocol);
}

#[test]
fn deep_arguments_in_a_beginning_are_refused() {
    let deep = "[".repeat(100_000);
    let start =
        format!(r#"{{"type":"content_block_start","content_block":{{"type":"tool_use","name":"f","input":{deep}"#);
    let (_, failure) = decode(decoder(false, Object::new()), [event(&start).as_bytes()]);
    assert_eq!(failure.unwrap().kind, FailureKind::Protocol);
}

#[test]
fn what_a_provider_says_about_itself_is_bounded() {
    let long = "x".repeat(100_000);
    let start = format!(
        r#"{{"type":"message_start","message":{{"id":"{long}","model":"{long}","usage":{{"input_tokens":1,"{long}":1}}}}}}"#
    );
    let stream = format!("{}{}", event(&start), event(r#"{"type":"message_stop"}"#));
    let (chunks, failure) = decode(decoder(false, Object::new()), [stream.as_bytes()]);
    assert_eq!(failure, None);
    assert!(crate::lines(&chunks, None).len() < 1_000);
}
